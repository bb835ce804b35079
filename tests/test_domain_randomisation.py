from __future__ import annotations

import pytest
import torch
from torch import Tensor

from voxgan.domain_randomisation import _COSINES, _boxes, jpeg, randomised
from voxgan.draws import Draws

SIDE = 64


def views(count: int, left: int = 20, right: int = 40) -> Tensor:
    """Return red boxes from column `left` to `right`, in the middle rows, on nothing."""
    made = torch.zeros(count, SIDE, SIDE, 4, dtype=torch.uint8)
    made[:, 16:48, left:right] = torch.tensor([220, 30, 30, 255], dtype=torch.uint8)
    return made


def pictures(
    count: int = 64, seed: int = 0, others: Tensor | None = None, behind: Tensor | None = None, mirrored: bool = False
) -> Tensor:
    torch.manual_seed(seed)
    flips = torch.full((count,), mirrored)
    return randomised(views(count), others, behind, flips, 32, Draws(seed, count))


def test_in_range_and_of_the_size_asked_for() -> None:
    made = pictures()
    assert made.shape == (64, 3, 32, 32) and made.dtype == torch.float32
    assert float(made.min()) >= 0 and float(made.max()) <= 1


def test_a_function_of_the_seed_and_different_for_each() -> None:
    assert torch.equal(pictures(8, 3), pictures(8, 3))
    assert not torch.equal(pictures(8, 3), pictures(8, 4))
    assert len({picture.numpy().tobytes() for picture in pictures(32)}) == 32


def test_all_but_the_grain_does_not_depend_on_how_a_batch_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    others = views(8, 5, 12)[:, None].expand(-1, 2, -1, -1, -1)
    behind = torch.randint(256, (8, SIDE, SIDE, 3), dtype=torch.uint8)
    flips = torch.arange(8) % 2 == 0
    whole = randomised(views(8), others, behind, flips, 32, Draws(5, 8))
    for part in (slice(0, 3), slice(3, 8)):
        piece = randomised(views(8)[part], others[part], behind[part], flips[part], 32, Draws(5, 8, part))
        torch.testing.assert_close(piece, whole[part])


def test_the_object_stays_in_the_picture() -> None:
    """It is the only thing of its colour: red against what is neither red nor there."""
    behind = torch.full((256, SIDE, SIDE, 3), 128, dtype=torch.uint8)
    made = pictures(256, 1, behind=behind)
    red = (made[:, 0] - made[:, 1:].amax(1)).clamp_min(0)
    coloured = red.flatten(1).amax(1) > 0.08
    assert float(coloured.float().mean()) > 0.85  # the others are grey, dark, or white from light
    seen = (red > 0.08).float().mean((1, 2))[coloured]
    assert float(seen.median()) > 0.15


def test_crops_that_are_not_square_stand_on_white() -> None:
    behind = torch.zeros(256, SIDE, SIDE, 3, dtype=torch.uint8)
    made = pictures(256, 2, behind=behind)
    corners = made[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    white = (corners == 1).flatten(1).all(1)
    assert 0.5 < float(white.float().mean()) < 0.95


def test_mirrored_views_come_out_mirrored() -> None:
    torch.manual_seed(0)
    count = 128
    lopsided = views(count)
    lopsided[:, 16:32, 20:30] = torch.tensor([30, 30, 220, 255], dtype=torch.uint8)  # blue: above, left

    def side(mirrored: bool) -> Tensor:
        torch.manual_seed(0)
        made = randomised(lopsided, None, None, torch.full((count,), mirrored), 32, Draws(0, count))
        blue = (made[:, 2] - made[:, :2].amax(1)).clamp_min(0)
        columns = torch.arange(32.0)
        return (blue.sum(1) * columns).sum(1) / blue.sum((1, 2)).clamp_min(1e-3)

    assert float((side(False) < side(True)).float().mean()) > 0.8


def test_other_things_stand_behind_and_before() -> None:
    green = views(1, 0, SIDE).clone()
    green[..., :3] = torch.tensor([20, 230, 20], dtype=torch.uint8)
    others = green[:, None].expand(256, 2, -1, -1, -1)
    behind = torch.full((256, SIDE, SIDE, 3), 128, dtype=torch.uint8)

    def share(made: Tensor) -> float:
        greenish = made[:, 1] - torch.maximum(made[:, 0], made[:, 2]) > 0.1
        return float((greenish.float().mean((1, 2)) > 0.01).float().mean())

    assert share(pictures(256, 3, others, behind)) > share(pictures(256, 3, None, behind)) + 0.25


def test_an_empty_view_is_no_error() -> None:
    empty = torch.zeros(4, SIDE, SIDE, 4, dtype=torch.uint8)
    made = randomised(empty, None, None, torch.zeros(4, dtype=torch.bool), 32, Draws(0, 4))
    assert torch.isfinite(made).all()


def test_boxes_hold_what_is_there() -> None:
    alpha = torch.zeros(3, 8, 8)
    alpha[0, 2:4, 1:7] = 1
    alpha[1, 7, 0] = 0.5
    assert _boxes(alpha).tolist() == [[-0.75, -0.5, 0.75, 0], [-1, 0.75, -0.75, 1], [-1, -1, 1, 1]]


# ---------------------------------------------------------------------------------------------------- JPEG
def test_waves_are_orthonormal() -> None:
    torch.testing.assert_close(_COSINES @ _COSINES.T, torch.eye(8))


def test_compression_loses_more_the_stronger_it_is() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 32, 32)
    strengths = torch.tensor([0.01, 1, 3, 8]).reshape(4, 1, 1, 1)
    lost = (jpeg(picture.expand(4, -1, -1, -1), strengths) - picture).square().mean((1, 2, 3)).tolist()
    assert lost[0] < 1e-5 and lost == sorted(lost) and lost[3] > 5 * lost[1]


def test_blocks_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 16, 24) * 0.5 + 0.25
    changed = picture.clone()
    changed[..., :8, :8] = 0.5
    strength = torch.full((1, 1, 1, 1), 4.0)
    differs = (jpeg(picture, strength) != jpeg(changed, strength)).any(1)[0]
    assert differs[:8, :8].any() and not differs[8:].any() and not differs[:, 8:].any()


def test_it_is_pillows_jpeg_about() -> None:
    """At like strength, what is lost is like what Pillow's own encoder loses."""
    import io

    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    )
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=50, subsampling=0)
    theirs = np.asarray(Image.open(buffer), np.float32) / 255
    picture = torch.from_numpy(smooth.transpose(2, 0, 1).copy()).float()[None] / 255
    ours = jpeg(picture, torch.full((1, 1, 1, 1), 4.0))[0].permute(1, 2, 0).numpy()
    original = smooth / 255
    assert 0.2 < float(np.square(ours - original).mean() / np.square(theirs - original).mean()) < 5
