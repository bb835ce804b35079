from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks import forms, winograd
from voxgan.networks.derivatives import convolved, convolved_transposed
from voxgan.networks.forms import conv, conv_transpose


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("batch", [1, 3, 20])  # the last in several parts from side 8 on
def test_the_three_products_are_those_of_the_plain_layers(batch: int, side: int, dtype: torch.dtype) -> None:
    narrow = torch.randn(batch, 5, side, side, side, dtype=dtype)
    wide = torch.randn(batch, 6, 2 * side, 2 * side, 2 * side, dtype=dtype)
    weight, bias = torch.randn(5, 6, 4, 4, 4, dtype=dtype, requires_grad=True), torch.randn(6, dtype=dtype)
    prepared = winograd.prepared(weight, dtype)
    close = 1e-12 if dtype == torch.float64 else 2e-6
    with torch.no_grad():
        grown = conv_transpose3d(narrow, weight, bias, stride=2, padding=1)
        assert off(winograd.grow(narrow, prepared, bias), grown) < close
        assert off(winograd.grow(narrow, prepared, bias, rectified=True), grown.relu()) < close
        no_bias = conv_transpose3d(narrow, weight, stride=2, padding=1)
        assert off(winograd.grow(narrow.contiguous(memory_format=torch.channels_last_3d), prepared), no_bias) < close
    shrunk = conv3d(wide, weight, stride=2, padding=1)
    assert off(winograd.shrink(wide, prepared), shrunk.detach()) < close
    (gradient,) = torch.autograd.grad(shrunk, weight, narrow)
    found = winograd.correlate(wide, narrow, dtype)
    assert off(found, gradient) < close and found.is_contiguous() and found.shape == weight.shape


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_first_and_second_order(transposed: bool) -> None:
    ours, plain = (convolved_transposed, conv_transpose3d) if transposed else (convolved, conv3d)
    x = torch.randn(2, 3, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn((3, 2, 4, 4, 4) if transposed else (2, 3, 4, 4, 4), dtype=torch.float64, requires_grad=True)

    def found(function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        first = torch.autograd.grad(function(x, weight).pow(3).sum(), (x, weight), create_graph=True)
        return [*first, *torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), (x, weight))]

    expected = found(lambda x, weight: plain(x, weight, stride=2, padding=1))
    for value, right in zip(found(lambda x, weight: ours(x, weight, winograd)), expected, strict=True):
        assert off(value, right) < 1e-12


def test_two_threads_do_not_get_into_each_other() -> None:
    weight = torch.randn(6, 4, 4, 4, 4)
    prepared, wrong = winograd.prepared(weight), []

    def run(seed: int) -> None:
        x = torch.randn(2, 6, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
        plain = conv_transpose3d(x, weight, stride=2, padding=1)
        wrong.extend(seed for _ in range(20) if off(winograd.grow(x, prepared), plain) > 1e-5)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_made_in_inference_mode_it_works_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_workspace", winograd._Workspace())
    weight = torch.randn(3, 2, 4, 4, 4)
    x = torch.randn(1, 3, 4, 4, 4)
    with torch.inference_mode():
        inside = winograd.grow(x, winograd.prepared(weight))
    x = x.requires_grad_(True)
    outside = convolved_transposed(x, weight, winograd)
    outside.sum().backward()
    assert torch.equal(inside, outside.detach()) and x.grad is not None


def test_where_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.zeros(128, 64, 4, 4, 4, requires_grad=True)
    narrow, wide = torch.zeros(1, 128, 8, 8, 8), torch.zeros(1, 64, 16, 16, 16)

    def taken(x: Tensor, weight: Tensor = weight, layer: Callable[[Tensor, Tensor], Tensor] = conv_transpose) -> bool:
        return type(layer(x, weight).grad_fn).__name__.startswith("_Convolve")

    for fast_products in (True, False):
        monkeypatch.setattr(winograd, "_outruns_convolutions", lambda fast=fast_products: fast)
        assert taken(narrow.expand(2, -1, -1, -1, -1)) is fast_products
        assert taken(wide.expand(2, -1, -1, -1, -1), layer=conv) is fast_products
        assert not taken(narrow)  # one shape: preparing the weights costs more
        assert not taken(narrow.expand(2, -1, -1, -1, -1)[:, :64], weight[:64])  # too few weights
        assert not taken(narrow.expand(2, -1, -1, -1, -1).double(), weight.double())
    monkeypatch.setattr(winograd, "_outruns_convolutions", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert not taken(narrow.expand(2, -1, -1, -1, -1))


def test_those_who_only_count_operations_see_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.setattr(winograd, "_outruns_convolutions", lambda: True)
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        forms.conv_transpose(torch.zeros(2, 128, 16, 16, 16), torch.zeros(128, 64, 4, 4, 4))
    assert counter.get_total_flops() == 2 * 2 * 128 * 64 * 64 * 16**3
