"""What is being looked at: anchors, the way between them, sliders, level, undo. Knows no screen.

A session is a model and a `State`. The latent on show is the point that the state names — a place on a path through
anchors, or the value of an expression — moved by the sliders. Every change is one step that can be undone; a change
that follows another of the same kind while a slider is dragged becomes part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import string
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from viewer.saved import (
    FORMAT,
    VERSION,
    anchor_content,
    checked,
    parsed_anchors,
    parsed_camera,
    parsed_expression,
    read_json,
    read_saved,
    tidy,
)
from viewer.state import DISPLAYS, INTERPOLATIONS, LARGEST, MAX_ANCHORS, Anchor, State
from voxgan.errors import InputError, UsageError, nearest
from voxgan.files import write_json
from voxgan.latent import along, arithmetic

if TYPE_CHECKING:
    from voxgan.models.model import Model
    from voxgan.voxels import Shapes

__all__ = ["DISPLAYS", "INTERPOLATIONS", "MAX_ANCHORS", "NUM_DIRECTIONS", "Anchor", "Session", "State", "read_json"]

NUM_DIRECTIONS = 8
_LARGEST_SEED = 2**62
_MAX_STEPS = 1000  # that can be undone
_KEPT_SHAPES = 8  # 1 MB each at 64³


class Session:
    """A model, and what is being looked at of it.

    Parameters
    ----------
    model : Model
    name : str
        What the model is called, for saving: a shipped name or a folder.
    seed : int
        Random anchors and the gallery follow from it.
    anchors : int
        How many to begin with: of different classes where the model knows classes, else random.

    Examples
    --------
    >>> from voxgan.models.gan3d import GAN3D, Config
    >>> session = Session(GAN3D(Config(resolution=16, width=4)), "small", anchors=3)
    >>> session.calculate("A - B + C")
    >>> session.shape()
    Shapes(1 shape, 16³)
    >>> session.undo()
    >>> session.state.mode
    'path'
    """

    def __init__(self, model: Model, name: str, seed: int = 0, anchors: int = 3) -> None:
        self.model, self.name, self.seed = model, name, int(seed)
        self.camera: dict[str, Any] | None = None
        """Where it is looked at from, as the screen that shows it has put it; saved, but not undone."""
        self._next = 0  # how many random anchors were drawn
        self._state = State()
        self._undone: list[State] = []
        self._before: list[State] = []
        self._dragged: str | None = None
        self._raw: tuple[bytes, Shapes] | None = None  # the last that the network made: the level is moved over it
        self._decoded: dict[tuple[Any, ...], Shapes] = {}
        classes = self.classes
        for i in range(anchors):
            if len(classes) > 1:
                self.add_class(classes[i % len(classes)])
            else:
                self.add_random()
        self._state = dataclasses.replace(self._state, position=0.0)
        self.forget()

    # What there is to see

    @property
    def state(self) -> State:
        """All that undo goes back over; never changed in place."""
        return self._state

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that `add_class` knows."""
        return tuple(self.model.classes)

    @property
    def takes_photos(self) -> bool:
        """Whether the model has an image encoder."""
        return "image" in self.model.conditions

    @property
    def dimension_reach(self) -> float:
        """How far the slider of a single number goes to either side."""
        return 1.0 if self.model.config.prior == "uniform" else 6.0

    @property
    def direction_reach(self) -> float:
        """How far the slider of a principal direction goes to either side, in standard deviations of the prior."""
        return 8.0

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """Principal directions of the latent space, (K, L), largest effect first, one standard deviation long."""
        from voxgan.directions import principal_directions

        deviation = math.sqrt(1 / 12) if self.model.config.prior == "uniform" else 1.0
        found: NDArray[np.float32] = principal_directions(self.model, NUM_DIRECTIONS).cpu().numpy() * deviation
        return found

    def anchor(self, name: str) -> Anchor:
        """Return the anchor called `name`.

        Raises
        ------
        UsageError
            If there is none.
        """
        for anchor in self._state.anchors:
            if anchor.name == name:
                return anchor
        raise UsageError(f"no anchor {name!r}; {nearest(name, [a.name for a in self._state.anchors])}")

    def latent(self) -> NDArray[np.float32]:
        """Return the latent on show, (L,).

        Raises
        ------
        UsageError
            If there is no anchor.
        """
        state = self._state
        if not state.anchors:
            raise UsageError("no anchors yet; add one, from noise, a class, a photo or a mesh")
        if state.mode == "expression":
            z = self.value_of(state.expression)
        else:
            points = torch.tensor([a.latent for a in state.anchors], dtype=torch.float32)
            z = along(points, min(state.position, len(points) - 1), state.interpolation).numpy().copy()
        for index, value in state.directions.items():
            z += np.float32(value) * self.directions[index]
        for index, value in state.dimensions.items():
            z[index] += np.float32(value)
        return z

    def shape(self) -> Shapes:
        """Return the shape on show, cleaned if the state says so."""
        return self._decode(self.latent())

    def anchor_shape(self, name: str) -> Shapes:
        """Return the shape of one anchor."""
        return self._decode(np.array(self.anchor(name).latent, np.float32))

    def _decode(self, z: NDArray[np.float32]) -> Shapes:
        state = self._state
        key = (z.tobytes(), state.level if state.clean else None)
        if key not in self._decoded:
            if self._raw is None or self._raw[0] != key[0]:
                self._raw = (key[0], self.model.decode(z))
            shape = self._raw[1]
            while len(self._decoded) >= _KEPT_SHAPES:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[key] = shape.cleaned(state.level) if state.clean else shape
        self._decoded[key] = shape = self._decoded.pop(key)  # the last used stands last
        return shape

    def gallery(
        self, count: int = 12, page: int = 0, class_name: str | None = None
    ) -> list[tuple[dict[str, Any], Shapes]]:
        """Return samples to pick anchors from: what `add_random` or `add_class` take, and the shape.

        Parameters
        ----------
        count : int
            How many a page has.
        page : int
            0, 1, 2, …: every page has other samples, always the same for a seed.
        class_name : str, optional
            Samples of this class.
        """
        seeds = [self.seed + 10_000 + page * count + i for i in range(count)]
        z = torch.cat([self.model.sample_latents(1, seed, class_name=class_name) for seed in seeds])
        shapes = self.model.decode(z).cleaned()
        picks = [{"seed": seed} if class_name is None else {"class_name": class_name, "seed": seed} for seed in seeds]
        return list(zip(picks, shapes, strict=True))

    # Anchors

    def add_random(self, seed: int | None = None) -> Anchor:
        """Add an anchor drawn from the prior, by `seed` or by the session's next one."""
        seed = self._next_seed() if seed is None else seed
        z = self.model.sample_latents(1, seed)[0]
        return self._add(z, {"kind": "random", "seed": seed, "label": f"random {seed}"})

    def add_class(self, class_name: str, seed: int | None = None) -> Anchor:
        """Add an anchor drawn from a class.

        Raises
        ------
        UsageError
            If the model does not know the class.
        """
        if class_name not in self.classes:
            known = nearest(class_name, self.classes) if self.classes else f"{self.name} knows no classes"
            raise UsageError(f"no class {class_name!r}; {known}")
        seed = self._next_seed() if seed is None else seed
        z = self.model.sample_latents(1, seed, class_name=class_name)[0]
        origin = {"kind": "class", "class_name": class_name, "seed": seed, "label": f"{class_name} {seed}"}
        return self._add(z, origin)

    def add_photo(self, image: NDArray[np.float32], label: str) -> Anchor:
        """Add what the image encoder makes of a photo, (3, 256, 256) in [0, 1].

        Raises
        ------
        UsageError
            If the model has no image encoder.
        """
        if not self.takes_photos:
            raise UsageError(f"{self.name} cannot take a photo, it has no image encoder; open furniture")
        z = self.model.encode(image[None])[0]  # type: ignore[attr-defined]
        return self._add(z, {"kind": "photo", "label": tidy(label)})

    def fit(
        self, occupancy: NDArray[Any], report: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.float32], float]:
        """Find the latent whose shape is nearest to a grid (R, R, R), which takes seconds; the session is unchanged.

        Returns
        -------
        array (L,), float
            The latent, and the IoU of its shape with the grid: for `add_fitted`.
        """
        from voxgan.inversion import find_latent
        from voxgan.volumes import resample

        resolution = self.model.config.resolution
        if len(occupancy) != resolution:
            occupancy = resample(occupancy, resolution).occupancy[0]
        found = find_latent(self.model, occupancy, seed=self.seed, report=report)
        return found.z.cpu().numpy(), found.iou

    def add_fitted(self, z: NDArray[np.float32], iou: float, label: str) -> Anchor:
        """Add what `fit` has found."""
        return self._add(torch.from_numpy(z), {"kind": "mesh", "iou": round(float(iou), 4), "label": tidy(label)})

    def keep(self) -> Anchor:
        """Make the latent on show an anchor."""
        return self._add(torch.from_numpy(self.latent()), {"kind": "kept", "label": tidy(self._place())})

    def add_saved(self, content: Any) -> list[Anchor]:
        """Add the anchors of a saved session (the content of its JSON file), as one step.

        Raises
        ------
        InputError
            If it is no session, or of a model with other latents.
        """
        saved = parsed_anchors(self._own(content), self.model)
        if len(saved) + len(self._state.anchors) > MAX_ANCHORS:
            raise UsageError(f"{len(saved)} more anchors would be over {MAX_ANCHORS}; remove some first")
        free = iter(self._free_names())
        added = [dataclasses.replace(anchor, name=next(free)) for anchor in saved]
        anchors = (*self._state.anchors, *added)
        self._change(anchors=anchors, mode="path", position=float(len(anchors) - 1))
        return added

    def remove(self, name: str) -> None:
        """Take an anchor away.

        Raises
        ------
        UsageError
            If there is none of that name, it is the last, or the expression on show needs it.
        """
        self.anchor(name)
        kept = tuple(a for a in self._state.anchors if a.name != name)
        if not kept:
            raise UsageError(f"{name} is the only anchor; add another one first")
        if self._state.mode == "expression" and name in self._state.expression:
            raise UsageError(f"{name} stands in the expression {self._state.expression}; change that first")
        self._change(anchors=kept, position=min(self._state.position, len(kept) - 1.0))

    def move(self, name: str, places: int) -> None:
        """Move an anchor along the path, forwards or (negative) backwards."""
        anchors = list(self._state.anchors)
        here = anchors.index(self.anchor(name))
        there = min(max(here + places, 0), len(anchors) - 1)
        if there != here:
            anchors.insert(there, anchors.pop(here))
            self._change(anchors=tuple(anchors))

    # Where to look

    def walk(self, position: float | None = None, interpolation: str | None = None) -> None:
        """Go to a place on the path through the anchors: 0 is the first, 0.5 half way to the second.

        Raises
        ------
        UsageError
            For a position outside the path, or an unknown interpolation.
        """
        position = self._state.position if position is None else position
        interpolation = interpolation or self._state.interpolation
        last = max(len(self._state.anchors) - 1, 0)
        if not 0 <= position <= last:
            raise UsageError(f"position {position:g}: expected 0 to {last}, one for each step between anchors")
        if interpolation not in INTERPOLATIONS:
            raise UsageError(f"interpolation {interpolation!r}; {nearest(interpolation, INTERPOLATIONS)}")
        drag = "position" if interpolation == self._state.interpolation else None
        self._change(drag, mode="path", position=float(position), interpolation=interpolation)

    def calculate(self, expression: str) -> None:
        """Show the value of an expression, such as ``A - B + 0.5*C``.

        Raises
        ------
        UsageError
            If it does not parse, or names an anchor that is not there; nothing changes then.
        """
        self.value_of(expression)
        self._change(mode="expression", expression=parsed_expression(expression))

    def value_of(self, expression: str) -> NDArray[np.float32]:
        """Return the latent that an expression stands for, (L,); nothing changes.

        Raises
        ------
        UsageError
            If it does not parse, names an anchor that is not there, or leads too far.
        """
        expression = parsed_expression(expression)
        named = {a.name: torch.tensor(a.latent, dtype=torch.float32) for a in self._state.anchors}
        value = arithmetic(expression, named)
        if not float(value.abs().max()) <= LARGEST:
            raise UsageError(f"{tidy(expression)!r} leads to numbers over {LARGEST:g}; expected smaller factors")
        found: NDArray[np.float32] = value.numpy().copy()
        return found

    def set_dimension(self, index: int, value: float) -> None:
        """Add `value` to one number of the latent; 0 takes the slider away."""
        if not 0 <= index < self.model.latent_size:
            raise UsageError(f"dimension {index}: expected 0 to {self.model.latent_size - 1}")
        self._change(f"dimension {index}", dimensions=_with(self._state.dimensions, index, value, self.dimension_reach))

    def set_direction(self, index: int, value: float) -> None:
        """Move by `value` standard deviations along a principal direction; 0 takes the slider away."""
        if not 0 <= index < len(self.directions):
            raise UsageError(f"direction {index}: expected 0 to {len(self.directions) - 1}")
        self._change(f"direction {index}", directions=_with(self._state.directions, index, value, self.direction_reach))

    def reset_sliders(self) -> None:
        """Put the sliders of all dimensions and directions back to 0."""
        if self._state.dimensions or self._state.directions:
            self._change(dimensions=MappingProxyType({}), directions=MappingProxyType({}))

    def set_level(self, level: float) -> None:
        """Set the occupancy at which the surface lies, 0.02 to 0.98."""
        if not 0.02 <= level <= 0.98:
            raise UsageError(f"level {level:g}: expected 0.02 to 0.98")
        self._change("level", level=float(level))

    def set_display(self, display: str) -> None:
        """Show the surface, the voxels or their centres: ``mesh``, ``voxels``, ``points``."""
        if display not in DISPLAYS:
            raise UsageError(f"display {display!r}; {nearest(display, DISPLAYS)}")
        self._change(display=display)

    def set_clean(self, clean: bool) -> None:
        """Take free specks and inner cavities away, or leave them."""
        self._change(clean=bool(clean))

    # Undo

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._undone)

    def undo(self) -> None:
        """Go back one step; at the first one nothing happens."""
        if self._before:
            self._undone.append(self._state)
            self._state = self._before.pop()
        self._dragged = None

    def redo(self) -> None:
        """Take an undo back; if there is none, nothing happens."""
        if self._undone:
            self._before.append(self._state)
            self._state = self._undone.pop()
        self._dragged = None

    def forget(self) -> None:
        """Begin here: nothing before this can be undone."""
        self._before.clear()
        self._undone.clear()

    def settle(self) -> None:
        """End a drag: the next change is a step of its own."""
        self._dragged = None

    # Files

    def to_json(self) -> dict[str, Any]:
        """Return the whole session as what JSON can hold; the same session always gives the same."""
        state = self._state
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {"name": self.name, "weights": self._weights},
            "seed": self.seed,
            "drawn": self._next,
            "anchors": [anchor_content(anchor) for anchor in state.anchors],
            "mode": state.mode,
            "position": state.position,
            "interpolation": state.interpolation,
            "expression": state.expression,
            "dimensions": {str(k): v for k, v in sorted(state.dimensions.items())},
            "directions": {str(k): v for k, v in sorted(state.directions.items())},
            "level": state.level,
            "display": state.display,
            "clean": state.clean,
            "camera": self.camera,
        }

    def save(self, path: str | Path) -> Path:
        """Write the session to a JSON file, whole or not at all."""
        write_json(path, self.to_json())
        return Path(path)

    def restore(self, content: Any) -> str:
        """Become a saved session (the content of its JSON file), as one step that can be undone.

        Returns
        -------
        str
            A line for people where the shapes will differ, because the model has other weights by now; else "".

        Raises
        ------
        InputError
            If it is no session, is damaged, or belongs to another model; this session is unchanged then.
        """
        saved = self._own(content)
        try:
            trial = Session(self.model, self.name, int(saved["seed"]), anchors=0)
            trial._state = State(anchors=parsed_anchors(saved, self.model))
            for set_slider, sliders in (
                (trial.set_dimension, saved["dimensions"]),
                (trial.set_direction, saved["directions"]),
            ):
                for index, value in sliders.items():
                    if str(int(index)) != index:
                        raise ValueError(f"a slider called {tidy(index)!r}")
                    set_slider(int(index), float(value))
            trial.set_level(float(saved["level"]))
            trial.set_display(saved["display"])
            trial.set_clean({True: True, False: False}[saved["clean"]])
            trial.walk(float(saved["position"]), {kind: kind for kind in INTERPOLATIONS}[saved["interpolation"]])
            trial._state = dataclasses.replace(trial._state, expression=parsed_expression(saved["expression"]))
            if {"path": False, "expression": True}[saved["mode"]]:
                trial.calculate(trial.state.expression)
            drawn, camera = int(saved["drawn"]), parsed_camera(saved["camera"])
            if not (abs(trial.seed) < _LARGEST_SEED and 0 <= drawn < _LARGEST_SEED):
                raise ValueError("a seed of more than 62 bits")
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"a damaged session: {' '.join(str(error).split())[:200]}; save it again") from error
        self.seed, self._next, self.camera = trial.seed, drawn, camera
        self._change(**{field.name: getattr(trial.state, field.name) for field in dataclasses.fields(State)})
        if saved["model"].get("weights") != self._weights:
            return f"{self.name} has other weights than when this was saved: the shapes differ"
        return ""

    @classmethod
    def load(cls, path: str | Path, load_model: Callable[[str], Model]) -> Session:
        """Open a saved session with its model.

        Parameters
        ----------
        path : path
        load_model : callable
            Name → model, as `voxgan.load`.

        Raises
        ------
        InputError, StorageError
            If the file is no session or cannot be read, or there is no such model.
        """
        content = read_saved(path)
        session = cls(load_model(content["model"]["name"]), content["model"]["name"], anchors=0)
        session.restore(content)
        session.forget()
        return session

    # Inside

    def _place(self) -> str:
        """Say in a few words where the latent on show lies."""
        state = self._state
        if state.mode == "expression":
            return state.expression
        here = min(int(state.position), len(state.anchors) - 1)
        share = state.position - here
        if share == 0:
            return f"copy of {state.anchors[here].name}"
        return f"{state.anchors[here].name} → {state.anchors[here + 1].name}, {100 * share:.0f} %"

    @cached_property
    def _weights(self) -> str:
        """A short mark of the generator's weights, by which a session notices that they are others."""
        digest = hashlib.sha256()
        for tensor in self.model.generator.state_dict().values():
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _change(self, drag: str | None = None, /, **values: Any) -> None:
        """Make one step; what follows a step of the same drag becomes part of it."""
        state = dataclasses.replace(self._state, **values)
        if state == self._state:
            return
        if drag is None or drag != self._dragged or not self._before:
            self._before.append(self._state)
            del self._before[:-_MAX_STEPS]
        self._state, self._dragged = state, drag
        self._undone.clear()

    def _add(self, z: torch.Tensor, origin: Mapping[str, Any]) -> Anchor:
        free = self._free_names()
        if not free:
            raise UsageError(f"{MAX_ANCHORS} anchors are all there is room for; remove one first")
        anchor = Anchor(free[0], tuple(z.cpu().double().tolist()), MappingProxyType(dict(origin)))
        anchors = (*self._state.anchors, anchor)
        self._change(anchors=anchors, mode="path", position=float(len(anchors) - 1))
        return anchor

    def _free_names(self) -> list[str]:
        taken = {a.name for a in self._state.anchors}
        return [letter for letter in string.ascii_uppercase if letter not in taken]

    def _next_seed(self) -> int:
        self._next += 1
        return self.seed + self._next - 1

    def _own(self, content: Any) -> dict[str, Any]:
        """Return a session's JSON if it is one, and of this model."""
        saved = checked(content)
        if saved["model"]["name"] != self.name:
            raise InputError(f"that session is one of {tidy(saved['model']['name'])!r}; open that model first")
        return saved


def _with(sliders: Mapping[int, float], index: int, value: float, reach: float) -> Mapping[int, float]:
    if not -reach <= value <= reach:
        raise UsageError(f"{value:g} is off the slider; expected {-reach:g} to {reach:g}")
    kept = {key: number for key, number in sliders.items() if key != index}
    return MappingProxyType({**kept, index: float(value)} if value else kept)
