"""The generator as it is sampled from: batch norms folded into the weights, layers in the order fastest on the device.

Training and gradients use `Generator` itself; a form is only as current as the weights it was built from, which
`Sampler` watches. A form holds the weights a second time (70 MB at the paper's width in single precision, half of it
in bfloat16), and on a CPU those of its middle layers once more for each of the last few batch sizes.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks.forms import block_kernel, unblock
from voxgan.networks.generator import Generator

__all__ = ["PRECISIONS", "Sampler", "SamplingForm"]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

_MAX_PACKED = 4  # batch sizes for which packed weights are kept
_PROBES = 64  # numbers of a tensor that are looked at for changes

# stride, padding, output padding and dilation of a hidden layer, in the order of oneDNN's own functions
_PLAN = ([1, 1, 1], [0, 0, 0], [2, 2, 2], [1, 1, 1], 1)


def _pack(weight: Tensor, shape: Iterable[int]) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._reorder_convolution_transpose_weight(weight, *_PLAN, list(shape)))


def _packed_layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    run = torch.ops.mkldnn._convolution_transpose_pointwise
    return cast(Tensor, run(x, weight, bias, *_PLAN, "relu", [], ""))


def _plain_layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return conv_transpose3d(x, weight, bias, stride=2, padding=1).relu_()


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN's functions, which torch does not document, are there and compute what they should."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    # A generator of its own: the numbers that others draw stay as they are.
    source = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=source).to(dtype) for shape in ((2, 8, 3, 3, 3), (8, 6, 4, 4, 4), 6)
    )
    x = x.contiguous(memory_format=torch.channels_last_3d)
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    try:
        found = _packed_layer(x, _pack(weight, x.shape), bias)
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    expected = conv_transpose3d(x.float(), weight.float(), bias.float(), stride=2, padding=1).relu_()
    close = 1e-4 if dtype == torch.float32 else 0.05
    return found.shape == expected.shape and torch.allclose(found.float(), expected, atol=close, rtol=close)


class SamplingForm:
    """Latent → occupancy, equal to the generator in evaluation mode.

    The first layer is a matrix product, the middle ones transposed convolutions with their ReLU, the last a
    convolution over blocks (`voxgan.networks.forms`); the sigmoid is in single precision. On a CPU the middle layers'
    weights are packed for oneDNN once, not in every call. No gradient passes.

    Parameters
    ----------
    generator : Generator
        Its weights are copied.
    precision : {"fp32", "bf16"}
        Of the layers. In bfloat16 a few voxels near the surface, where occupancy is about ½, come out on the other
        side.

    Raises
    ------
    ValueError
        For another precision.

    Examples
    --------
    >>> generator = Generator(resolution=16, width=4).eval()
    >>> z = torch.rand(2, 200)
    >>> torch.allclose(SamplingForm(generator)(z), generator(z), atol=1e-5)
    True
    """

    def __init__(self, generator: Generator, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
        self.precision, self.dtype = precision, PRECISIONS[precision]
        convolutions = [layer for layer in generator.layers if isinstance(layer, nn.ConvTranspose3d)]
        norms = [layer for layer in cast(Iterable[Any], generator.layers) if hasattr(layer, "running_var")]
        with torch.no_grad():
            weights, biases = [], []
            for convolution, norm in zip(convolutions, norms, strict=False):
                scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
                weights.append(convolution.weight * scale[:, None, None, None])
                biases.append((norm.bias - norm.running_mean * scale).to(self.dtype))
            first, *hidden = weights
            # Channels come last in what a matrix product gives, so that nothing is moved before the next layer.
            self._first = first.to(self.dtype).permute(0, 2, 3, 4, 1).reshape(len(first), -1).contiguous()
            self._first_bias = biases[0].repeat(64)
            self._hidden = [
                (weight.to(self.dtype, memory_format=torch.channels_last_3d), bias)
                for weight, bias in zip(hidden, biases[1:], strict=True)
            ]
            self._last = block_kernel(convolutions[-1].weight).to(self.dtype)
        self._packs = self._first.device.type == "cpu" and _can_pack(self.dtype)
        self._packed: dict[int, list[Tensor]] = {}
        self._lock = threading.Lock()

    def __call__(self, z: Tensor) -> Tensor:
        """Return occupancy in (0, 1), float32 (B, 1, R, R, R), for latents (B, L)."""
        with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
            x = self._first_layer(z).relu_().reshape(len(z), 4, 4, 4, -1).permute(0, 4, 1, 2, 3)
            if self._packs and len(z):
                for weight, (_, bias) in zip(self._packed_weights(len(z)), self._hidden, strict=True):
                    x = _packed_layer(x, weight, bias)
            else:
                for weight, bias in self._hidden:
                    x = _plain_layer(x, weight, bias)
            return unblock(conv3d(x, self._last, padding=1)).float().sigmoid_()

    def _first_layer(self, z: Tensor) -> Tensor:
        if self.dtype == torch.float32:
            return torch.addmm(self._first_bias, z.to(self.dtype), self._first)
        # Of all that is rounded, z counts most. What its rounding loses goes along as a second batch: the time goes
        # into reading the weights.
        high = z.to(self.dtype)
        low = (z - high).to(self.dtype)
        x, lost = torch.chunk(torch.cat([high, low]) @ self._first, 2)
        return x.add_(lost).add_(self._first_bias)

    def _packed_weights(self, batch: int) -> list[Tensor]:
        """Weights of the middle layers for this batch size: oneDNN's layout depends on the whole input's shape."""
        with self._lock:
            packed = self._packed.pop(batch, None)
            if packed is None:
                packed = []
                for weight, _ in self._hidden:
                    side = 4 * 2 ** len(packed)
                    packed.append(_pack(weight, (batch, len(weight), side, side, side)))
                while len(self._packed) >= _MAX_PACKED:
                    self._packed.pop(next(iter(self._packed)))
            self._packed[batch] = packed  # the last used one last
            return packed


class Sampler:
    """Keeps the form of a generator while its weights, their device and the precision stay as they are.

    A copy of it is empty, and so is a pickle: forms are made again where they are needed.

    Examples
    --------
    >>> sampler, generator = Sampler(), Generator(resolution=16, width=4).eval()
    >>> form = sampler.form(generator)
    >>> form is sampler.form(generator)
    True
    >>> _ = torch.nn.init.normal_(generator.layers[0].weight)
    >>> form is sampler.form(generator)
    False
    """

    def __init__(self) -> None:
        self._kept: tuple[_Seen, SamplingForm] | None = None

    def __reduce__(self) -> tuple[type[Sampler], tuple[()]]:
        return Sampler, ()

    def form(self, generator: Generator, precision: str = "fp32") -> SamplingForm:
        """Return the generator's form, built again if anything has changed."""
        # Made in inference mode, its tensors could not be used outside of it.
        with torch.inference_mode(False), torch.no_grad():
            seen = _Seen(generator, precision)
            kept = self._kept
            if kept is not None and kept[0].same(seen):
                return kept[1]
            self._kept = None  # the old one's memory first
            form = SamplingForm(generator, precision)
            self._kept = seen, form
            return form

    def clear(self) -> None:
        """Give the memory back."""
        self._kept = None


class _Seen:
    """What a form was built from: which tensors, how often each was written to, and some of the numbers in it.

    The numbers show what went through ``tensor.data`` or torch's fused optimisers, which count no writing.
    """

    def __init__(self, generator: Generator, precision: str) -> None:
        self._state = [*generator.parameters(), *generator.buffers()]
        # Holding them keeps their addresses from being given to others.
        self._held = [tensor.detach() for tensor in self._state]
        self._key = precision, [_identity(tensor) for tensor in self._state]
        probes = [tensor.flatten()[:: max(1, tensor.numel() // _PROBES)].double() for tensor in self._held]
        self._numbers = torch.cat(probes)  # together: to compare is to wait for a GPU

    def same(self, other: _Seen) -> bool:
        return self._key == other._key and torch.equal(self._numbers, other._numbers)


def _identity(tensor: Tensor) -> tuple[int, int, torch.device]:
    version = -1 if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, tensor.device
