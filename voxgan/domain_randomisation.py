"""Rendered views made as different as photos are, so that real ones are just another variation.

Domain randomisation (Tobin et al. 2017, arXiv:1703.06907): what stands around an object, how the picture is cut, lit,
and stored is drawn anew each time, and far more widely than any one camera does it; what stays is the shape.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from voxgan.draws import Draws, moved

__all__ = ["jpeg", "premultiplied", "randomised"]

_CUT_OUT = 0.3  # pictures as after their background was removed: a whole object on one colour
_MARGIN = 0.08  # around it, as in `voxgan.images.photo`
_TIGHT = 0.4  # of the others: those without that margin
_SMALL = 32  # side at which shadows and hulls are computed
_BOOKS = 20  # stripes across, in
_SHELVES = 5  # rows
_PATCHES = 2  # plain things that may lie before the object


class _Dice:
    """Numbers for each picture of a batch, shaped to be multiplied with (B, C, H, W), on its device."""

    def __init__(self, draws: Draws, device: torch.device) -> None:
        self.draws, self.device = draws, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return moved(low + (high - low) * self.draws.uniform(*(shape or (1, 1, 1))), self.device)

    def normal(self, *shape: int) -> Tensor:
        return moved(self.draws.normal(*(shape or (1, 1, 1))), self.device)

    def chance(self, share: float) -> Tensor:
        return self.uniform(0, 1) < share

    def sign(self) -> Tensor:
        """Return −1 or 1 for each picture, (B, 1)."""
        return torch.where(self.uniform(0, 1, 1) < 0.5, -1.0, 1.0)


def randomised(
    views: Tensor,
    others: Tensor | None,
    backgrounds: Tensor | None,
    mirrored: Tensor,
    size: int,
    draws: Draws,
) -> Tensor:
    """Turn rendered views into pictures that differ in all that a photo may differ in.

    Nearly a third show the whole object on one colour, as after its background was removed. The others are crops
    about its box, at times cut off, of another shape than square and then laid on white, with things behind and
    before it, with what looks like books in its holes, plain patches, and a shadow at its foot. All vary in tone,
    contrast, saturation, sharpness, grain, and compression.

    Parameters
    ----------
    views : Tensor, uint8 (B, S, S, 4)
        RGBA with straight alpha.
    others : Tensor, uint8 (B, N, S, S, 4), optional
        Other objects: the first of each stands behind the object, at times; the last before it.
    backgrounds : Tensor, uint8 (B, S, S, 3), optional
        What may stand behind it all.
    mirrored : Tensor, bool (B,)
        Which views are flipped left to right (their shapes must be, too).
    size : int
        Side of the result, in pixels; a multiple of 8.
    draws : Draws
        Where each picture's random numbers come from; its grain comes from torch's default generator.

    Returns
    -------
    Tensor, (B, 3, size, size)
        RGB in [0, 1].
    """
    dice = _Dice(draws, views.device)
    count = len(views)
    shrunk = max(1, views.shape[1] // size)
    thing = premultiplied(views)
    thing = functional.avg_pool2d(thing, shrunk) if shrunk > 1 else thing
    thing = torch.where(mirrored[:, None, None, None], thing.flip(3), thing)
    cut_out = dice.chance(_CUT_OUT)
    place, inside = _crop(thing, cut_out, size, dice)
    thing = _placed(thing, place, size)
    behind = _background(backgrounds, count, size, dice)
    # Every second pixel of things that stand about is enough
    layers = [] if others is None else [premultiplied(other) for other in others[:, :, ::shrunk, ::shrunk].unbind(1)]
    if layers:
        behind = _over(behind, _strewn(layers[0], (0.4, 1.3), (0.1, 0.9), size, dice), dice.chance(0.45))
    behind = _shelved(behind, thing, dice)
    behind = _shadowed(behind, thing, dice)
    plain = torch.where(dice.chance(0.6), dice.uniform(0.93, 1.0), dice.uniform(0, 1, 3, 1, 1))
    behind = torch.where(cut_out, plain, behind)
    tone = dice.uniform(0.6, 1.4) * (1 + 0.06 * dice.normal(3, 1, 1))
    picture = _over(behind, torch.cat([thing[:, :3] * tone, thing[:, 3:]], dim=1))
    if layers:
        for sizes, heights, share in (((0.25, 0.7), (0.5, 1.1), 0.25), ((0.1, 0.35), (0.1, 0.9), 0.3)):
            before = _strewn(layers[-1], sizes, heights, size, dice)
            picture = _over(picture, before, dice.chance(share) & ~cut_out)
    for _ in range(_PATCHES):
        picture = _patched(picture, dice.chance(0.3) & ~cut_out, dice)
    picture = _stored(_seen(picture, dice), dice)
    return torch.where(inside | cut_out, picture, 1.0)


def premultiplied(views: Tensor) -> Tensor:
    """Return colours times alpha, and alpha, (B, 4, S, S), of uint8 (B, S, S, 4)."""
    rgba = views.permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def _boxes(alpha: Tensor) -> Tensor:
    """Return left, top, right, bottom of what is there, (B, 4), in [−1, 1]; all of a picture that shows nothing."""
    side = alpha.shape[-1]
    seen = alpha > 0.1
    empty = ~seen.flatten(1).any(1)
    edges = torch.arange(side + 1, device=alpha.device) * (2 / side) - 1

    def ends(there: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.where(there, edges[:-1], 1.0).amin(1)
        return torch.where(empty, -1.0, low), torch.where(empty, 1.0, torch.where(there, edges[1:], -1.0).amax(1))

    (left, right), (top, bottom) = ends(seen.any(1)), ends(seen.any(2))
    return torch.stack([left, top, right, bottom], dim=1)


def _crop(thing: Tensor, cut_out: Tensor, size: int, dice: _Dice) -> tuple[Tensor, Tensor]:
    """Choose a crop about each object: how the square result looks into the view, (B, 2, 3), and what lies inside."""
    whole = cut_out.flatten()[:, None]
    box = _boxes(thing[:, 3])
    sides = (box[:, 2:] - box[:, :2]).repeat(1, 2)
    room = (0.02 + 0.07 * dice.normal(4)).clamp(-0.18, 0.3)  # on each side; below 0 something is cut off
    room = torch.where(whole, 0.0, room) * sides
    crop = torch.cat([box[:, :2] - room[:, :2], box[:, 2:] + room[:, 2:]], dim=1)
    tight = (dice.uniform(0, 1, 1) < _TIGHT) & ~whole
    margin = torch.where(tight, 0.0, torch.where(whole, dice.uniform(0.04, 0.12, 1), _MARGIN))
    half = (crop[:, 2:] - crop[:, :2]).amax(1, keepdim=True) / 2 / (1 - 2 * margin)
    middle = (crop[:, :2] + crop[:, 2:]) / 2
    turn = 0.05 * dice.normal(1)
    turn = torch.where(whole, 0.4 * turn, turn)
    cosine, sine = turn.cos() * half, turn.sin() * half
    place = _affine(cosine, -sine, middle[:, :1], sine, cosine, middle[:, 1:])
    line = (torch.arange(size, device=thing.device) + 0.5) * (2 / size) - 1
    across, down = (middle[:, axis, None] + half * line for axis in (0, 1))  # the crop does not turn with the object
    columns = (across > crop[:, :1]) & (across < crop[:, 2:3])
    rows = (down > crop[:, 1:2]) & (down < crop[:, 3:])
    return place, (rows[:, :, None] & columns[:, None, :])[:, None]


def _affine(*numbers: Tensor) -> Tensor:
    """Return affine maps (B, 2, 3) of six numbers (B, 1) each, row by row."""
    return torch.stack(numbers, dim=2).reshape(-1, 2, 3)


def _placed(picture: Tensor, place: Tensor, size: int, padding: str = "zeros") -> Tensor:
    """Look into pictures (B, C, S, S) by affine maps (B, 2, 3): (B, C, size, size)."""
    shape = [*picture.shape[:2], size, size]
    grid = functional.affine_grid(place, shape, align_corners=False)
    return functional.grid_sample(picture, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _over(below: Tensor, layer: Tensor, there: Tensor | None = None) -> Tensor:
    """Lay a layer of premultiplied colours over a picture, where it is there at all."""
    colour, alpha = layer[:, :3], layer[:, 3:]
    if there is not None:
        colour, alpha = colour * there, alpha * there
    return below * (1 - alpha) + colour


def _patched(picture: Tensor, there: Tensor, dice: _Dice) -> Tensor:
    """Lay a rectangle or an ellipse of one colour, shaded from top to bottom, over some pictures: boxes, pillows."""
    line = torch.linspace(-1, 1, picture.shape[-1], device=picture.device)
    across = (line - dice.uniform(-0.9, 0.9)) / dice.uniform(0.05, 0.35)
    down = (line[:, None] - dice.uniform(-0.9, 0.9)) / dice.uniform(0.05, 0.35)
    power = torch.where(dice.chance(0.5), 2.0, 8.0)
    covered = (across.abs() ** power + down.abs() ** power < 1) & there
    shade = (1 + dice.uniform(-0.4, 0.4) * down.clamp(-1, 1)) * dice.uniform(0, 1, 3, 1, 1)
    return torch.where(covered, shade.clamp(0, 1), picture)


def _background(backgrounds: Tensor | None, count: int, size: int, dice: _Dice) -> Tensor:
    """Return a part of each background, mirrored at times; one colour where there are none."""
    zoom, high = dice.uniform(0.35, 1.0, 1), dice.uniform(0.8, 1.2, 1)
    flip = dice.sign()
    aside = dice.uniform(-1, 1, 2)
    if backgrounds is None:
        return dice.uniform(0, 1, 3, 1, 1).expand(count, 3, size, size)
    zero = torch.zeros_like(zoom)
    middle = aside * (1 - zoom)
    place = _affine(zoom * flip, zero, middle[:, :1], zero, zoom * high, middle[:, 1:])
    return _placed(backgrounds.permute(0, 3, 1, 2).float() / 255, place, size, "reflection")


def _strewn(things: Tensor, sizes: tuple[float, float], heights: tuple[float, float], size: int, dice: _Dice) -> Tensor:
    """Put other things somewhere into the picture, in other tones, this large against it."""
    box = _boxes(things[:, 3])
    half = (box[:, 2:] - box[:, :2]).amax(1, keepdim=True) / 2 / dice.uniform(*sizes, 1)
    middle = (box[:, :2] + box[:, 2:]) / 2
    target = 2 * torch.cat([dice.uniform(0, 1, 1), dice.uniform(*heights, 1)], dim=1) - 1
    flip = dice.sign()
    zero = torch.zeros_like(half)
    across, down = middle[:, :1] - half * flip * target[:, :1], middle[:, 1:] - half * target[:, 1:]
    place = _affine(half * flip, zero, across, zero, half, down)
    placed = _placed(things, place, size)
    tone = dice.uniform(0.4, 1.4) * (1 + 0.25 * dice.normal(3, 1, 1))
    return torch.cat([placed[:, :3] * tone, placed[:, 3:]], dim=1)


def _shelved(behind: Tensor, thing: Tensor, dice: _Dice) -> Tensor:
    """Put rows of upright stripes into the object's holes, as books on shelves, in some pictures."""
    size = thing.shape[-1]
    stripes = dice.uniform(0, 1, 3, _SHELVES, _BOOKS) * dice.uniform(0.5, 1.2)
    grey = stripes.mean(1, keepdim=True)
    books = functional.interpolate(grey + (stripes - grey) * dice.uniform(0.2, 1.2), (size, size), mode="nearest")
    seen = functional.adaptive_max_pool2d(thing[:, 3:], _SMALL)
    grown = functional.max_pool2d(seen, 9, 1, 4)
    hull = 1 - functional.max_pool2d(1 - grown, 9, 1, 4)
    kept = dice.uniform(0, 1, 1, 6, 6) < dice.uniform(0.3, 1)
    where = hull * functional.interpolate(kept.float(), (_SMALL, _SMALL), mode="nearest") * dice.chance(0.3)
    return torch.lerp(behind, books, functional.interpolate(where, (size, size), mode="nearest"))


def _shadowed(behind: Tensor, thing: Tensor, dice: _Dice) -> Tensor:
    """Darken the ground about the object's foot, in most pictures."""
    size = thing.shape[-1]
    small = functional.interpolate(thing[:, 3:], (_SMALL, _SMALL), mode="area")
    soft = functional.pad(functional.avg_pool2d(small, 7, 1, 3), [0, 0, 1, 0])[:, :, :_SMALL]
    low = torch.linspace(0, 1, _SMALL, device=thing.device)[:, None] ** 1.5
    shade = functional.interpolate(soft * low, (size, size), mode="bilinear", align_corners=False)
    return behind * (1 - dice.uniform(0, 0.7) * dice.chance(0.7) * shade)


def _seen(picture: Tensor, dice: _Dice) -> Tensor:
    """Vary what a camera does to colours: saturation, contrast, brightness, white balance, its curve."""
    grey = picture.mean(dim=1, keepdim=True)
    picture = grey + torch.where(dice.chance(0.08), 0.0, dice.uniform(0.5, 1.5)) * (picture - grey)
    middle = picture.mean(dim=(1, 2, 3), keepdim=True)
    picture = middle + dice.uniform(0.7, 1.5) * (picture - middle)
    picture = picture * dice.uniform(0.75, 1.3) * (1 + 0.08 * dice.normal(3, 1, 1)).clamp(0.7, 1.3)
    return picture.clamp(0, 1) ** torch.exp(0.25 * dice.normal())


def _stored(picture: Tensor, dice: _Dice) -> Tensor:
    """Vary sharpness, grain and compression."""
    size = picture.shape[-1]

    def coarse(side: int) -> Tensor:
        small = functional.interpolate(picture, (side, side), mode="area")
        return functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)

    # Weights of ½, 1/3 and ¼ of the pixels: from sharp to badly out of focus
    for side, share in ((size // 2, 0.35), (size // 3, 0.15), (size // 4, 0.1)):
        picture = torch.lerp(picture, coarse(side), dice.uniform(0, 1) * dice.chance(share))
    grain = torch.randn_like(picture)
    grain = 0.8 * grain.mean(1, keepdim=True) + 0.4 * grain
    picture = (picture + 0.04 * dice.uniform(0, 1) ** 3 * grain).clamp(0, 1)
    return torch.where(dice.chance(0.3), jpeg(picture, dice.uniform(1, 8)), picture)


_LUMA = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)  # ITU-T T.871, §7


def _cosines() -> Tensor:
    """Return the 8 × 8 matrix of the discrete cosine transform, orthonormal."""
    k, n = torch.arange(8)[:, None], torch.arange(8)[None, :]
    matrix = 0.5 * torch.cos(math.pi / 8 * (n + 0.5) * k)
    matrix[0] /= math.sqrt(2)
    return matrix


_COSINES = _cosines()


def jpeg(pictures: Tensor, strength: Tensor) -> Tensor:
    """Lose what JPEG's compression loses: small waves in blocks of 8 × 8, fine ones before coarse ones.

    Parameters
    ----------
    pictures : Tensor, (B, 3, H, W)
        RGB in [0, 1]; sides that are multiples of 8.
    strength : Tensor, (B, 1, 1, 1)
        About 1 is hardly seen, 8 plainly.

    Returns
    -------
    Tensor, (B, 3, H, W)

    Examples
    --------
    >>> grey = torch.full((1, 3, 16, 16), 0.5)
    >>> bool((jpeg(grey, torch.ones(1, 1, 1, 1)) - grey).abs().max() < 0.02)
    True
    """
    count, _, height, width = pictures.shape
    colours, cosines = _LUMA.to(pictures), _COSINES.to(pictures)
    tones = torch.einsum("ij,bjhw->bihw", colours, pictures * 255 - 128)
    blocks = tones.reshape(count, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    waves = cosines @ blocks @ cosines.T
    k = torch.arange(8, device=pictures.device)
    step = (3 + 1.5 * (k[:, None] + k)) * strength[..., None, None]  # grows with the frequency, as its tables do
    waves = (waves / step).round() * step
    blocks = cosines.T @ waves @ cosines
    tones = blocks.transpose(3, 4).reshape(count, 3, height, width)
    return ((torch.einsum("ij,bjhw->bihw", torch.linalg.inv(colours), tones) + 128) / 255).clamp(0, 1)
