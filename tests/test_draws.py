from __future__ import annotations

import pytest
import torch

from voxgan.draws import Draws


@pytest.mark.parametrize("kind", ["uniform", "normal", "integers"])
def test_a_shape_gets_the_same_however_the_batch_is_divided(kind: str) -> None:
    def asked(draws: Draws) -> list[torch.Tensor]:
        draw = getattr(draws, kind)
        arguments = (0, 10) if kind == "integers" else ()
        return [draw(*arguments), draw(*arguments, 5), draws.of("z").normal(2), draw(*arguments, 2, 3)]

    whole = asked(Draws(3, 8))
    for count in (2, 4, 8):
        parts = [asked(Draws(3, 8, slice(first, first + 8 // count))) for first in range(0, 8, 8 // count)]
        for place, expected in enumerate(whole):
            assert torch.equal(torch.cat([part[place] for part in parts]), expected)


def test_purposes_and_seeds_differ_and_the_default_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    draws = Draws(1, 4)
    found = [draws.normal(3), draws.of("a").normal(3), draws.of("b").normal(3), Draws(2, 4).normal(3)]
    assert torch.equal(torch.rand(3), expected)
    assert all(not torch.equal(a, b) for i, a in enumerate(found) for b in found[:i])
    assert torch.equal(draws.of("a").normal(3), found[1])


def test_ranges() -> None:
    draws = Draws(0, 10_000)
    numbers = draws.integers(-2, 3, 2)
    assert numbers.min() == -2 and numbers.max() == 2
    uniform = draws.uniform()
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(float(uniform.mean()) - 0.5) < 0.02
    assert abs(float(draws.normal(3).std()) - 1) < 0.02
