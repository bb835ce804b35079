from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks import forms
from voxgan.networks.forms import compute_dtype, conv, conv_by_blocks, conv_transpose, conv_transpose_by_blocks


@pytest.mark.parametrize("side", [1, 2, 3, 8])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_transposed_equals_plain_with_its_gradients(batch: int, channels: int, side: int) -> None:
    x = torch.randn(batch, channels, side, side, side, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(channels, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    fast = conv_transpose_by_blocks(x, weight)
    plain = conv_transpose3d(x, weight, stride=2, padding=1)
    assert fast.shape == (batch, 1, 2 * side, 2 * side, 2 * side)
    torch.testing.assert_close(fast, plain, atol=1e-12, rtol=1e-12)
    seed = torch.randn_like(plain)
    found, expected = (torch.autograd.grad((y * seed).sum(), (x, weight)) for y in (fast, plain))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("side", [2, 4, 16])
@pytest.mark.parametrize("pack", [1, 3])
@pytest.mark.parametrize("batch", [1, 3])
def test_convolution_equals_plain_with_its_gradients(batch: int, pack: int, side: int) -> None:
    x = torch.randn(batch, pack, side, side, side, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, pack, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    fast = conv_by_blocks(x, weight)
    plain = conv3d(x, weight, stride=2, padding=1)
    assert fast.shape == (batch, 5, side // 2, side // 2, side // 2)
    torch.testing.assert_close(fast, plain, atol=1e-12, rtol=1e-12)
    seed = torch.randn_like(plain)
    found, expected = (torch.autograd.grad((y * seed).sum(), (x, weight)) for y in (fast, plain))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def _plain(transposed: bool) -> Callable[[Tensor, Tensor], Tensor]:
    function = conv_transpose3d if transposed else conv3d
    return lambda x, weight: function(x, weight.to(x.dtype), stride=2, padding=1)


@pytest.fixture(params=["convolution", "matrix"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take small layers for deep ones, which are matrix products in bfloat16, or none."""
    monkeypatch.setattr(forms, "_MANY_WEIGHTS", 0 if request.param == "matrix" else 2**62)
    return str(request.param)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_plain_with_gradients_of_first_and_second_order(
    form: str, transposed: bool, dtype: torch.dtype, batch: int
) -> None:
    fast, plain = conv_transpose if transposed else conv, _plain(transposed)
    x = torch.randn(batch, 6, 4, 4, 4).to(dtype).requires_grad_(True)
    full = torch.float32 if dtype == torch.bfloat16 else dtype
    weight = (torch.randn((6, 5, 4, 4, 4) if transposed else (5, 6, 4, 4, 4), dtype=full)).requires_grad_(True)
    close = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]

    def found(function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        y = function(x, weight)
        first = torch.autograd.grad(y.to(full).square().sum(), (x, weight), create_graph=True)
        second = torch.autograd.grad(first[0].to(full).square().sum() + first[1].square().sum(), (x, weight))
        return [y, *first, *second]

    for value, expected in zip(found(fast), found(plain), strict=True):
        assert value.dtype == expected.dtype and value.shape == expected.shape
        assert (value - expected).to(full).norm() <= close * expected.to(full).norm()


@pytest.mark.parametrize("transposed", [False, True])
def test_matrix_products_are_taken_for_deep_layers_in_bfloat16_only(transposed: bool) -> None:
    fast = conv_transpose if transposed else conv
    kind = "_ConvolveTransposed" if transposed else "_Convolve"
    shape = (512, 256, 4, 4, 4)
    weight = torch.zeros(shape, requires_grad=True)
    x = torch.zeros(2, 512 if transposed else 256, *(4 if transposed else 8,) * 3)

    def name(x: Tensor, weight: Tensor) -> str:
        return type(fast(x, weight).grad_fn).__name__

    assert name(x.bfloat16(), weight) == f"{kind}Backward"
    assert name(x, weight) != f"{kind}Backward"
    y = fast(x.bfloat16(), weight)
    y.sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32 and weight.grad.is_contiguous()


def test_gradients_of_weights_come_in_their_layout() -> None:
    weight = torch.randn(5, 6, 4, 4, 4, requires_grad=True)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(2, 6, 8, 8, 8, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
        (gradient,) = torch.autograd.grad(conv(x, weight).float().sum(), weight)
        assert gradient.is_contiguous() and gradient.dtype == torch.float32


def test_blocks_have_gradients_of_second_order() -> None:
    x = torch.randn(2, 2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv_by_blocks, (x, weight))
    assert torch.autograd.gradgradcheck(conv_by_blocks, (x, weight))
    x = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv_transpose_by_blocks, (x, weight))
    assert torch.autograd.gradgradcheck(conv_transpose_by_blocks, (x, weight))


def test_types_under_autocast() -> None:
    x, weight = torch.randn(2, 3, 4, 4, 4), torch.randn(3, 1, 4, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(x) == torch.bfloat16
        assert conv_transpose(x, weight).dtype == torch.bfloat16
        assert conv_transpose_by_blocks(x, weight).dtype == torch.float32
        assert conv_by_blocks(x[:, :1], torch.randn(2, 1, 4, 4, 4)).dtype == torch.bfloat16
    assert compute_dtype(x) == torch.float32 and compute_dtype(x.to("meta")) == torch.float32


def test_shapes_without_data() -> None:
    x, weight = torch.empty(2, 3, 8, 8, 8, device="meta"), torch.empty(5, 3, 4, 4, 4, device="meta")
    assert conv(x, weight).shape == conv_by_blocks(x, weight).shape == (2, 5, 4, 4, 4)
    x = torch.empty(2, 5, 4, 4, 4, device="meta")
    assert conv_transpose(x, weight).shape == (2, 3, 8, 8, 8)
    assert conv_transpose_by_blocks(x, weight[:, :1]).shape == (2, 1, 8, 8, 8)
