"""What all visitors share: the models, small pictures, the processes that read files, the threads that compute."""

from __future__ import annotations

import asyncio
import base64
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from viewer.reading import Reader
from viewer.saved import tidy
from viewer.web.assets import Assets
from voxgan.errors import UsageError, nearest

if TYPE_CHECKING:
    from viewer.reading import Photo, Saved, Solid
    from voxgan.models.model import Model
    from voxgan.voxels import Shapes

__all__ = ["Shared", "picture_address"]

T = TypeVar("T")

_PICTURE_SIZE = 112
_MOST_PICTURES = 2000
_NUM_FITS = 1  # at once: each takes all cores that there are


class Shared:
    """What all visitors share.

    Parameters
    ----------
    models : mapping of str to Model
        What may be chosen among; the first is shown first.
    seed : int
        Every visitor's session begins with it.
    others : sequence of str
        Models that may be chosen too, and are loaded when they are.
    beginning : mapping, optional
        A saved session of the first model: what visitors see first.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        seed: int,
        others: Sequence[str] = (),
        beginning: Mapping[str, Any] | None = None,
    ) -> None:
        if not models:
            raise UsageError("no model to show; expected at least one, as in serve({'furniture': model})")
        for model in models.values():
            model.eval()
        self.models, self.seed, self.beginning = dict(models), seed, beginning
        self.names = tuple(dict.fromkeys([*models, *others]))
        self.assets = Assets()
        self._loading = asyncio.Lock()
        self.fitting = asyncio.Semaphore(_NUM_FITS)
        self.encoding = ThreadPoolExecutor(2, "voxgan-jpeg")
        self._working = ThreadPoolExecutor(4, "voxgan-work")
        self._reading = ThreadPoolExecutor(4, "voxgan-read")
        self._reader = Reader()
        self._pictures: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    async def load(self, name: str) -> Model:
        """Return a model by name; one that nobody has looked at yet is loaded.

        Raises
        ------
        UsageError
            If it is none of those that are served.
        """
        if name not in self.names:
            raise UsageError(f"no model {tidy(name)!r} here; {nearest(name[:60], self.names)}")
        async with self._loading:
            if name not in self.models:
                import voxgan

                self.models[name] = (await self.compute(voxgan.load, name)).eval()
        return self.models[name]

    async def compute(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function in a thread; the event loop goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._working, function, *arguments)

    async def read(self, content: bytes, name: str, resolution: int, up: str) -> Photo | Solid | Saved:
        """Read a stranger's file in a process of its own."""
        return await asyncio.get_running_loop().run_in_executor(
            self._reading, self._reader.read, content, name, resolution, up
        )

    def picture(self, model_name: str, latent: NDArray[np.float32]) -> str:
        """Return the address of the small picture of a latent's shape, or "" where it has not been drawn."""
        key = (model_name, latent.tobytes())
        if key in self._pictures:
            self._pictures.move_to_end(key)
        return self._pictures.get(key, "")

    async def draw(self, model_name: str, latent: NDArray[np.float32]) -> str:
        """Draw the small picture of a latent's shape and keep it."""
        address = self.picture(model_name, latent)
        if not address:
            address = await self.compute(_drawn, self.models[model_name], latent)
            self._pictures[model_name, latent.tobytes()] = address
            while len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)
        return address

    def close(self) -> None:
        """End threads and processes."""
        self._reader.close()
        for pool in (self.encoding, self._working, self._reading):
            pool.shutdown(wait=False, cancel_futures=True)


def picture_address(pixels: NDArray[np.uint8]) -> str:
    """Return a small picture (height, width, 3) as an address that holds it whole."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def shape_picture(shape: Shapes) -> str:
    """Draw a shape small."""
    from voxgan.preview import picture

    return picture_address(picture(shape.occupancy[0], size=_PICTURE_SIZE))


def _drawn(model: Model, latent: NDArray[np.float32]) -> str:
    return shape_picture(model.decode(latent).cleaned())
