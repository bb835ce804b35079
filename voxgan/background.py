"""Cutting one object out of a picture with a plain background, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["remove_background"]

_WORK = 208  # longest side, in pixels, at which the object is looked for
_RING = 0.02  # width of the border that shows the background, of the longest side
_LEAST, _MOST = 0.01, 0.90  # an object that covers less or more of the picture is none
_TOUCH = 0.3  # nor one that takes more of the border
_FITTED = 2000  # pixels that say what colour the background has
_CLEAR = 0.75  # nor one of whose outline less than this stands out from the background


def remove_background(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find the object before a plain background.

    The colour of the border, as a smooth function of the place, is carried into the picture; what is
    connected to the border and has about that colour is background, and so are holes of just that colour.
    The largest remaining piece is the object, with those near it or not much smaller.

    It does well on studio pictures, renderings, cut-outs, smooth gradients and soft vignettes. It cannot see
    objects: before clutter, a room, a texture or a horizon it finds nothing, or something wrong; a hard
    shadow stays with the object; parts of the very colour of the background are lost. When what it found is
    not plausible it says so by taking the whole picture.

    Parameters
    ----------
    rgb : (H, W, 3) uint8

    Returns
    -------
    (H, W) float32
        Opacity in [0, 1] with a soft edge: 1 on the object, 0 on the background; 1 everywhere if no plausible
        object was found.

    Examples
    --------
    >>> picture = np.full((64, 64, 3), 255, np.uint8)
    >>> picture[20:40, 24:44] = (200, 30, 30)
    >>> alpha = remove_background(picture)
    >>> float(alpha[30, 30]), float(alpha[5, 5])
    (1.0, 0.0)
    """
    from PIL import Image
    from scipy import ndimage
    from skimage.color import rgb2lab

    height, width = rgb.shape[:2]
    scale = min(1.0, _WORK / max(height, width))
    small = Image.fromarray(np.ascontiguousarray(rgb))
    if scale < 1:
        small = small.resize((max(8, round(width * scale)), max(8, round(height * scale))), Image.Resampling.BOX)
    mask = _object(rgb2lab(np.asarray(small)))
    if mask is None:
        return np.ones((height, width), np.float32)
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
    soft = np.clip(2 * soft - 0.7, 0, 1)  # a little inwards: the outermost pixels are half background
    if scale < 1:
        soft = np.asarray(Image.fromarray(soft).resize((width, height), Image.Resampling.BILINEAR))
    return np.asarray(np.clip(soft, 0, 1), np.float32)


def _object(lab: NDArray[np.floating[Any]]) -> NDArray[np.bool_] | None:
    """Give the mask (h, w) of the object in a Lab picture (h, w, 3), or None."""
    from scipy import ndimage

    height, width = lab.shape[:2]
    ring = np.ones((height, width), bool)
    edge = max(2, round(_RING * max(height, width)))
    ring[edge:-edge, edge:-edge] = False
    terms = _terms(height, width)
    model = _fit(terms[ring], lab[ring])
    if model is None:
        return None
    for _ in range(2):  # fitted to the border, then to all of the background that this has found
        coefficients, spread = model
        noise = max(0.0, spread / 2 - 0.5)  # a grainy picture is smoothed before it is judged
        distance = _length(
            (ndimage.gaussian_filter(lab, (noise, noise, 0)) if noise > 0 else lab) - terms @ coefficients
        )
        tolerance = 4 + 3 * spread / (1 + 2 * noise)
        alike = distance < tolerance
        # growing through an opening of three pixels at least: a thin pale leg does not let it in
        core = ndimage.binary_opening(np.pad(alike, 2, mode="edge"), np.ones((3, 3)))[2:-2, 2:-2]
        labels, _ = ndimage.label(core)
        outer = np.unique(labels[ring & core])
        grown = np.isin(labels, outer[outer > 0])
        grown = ndimage.binary_dilation(grown, np.ones((3, 3)), mask=alike)
        if grown.mean() < 0.05:
            return None
        model = _fit(terms[grown], lab[grown]) or model
    grown |= ndimage.binary_opening((distance < 0.6 * tolerance) & ~grown, np.ones((3, 3)))  # holes
    # the blurred rim: nearer to the background than to what lies two pixels further in
    rim = ndimage.binary_dilation(grown, iterations=2) & (distance < 0.4 * ndimage.maximum_filter(distance, 5))
    mask = _pieces(~grown & ~rim)
    outline = mask & ndimage.binary_dilation(grown, iterations=3)
    clear = ndimage.maximum_filter(distance, 7)[outline] > 2 * tolerance
    plausible = _LEAST <= mask.mean() <= _MOST and mask[ring].mean() <= _TOUCH and clear.mean() >= _CLEAR
    return mask if plausible else None


def _terms(height: int, width: int) -> NDArray[np.float64]:
    """Give 1, x, y, x², xy, y² at every pixel: (h, w, 6)."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _fit(terms: NDArray[np.float64], colours: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], float] | None:
    """Fit smooth colours robustly; give coefficients (6, 3) and the spread; None where nothing is smooth."""
    if len(terms) > _FITTED:
        some = np.random.default_rng(0).choice(len(terms), _FITTED, replace=False)
        terms, colours = terms[some], colours[some]
    coefficients = np.zeros((terms.shape[1], 3))
    coefficients[0] = np.median(colours, axis=0)
    for _ in range(8):
        distance = _length(colours - terms @ coefficients)
        reach = max(2.0, 2 * float(np.median(distance)))
        weights = 1 / (1 + (distance / reach) ** 2) ** 2
        weighted = terms * weights[:, None]
        ridge = 1e-3 * weights.sum() * np.diag([0, 1, 1, 1, 1, 1])
        coefficients = np.linalg.solve(terms.T @ weighted + ridge, weighted.T @ colours)
    distance = _length(colours - terms @ coefficients)
    spread = 1.48 * float(np.median(distance))
    if spread > 5 or (distance < 4 + 3 * spread).mean() < 0.7:
        return None
    return coefficients, spread


def _length(differences: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Give the Euclidean length along the last axis."""
    squares: NDArray[np.float64] = np.einsum("...i,...i->...", differences, differences)
    return np.asarray(np.sqrt(squares))


def _pieces(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest piece, what lies next to it, and pieces not much smaller."""
    from scipy import ndimage

    reach = max(1, round(0.01 * max(found.shape)))
    labels, count = ndimage.label(ndimage.binary_dilation(found, iterations=reach))
    areas = np.bincount(labels[found], minlength=count + 1)
    return np.asarray(found & (areas >= 0.1 * areas.max())[labels])
