"""What the page shows of a session: plain values by name, and the session in words for who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from viewer.session import NUM_DIRECTIONS, Anchor, Session
from voxgan.errors import VoxganError

__all__ = ["description", "page_state", "place", "suggestions"]

_DISPLAY_WORDS = {"mesh": "a smooth surface", "voxels": "voxels", "points": "points"}


def page_state(
    session: Session, dimension: int, picture: Callable[[Anchor], str], photos: Mapping[tuple[float, ...], str]
) -> dict[str, Any]:
    """Return what the page shows of a session.

    Parameters
    ----------
    session : Session
    dimension : int
        Which number of the latent the page's slider moves.
    picture : callable
        Anchor → address of its small picture, or "" while there is none.
    photos : mapping
        Latent → address of the photo that it was made from.
    """
    state = session.state
    last = max(len(state.anchors) - 1, 0)
    position = min(state.position, last)
    straight = state.mode == "path" and not state.directions and not state.dimensions
    moved = [{"index": index, "value": value} for index, value in sorted(state.dimensions.items())]
    return {
        "model": session.name,
        "classes": list(session.classes),
        "takes_photos": session.takes_photos,
        "anchors": [
            {
                "name": anchor.name,
                "label": anchor.label,
                "kind": str(anchor.origin["kind"]),
                "at": index,
                "picture": picture(anchor),
                "photo": photos.get(anchor.latent, ""),
                "shown": straight and position == index,
                "used": anchor.name in state.expression if state.mode == "expression" else abs(position - index) < 1,
            }
            for index, anchor in enumerate(state.anchors)
        ],
        "mode": state.mode,
        "position": position,
        "last": last,
        "place": place(session),
        "interpolation": state.interpolation,
        "expression": state.expression,
        "expression_text": state.expression,
        "suggestions": suggestions([anchor.name for anchor in state.anchors]),
        "level": state.level,
        "display": state.display,
        "clean": state.clean,
        "can_undo": session.can_undo,
        "can_redo": session.can_redo,
        "moved": moved,
        "sliders_moved": bool(state.directions or state.dimensions),
        "latent_size": session.model.latent_size,
        "resolution": session.model.config.resolution,
        "direction_reach": session.direction_reach,
        "dimension_reach": session.dimension_reach,
        "dimension_index": dimension,
        "dimension_text": dimension,
        "dimension_value": state.dimensions.get(dimension, 0.0),
        **{f"direction_{index}": state.directions.get(index, 0.0) for index in range(NUM_DIRECTIONS)},
    }


def suggestions(names: Sequence[str]) -> list[str]:
    """Return sums of the first anchors that are worth a look.

    Examples
    --------
    >>> suggestions(["A", "B", "C"])
    ['A - B + C', '0.5*A + 0.5*B', '2*A - B']
    """
    if len(names) < 2:
        return []
    first, second, third = (*names, "")[:3]
    sums = [f"0.5*{first} + 0.5*{second}", f"2*{first} - {second}"]
    return [f"{first} - {second} + {third}", *sums] if third else sums


def place(session: Session) -> str:
    """Say in a few words where in the latent space the session is.

    Examples
    --------
    >>> from voxgan.models.gan3d import GAN3D, Config
    >>> session = Session(GAN3D(Config(resolution=16, width=4)), "small")
    >>> session.walk(1.25)
    >>> place(session)
    'B → C, 25 %'
    """
    state = session.state
    if not state.anchors:
        return "nowhere yet"
    if state.mode == "expression":
        return state.expression
    position = min(state.position, len(state.anchors) - 1)
    before = int(position)
    share = round(100 * (position - before))
    if not share:
        return state.anchors[before].name
    return f"{state.anchors[before].name} → {state.anchors[before + 1].name}, {share} %"


def description(session: Session, azimuth: float, elevation: float) -> str:
    """Describe the picture: what is shown, how, and how large it is.

    Parameters
    ----------
    session : Session
    azimuth, elevation : float, degrees
        Where it is looked at from.
    """
    state = session.state
    try:
        grid = session.shape().occupancy[0]
    except VoxganError as error:
        return f"Nothing to see: {error}"
    words = f"Shape at {place(session)}{_labels(session)}, drawn as {_DISPLAY_WORDS[state.display]}"
    if state.directions or state.dimensions:
        words += ", moved by sliders"
    inside = grid > state.level
    if not inside.any() or inside.all():
        return f"{words}: nothing to see at level {state.level:.2f}."
    sides = [np.flatnonzero(inside.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    width, depth, height = ((side[-1] - side[0] + 1) / len(grid) for side in sides)
    share = 100 * float(inside.mean())
    side = f"{_side(azimuth)}{' and above' if elevation > 10 else ''}"
    return (
        f"{words}, seen from {side}. Of the cube around it, it is"
        f" {100 * width:.0f} % wide, {100 * depth:.0f} % deep and {100 * height:.0f} % high, and fills {share:.1f} %."
    )


def _labels(session: Session) -> str:
    """Return what the anchors at the present place are, in brackets."""
    state = session.state
    if state.mode == "expression":
        return ""
    position = min(state.position, len(state.anchors) - 1)
    near = state.anchors[int(position) : int(np.ceil(position)) + 1]
    return f" ({', '.join(anchor.label for anchor in near)})"


def _side(azimuth: float) -> str:
    """Name the side that an azimuth looks at.

    Examples
    --------
    >>> _side(0), _side(35), _side(-90)
    ('the front', 'the front right', 'the left')
    """
    names = ("front", "front right", "right", "back right", "back", "back left", "left", "front left")
    return f"the {names[round(azimuth / 45) % 8]}"
