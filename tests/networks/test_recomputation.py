from __future__ import annotations

import torch
from torch import Tensor, nn

from voxgan.networks.recomputation import recomputed


def test_statistics_count_once_over_several_backward_passes() -> None:
    torch.manual_seed(0)
    norm, plain = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x = torch.randn(8, 3, requires_grad=True)
    expected, y = plain(x), recomputed(norm, x, norm)
    buffers = dict(norm._buffers)
    for _ in range(2):
        found = torch.autograd.grad(y.square().sum(), (x, norm.weight), retain_graph=True)
        plainly = torch.autograd.grad(expected.square().sum(), (x, plain.weight), retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(found, plainly, strict=True))
    assert all(norm._buffers[name] is value for name, value in buffers.items())
    for a, b in zip(norm.buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b)
    assert int(norm.num_batches_tracked) == 1


def test_statistics_stay_when_the_second_computation_fails() -> None:
    norm, failing = nn.BatchNorm1d(3), False

    def function(x: Tensor) -> Tensor:
        if failing:
            raise RuntimeError("out of memory")
        return norm(x).square()

    x = torch.randn(8, 3, requires_grad=True)
    y = recomputed(function, x, norm)
    before = [value.clone() for value in norm.buffers()]
    failing = True
    try:
        y.sum().backward()
    except RuntimeError as error:
        assert "out of memory" in str(error)
    else:
        raise AssertionError("it was not computed again")
    assert all(torch.equal(a, b) for a, b in zip(norm.buffers(), before, strict=True))


def test_without_a_norm_it_is_the_function() -> None:
    x = torch.randn(4, requires_grad=True)
    recomputed(torch.exp, x).sum().backward()
    assert torch.equal(x.grad, x.detach().exp())
