"""The feature space in which sets of shapes are compared: a voxel classifier trained on ModelNet40, shipped and hashed.

What Fréchet distance and inception score are to images with Inception's features, they are to voxels with these. Only
figures of the same weights can be compared: `FeatureSpace.sha256` belongs beside them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from voxgan.checkpoint import read_json, read_weights, write_tensors
from voxgan.errors import CheckpointError, InputError
from voxgan.files import write_json
from voxgan.networks.classifier import FEATURES, Classifier

__all__ = ["FeatureSpace", "at_resolution"]

_SHIPPED = Path(__file__).parent / "pretrained" / "modelnet40-classifier"
_FORMAT, _VERSION = "voxgan-classifier", 1
_AT_ONCE = 64


def at_resolution(occupancy: NDArray[Any], resolution: int, level: float = 0.5) -> Tensor:
    """Return binary grids (B, R, R, R) as (B, 1, r, r, r) of 0 and 1.

    A coarser cell is inside if half or more of what it covers is; a finer one if the cell that covers it is.

    Examples
    --------
    >>> grid = np.zeros((1, 4, 4, 4)); grid[0, :2] = 1
    >>> at_resolution(grid, 2)[0, 0, :, 0, 0], at_resolution(grid, 8)[0, 0, :, 0, 0]
    (tensor([1., 0.]), tensor([1., 1., 1., 1., 0., 0., 0., 0.]))
    """
    inside = torch.from_numpy(np.asarray(occupancy) >= level).float()[:, None]
    side = inside.shape[2]
    if side == resolution:
        return inside
    if resolution % side == 0:
        for axis in (2, 3, 4):
            inside = inside.repeat_interleave(resolution // side, dim=axis)
        return inside
    return (adaptive_avg_pool3d(inside, resolution) >= 0.5).float()


class FeatureSpace:
    """A trained classifier, with what is known of it.

    Parameters
    ----------
    network : Classifier
        In evaluation mode.
    classes : sequence of str
        What it tells apart.
    facts : dict
        ``scores`` (its own accuracy on test shapes) and ``training``.
    sha256 : str
        Of its weights' file.

    Examples
    --------
    >>> space = FeatureSpace.load()
    >>> grids = np.zeros((2, 64, 64, 64), bool); grids[:, 20:40, 20:40, :30] = True
    >>> space.features(grids).shape, space.probabilities(grids).shape
    ((2, 64), (2, 40))
    """

    def __init__(self, network: Classifier, classes: tuple[str, ...], facts: dict[str, Any], sha256: str) -> None:
        self.network, self.classes, self.facts, self.sha256 = network, classes, facts, sha256

    @classmethod
    def load(cls, folder: str | Path | None = None) -> FeatureSpace:
        """Load the shipped feature space, or one from a folder.

        Raises
        ------
        CheckpointError
            If the folder holds none, or a damaged one.
        StorageError
            If a file cannot be read.
        """
        return _load(Path(_SHIPPED if folder is None else folder))

    @property
    def width(self) -> int:
        """Numbers in a feature vector, D."""
        return FEATURES

    @property
    def accuracy(self) -> float:
        """Share of ModelNet40's test shapes that it names right."""
        return float(self.facts["scores"]["accuracy"])

    def features(self, occupancy: NDArray[Any]) -> NDArray[np.float32]:
        """Return features (B, D) of grids (B, R, R, R), whose cells of ½ and more are inside.

        Raises
        ------
        InputError
            If they are no grids.
        """
        return self._in_parts(self.network.features, occupancy)

    def probabilities(self, occupancy: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of each class, (B, K), of grids (B, R, R, R)."""
        return self._in_parts(lambda x: self.network(x).softmax(1), occupancy)

    def named(self, occupancy: NDArray[Any]) -> NDArray[np.int64]:
        """Return the likeliest class, (B,), as an index into `classes`, of grids (B, R, R, R)."""
        found: NDArray[np.int64] = self.probabilities(occupancy).argmax(1)
        return found

    def probabilities_of(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probability of each class, (B, K), of features (B, D) that are there already."""
        with torch.inference_mode():
            return self.network.logits(torch.as_tensor(features, dtype=torch.float32)).softmax(1).numpy()

    def _in_parts(self, run: Callable[[Tensor], Tensor], occupancy: NDArray[Any]) -> NDArray[np.float32]:
        grids = np.asarray(occupancy)
        if grids.ndim != 4 or len(set(grids.shape[1:])) != 1 or not len(grids):
            raise InputError(f"grids of shape {grids.shape}; expected (B, R, R, R), at least one")
        with torch.inference_mode():
            parts = [
                run(at_resolution(grids[start : start + _AT_ONCE], self.network.resolution)).numpy()
                for start in range(0, len(grids), _AT_ONCE)
            ]
        return np.concatenate(parts)

    def save(self, folder: str | Path) -> None:
        """Write it into a folder, its weights in half precision, and take their hash.

        Raises
        ------
        StorageError
            If a file cannot be written.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        tensors = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.network.state_dict().items()
        }
        weights = write_tensors(Path(folder) / "weights.safetensors", tensors)
        self.sha256 = weights["sha256"]
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "resolution": self.network.resolution,
            "width": self.network.width,
            "classes": list(self.classes),
            "weights": weights,
            **self.facts,
        }
        write_json(Path(folder) / "classifier.json", content)


@functools.lru_cache(maxsize=2)
def _load(folder: Path) -> FeatureSpace:
    content = read_json(folder / "classifier.json")
    if content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise CheckpointError(f"{folder}: its classifier.json is no {_FORMAT!r} version {_VERSION}; copy it again")
    try:
        classes = tuple(map(str, content["classes"]))
        network = Classifier(int(content["resolution"]), len(classes), int(content["width"]))
        facts = {"scores": dict(content["scores"]), "training": dict(content["training"])}
        float(facts["scores"]["accuracy"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: its classifier.json is damaged ({error}); copy it again") from error
    read_weights(network, folder, content.get("weights"))
    return FeatureSpace(network.eval(), classes, facts, str(content["weights"]["sha256"]))
