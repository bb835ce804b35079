"""The generator as it is sampled from: batch norms folded into the weights, layers in the order fastest on the device.

Training and gradients use `Generator` itself; a form is only as current as the weights it was built from, which
`Sampler` watches. A form holds the weights a second time (70 MB at the paper's width in single precision, half of it
in bfloat16), and on a CPU those of its middle layers once more for each of the last few batch sizes; where layers are
computed with fewer products, another 84 MB, and the process some 100 MB to work in.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks import winograd
from voxgan.networks.forms import block_kernel, has_bfloat16, unblock
from voxgan.networks.generator import Generator
from voxgan.networks.residual import ResidualGenerator

__all__ = ["PRECISIONS", "AsTrained", "Sampler", "SamplingForm"]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

_MAX_PACKED = 4  # batch sizes for which packed weights are kept
_PROBES = 64  # numbers of a tensor that are looked at for changes

# stride, padding, output padding and dilation of a hidden layer, in the order of oneDNN's own functions
_PLAN = ([1, 1, 1], [0, 0, 0], [2, 2, 2], [1, 1, 1], 1)


Layer = Callable[[Tensor], Tensor]


class _Plain:
    """A transposed convolution, its bias and its ReLU, as torch computes it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.contiguous(memory_format=torch.channels_last_3d), bias

    def __call__(self, x: Tensor) -> Tensor:
        return conv_transpose3d(x, self.weight, self.bias, stride=2, padding=1).relu_()


class _Packed:
    """The same as oneDNN computes it, its weights laid out as it wants them: differently for each batch size."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight.contiguous(memory_format=torch.channels_last_3d), bias
        self.packed: dict[tuple[int, ...], Tensor] = {}
        self._lock = threading.Lock()

    def __call__(self, x: Tensor) -> Tensor:
        run = torch.ops.mkldnn._convolution_transpose_pointwise
        return cast(Tensor, run(x, self._packed_for(x.shape), self.bias, *_PLAN, "relu", [], ""))

    def _packed_for(self, shape: torch.Size) -> Tensor:
        with self._lock:
            found = self.packed.pop(tuple(shape), None)
            if found is None:
                found = torch.ops.mkldnn._reorder_convolution_transpose_weight(self.weight, *_PLAN, list(shape))
                while len(self.packed) >= _MAX_PACKED:
                    self.packed.pop(next(iter(self.packed)))
            self.packed[tuple(shape)] = found  # the last used one last
            return found


class _Winograd:
    """The same with fewer products (`voxgan.networks.winograd`), where there are enough shapes for that."""

    def __init__(self, weight: Tensor, bias: Tensor, otherwise: Layer) -> None:
        self.weight, self.bias, self.otherwise = weight, bias, otherwise
        self.prepared = winograd.prepared(weight)

    def __call__(self, x: Tensor) -> Tensor:
        if winograd.pays(self.weight, len(x), x.shape[2]):
            return winograd.grow(x, self.prepared, self.bias, rectified=True)
        return self.otherwise(x)


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
    try:
        found = _Packed(weight, bias)(x)
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
        side. A device without bfloat16 computes in single precision, which is faster there.

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
        self.precision = precision
        device = next(generator.parameters()).device
        self.dtype = PRECISIONS[precision] if has_bfloat16(device) else torch.float32
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
                self._layer(weight, bias, 4 * 2**place)
                for place, (weight, bias) in enumerate(zip(hidden, biases[1:], strict=True))
            ]
            self._last = block_kernel(convolutions[-1].weight).to(self.dtype)

    def _layer(self, weight: Tensor, bias: Tensor, side: int) -> Layer:
        """Return the fastest form of a middle layer whose input has this side."""
        low = weight.to(self.dtype)
        if weight.device.type != "cpu":
            return _Plain(low, bias)
        layer = (_Packed if _can_pack(self.dtype) else _Plain)(low, bias)
        many = 2**10  # whether a call has enough shapes is asked in the call
        if self.dtype == torch.float32 and winograd.pays(weight, many, side):
            return _Winograd(weight, bias, layer)
        return layer

    def __call__(self, z: Tensor) -> Tensor:
        """Return occupancy in (0, 1), float32 (B, 1, R, R, R), for latents (B, L)."""
        with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
            x = self._first_layer(z).relu_().reshape(len(z), 4, 4, 4, -1).permute(0, 4, 1, 2, 3)
            *hidden, largest = self._hidden
            for layer in hidden:
                x = layer(x)
            if isinstance(largest, _Winograd):  # in parts, whose volumes stay near the processor
                return torch.cat([self._finish(part, largest) for part in torch.split(x, 2)])
            return self._finish(x, largest)

    def _finish(self, x: Tensor, largest: Layer) -> Tensor:
        return unblock(conv3d(largest(x), self._last, padding=1)).float().sigmoid_()

    def _first_layer(self, z: Tensor) -> Tensor:
        if self.dtype == torch.float32:
            return torch.addmm(self._first_bias, z.to(self.dtype), self._first)
        # Of all that is rounded, z counts most. What its rounding loses goes along as a second batch: the time goes
        # into reading the weights.
        high = z.to(self.dtype)
        low = (z - high).to(self.dtype)
        x, lost = torch.chunk(torch.cat([high, low]) @ self._first, 2)
        return x.add_(lost).add_(self._first_bias)


class AsTrained:
    """Latent → occupancy by the generator itself, in evaluation mode: for those without batch norms to fold away.

    Parameters
    ----------
    generator : Generator or ResidualGenerator
        Its weights are shared, not copied.
    precision : {"fp32", "bf16"}
        As for `SamplingForm`.

    Examples
    --------
    >>> generator = ResidualGenerator(resolution=16, width=4).eval()
    >>> z = torch.rand(2, 200)
    >>> torch.equal(AsTrained(generator)(z), generator(z))
    True
    """

    def __init__(self, generator: Generator | ResidualGenerator, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r}: expected {' or '.join(PRECISIONS)}")
        self.generator, self.precision = generator, precision
        self.dtype = PRECISIONS[precision] if has_bfloat16(next(generator.parameters()).device) else torch.float32

    def __call__(self, z: Tensor) -> Tensor:
        """Return occupancy in (0, 1), float32 (B, 1, R, R, R), for latents (B, L)."""
        low = self.dtype == torch.bfloat16
        with torch.no_grad(), torch.autocast(z.device.type, torch.bfloat16, enabled=low):
            return cast(Tensor, self.generator(z)).float()


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
        self._kept: tuple[_Seen, SamplingForm] | None = None  # `AsTrained` holds nothing worth keeping

    def __reduce__(self) -> tuple[type[Sampler], tuple[()]]:
        return Sampler, ()

    def form(self, generator: Generator | ResidualGenerator, precision: str = "fp32") -> SamplingForm | AsTrained:
        """Return the generator's form, built again if anything has changed."""
        if not isinstance(generator, Generator) or generator.norm != "batch":
            return AsTrained(generator, precision)
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
