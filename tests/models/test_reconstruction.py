from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from voxgan.models.reconstruction import RECONSTRUCTIONS, bernoulli, levelled

# Two shapes of eight cells; p = ½ everywhere in the first, all right and sure in the second.
REAL = torch.tensor([[1.0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]]).reshape(2, 1, 2, 2, 2)
LOGITS = torch.stack([torch.zeros(1, 2, 2, 2), 200 * REAL[1] - 100])


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("l2", math.sqrt(8 / 4), 0),
        ("bce", math.log(2), 0),
        ("weighted_bce", math.log(2) * (2 * 3 + 6) / 8, 0),
        ("dice", 1 - (2 * 1 + 1) / (4 + 2 + 1), 0),
        ("tversky", 1 - (1 + 0.5) / (1 + 0.3 * 3 + 0.7 * 1 + 0.5), 0),
        ("bce_dice", math.log(2) + 0.5 * (1 - 3 / 7), 0),
    ],
)
def test_closed_forms(name: str, first: float, second: float) -> None:
    loss = RECONSTRUCTIONS[name]
    assert float(loss(LOGITS[:1], REAL[:1])) == pytest.approx(first, abs=1e-5)
    assert float(loss(LOGITS[1:], REAL[1:])) == pytest.approx(second, abs=1e-5)
    assert float(loss(LOGITS, REAL)) == pytest.approx((first + second) / 2, abs=1e-5)


def best(name: str, share: float) -> float:
    """Return the probability at which a loss is least for cells that are inside with this probability."""
    real = (torch.arange(1000) < 1000 * share).float().reshape(1000, 1, 1, 1, 1)
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([logit], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        RECONSTRUCTIONS[name](logit.expand(1000)[:, None, None, None, None], real).backward()
        optimizer.step()
    return float(torch.sigmoid(logit.detach()))


def test_cross_entropy_learns_the_probability_and_weights_exaggerate_it() -> None:
    assert best("bce", 0.2) == pytest.approx(0.2, abs=0.01)
    assert best("weighted_bce", 0.2) == pytest.approx(0.6 / 1.4, abs=0.01)


def test_missing_costs_more_than_too_much_for_tversky() -> None:
    def loss(name: str, occupancy: Tensor) -> float:
        return float(RECONSTRUCTIONS[name](200 * occupancy - 100, REAL[1:]))

    less, more = REAL[1:].clone(), REAL[1:].clone()
    less[0, 0, 1, 0], more[0, 0, 0, 0] = 0, 1
    assert loss("tversky", less) > loss("tversky", more) + 0.1
    assert loss("bce", less) == pytest.approx(loss("bce", more))


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
@pytest.mark.parametrize("logit", [-60.0, 60.0])
def test_finite_and_with_a_gradient_where_all_is_wrong(name: str, logit: float) -> None:
    real = torch.full((1, 1, 4, 4, 4), float(logit < 0))
    logits = torch.full_like(real, logit / 10, requires_grad=True)
    loss = RECONSTRUCTIONS[name](logits, real)
    loss.backward()
    assert torch.isfinite(loss.detach()) and float(logits.grad.abs().sum()) > 0
    assert torch.isfinite(RECONSTRUCTIONS[name](torch.full_like(real, logit), real))


def test_half_precision_logits_are_summed_in_single() -> None:
    logits, real = torch.randn(2, 1, 8, 8, 8), (torch.rand(2, 1, 8, 8, 8) < 0.3).float()
    assert bernoulli(logits.bfloat16(), real).dtype == torch.float32


# ------------------------------------------------------------------------------------------------- levels
def doubtful(seed: int) -> np.ndarray:
    """Return probabilities as a cautious model gives them: high inside a block, fading around it."""
    rng = np.random.default_rng(seed)
    where = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
    distance = np.abs(where - rng.uniform(5, 10, (3, 1, 1, 1))).max(0)
    return (0.6 * np.exp(-np.maximum(distance - 2, 0) / 2)).astype(np.float32)[None]


def test_levels_give_the_highest_iou_with_shapes_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    for seed in range(3):
        p = doubtful(seed)
        real = rng.random((200, *p.shape[1:])) < p
        ious = {}
        for level in np.linspace(0.02, 0.6, 30):
            made = p >= level
            ious[level] = float(((made & real).sum((1, 2, 3)) / np.maximum((made | real).sum((1, 2, 3)), 1)).mean())
        made = levelled(p) >= 0.5
        found = float(((made & real).sum((1, 2, 3)) / (made | real).sum((1, 2, 3))).mean())
        at_half = p >= 0.5
        assert found > max(ious.values()) - 0.005
        assert found > ((at_half & real).sum((1, 2, 3)) / (at_half | real).sum((1, 2, 3))).mean() + 0.05


def test_levels_keep_the_order_and_the_range() -> None:
    p = doubtful(0)
    moved = levelled(p)
    assert moved.dtype == np.float32 and moved.min() >= 0 and moved.max() <= 1
    order = np.argsort(p.ravel(), kind="stable")
    assert (np.diff(moved.ravel()[order]) >= 0).all()


@pytest.mark.parametrize(
    "grid", [np.zeros((1, 8, 8, 8)), np.ones((1, 8, 8, 8)), np.eye(8)[None, :, :, None] * np.ones(8)]
)
def test_levels_leave_what_is_certain(grid: np.ndarray) -> None:
    np.testing.assert_array_equal(levelled(grid.astype(np.float32)), grid)


def test_each_shape_has_its_own_level() -> None:
    both = levelled(np.concatenate([doubtful(0), doubtful(1)]))
    np.testing.assert_array_equal(both, np.concatenate([levelled(doubtful(0)), levelled(doubtful(1))]))
