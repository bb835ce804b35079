from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks.forms import conv_by_blocks, conv_transpose_by_blocks


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
