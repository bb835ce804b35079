"""A generator and a discriminator of residual blocks, for latents and volumes like the paper's networks.

Pre-activation blocks (He et al. 2016, arXiv:1603.05027) that change the side in passing, as in Gulrajani et al. 2017
(arXiv:1704.00028, appendix), here on volumes. Sides double by repeating cells before a convolution, which leaves no
pattern of overlapping kernels (Odena et al. 2016, doi:10.23915/distill.00003; Karras et al. 2018, arXiv:1710.10196),
and are halved by averaging after one.

Neither is computed that way. Repeating each cell 2×2×2 times and a convolution of kernel 3 are together one transposed
convolution of kernel 4 and stride 2; a convolution of kernel 3 and the mean over 2×2×2 cells are one convolution of
kernel 4 and stride 2. Their kernels are sums of the 3×3×3 weights (`repeating_kernel`, `averaging_kernel`): 64 products
in place of 216, and the layers are those of `voxgan.networks.forms`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, interpolate, leaky_relu, pad, relu

from voxgan.networks.forms import (
    compute_dtype,
    conv,
    conv_by_blocks,
    conv_transpose,
    conv_transpose_by_blocks,
    without_autocast,
)
from voxgan.networks.generator import channels
from voxgan.networks.heads import SLOPE, Judge
from voxgan.networks.norms import he_initialise, make_norm
from voxgan.networks.recomputation import recomputed

__all__ = ["ResidualDiscriminator", "ResidualGenerator", "averaging_kernel", "repeating_kernel"]


def repeating_kernel(weight: Tensor) -> Tensor:
    """Return the kernel of the transposed convolution that repeats cells 2×2×2 times, then convolves.

    Parameters
    ----------
    weight : Tensor, (D, C, 3, 3, 3)
        Of a convolution of stride 1 and padding 1.

    Returns
    -------
    Tensor, (C, D, 4, 4, 4)
        For stride 2 and padding 1.

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 4, 4, 4), torch.rand(5, 3, 3, 3, 3)
    >>> plain = conv3d(interpolate(x, scale_factor=2), weight, padding=1)
    >>> torch.allclose(conv_transpose(x, repeating_kernel(weight)), plain, atol=1e-5)
    True
    """
    # Along one axis, cell i is repeated at 2i and 2i + 1. Output o takes tap k from o + k − 1; tap o + 1 − 2i of the
    # transposed kernel is the sum of the two (or one) that fall on cell i: 2 | 1 + 2 | 0 + 1 | 0.
    return _spread(weight.flip(2, 3, 4)).transpose(0, 1)


def averaging_kernel(weight: Tensor) -> Tensor:
    """Return the kernel of the convolution that convolves, then takes the mean of 2×2×2 cells.

    Parameters
    ----------
    weight : Tensor, (D, C, 3, 3, 3)
        Of a convolution of stride 1 and padding 1.

    Returns
    -------
    Tensor, (D, C, 4, 4, 4)
        For stride 2 and padding 1.

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 8, 8, 8), torch.rand(5, 3, 3, 3, 3)
    >>> plain = torch.nn.functional.avg_pool3d(conv3d(x, weight, padding=1), 2)
    >>> torch.allclose(conv(x, averaging_kernel(weight)), plain, atol=1e-5)
    True
    """
    return _spread(weight, 1 / 8)


def _spread(weight: Tensor, factor: float = 1.0) -> Tensor:
    """Return kernels (D, C, 3, 3, 3) convolved with a cube of 2×2×2 times `factor`, (D, C, 4, 4, 4)."""
    # One matrix product, whose matrix is the kernels of a single tap after they have been spread: a tenth of the time
    # that many weights take axis by axis.
    taps = torch.eye(27, dtype=weight.dtype, device=weight.device).mul(factor).reshape(27, 3, 3, 3)
    for before in (0, 2, 4):
        sides = [0] * before
        taps = pad(taps, [*sides, 0, 1]) + pad(taps, [*sides, 1, 0])
    with without_autocast(weight):
        return (weight.flatten(2) @ taps.flatten(1)).reshape(*weight.shape[:2], 4, 4, 4)


def _bias(layer: nn.Module, x: Tensor) -> Tensor:
    """Add a layer's bias, if it has one, in the type of `x`."""
    bias = cast(Tensor | None, layer.bias)
    return x if bias is None else x + bias.to(x.dtype).reshape(-1, 1, 1, 1)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the convolution that keeps the side, in `compute_dtype`."""
    x = x.to(compute_dtype(x)).contiguous(memory_format=torch.channels_last_3d)
    bias = bias if bias is None else bias.to(x.dtype)
    return conv3d(x, weight.to(x.dtype), bias, padding=weight.shape[2] // 2)


def _halved(x: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution 1³ of the means of 2×2×2 cells, in `compute_dtype`."""
    # One convolution: it is faster than both, though it multiplies more, and on a CPU torch takes no means in bfloat16.
    x = x.to(compute_dtype(x)).contiguous(memory_format=torch.channels_last_3d)
    return conv3d(x, (weight / 8).to(x.dtype).expand(-1, -1, 2, 2, 2), stride=2)


def _has_bias(norm: str) -> bool:
    """Whether convolutions have a bias: where norms have none."""
    return norm in ("pixel", "none")


def _keep_scale(network: ResidualGenerator | ResidualDiscriminator, slope: float) -> None:
    """Draw weights for a network without norms.

    What its n blocks add is made smaller by √n, so that the variance of the sum grows to (1 + 1/n)ⁿ < e times that of
    the first volume; but it is not zero: every weight has a gradient from the first step.
    """
    he_initialise(network.first, slope=1)
    for part in (network.blocks, network.last):
        he_initialise(part, slope)
    for block in cast(Iterable[_Block], network.blocks):
        he_initialise(block.skip, slope=1)
        with torch.no_grad():
            block.second.weight.mul_(len(network.blocks) ** -0.5)


class _Block(nn.Module):
    """The layers of a block: norm, activation and convolution twice, and a way past them."""

    def __init__(self, fan_in: int, between: int, fan_out: int, norm: str) -> None:
        super().__init__()
        self.first_norm = make_norm(norm, fan_in)
        self.first = nn.Conv3d(fan_in, between, 3, padding=1, bias=_has_bias(norm))
        self.second_norm = make_norm(norm, between)
        self.second = nn.Conv3d(between, fan_out, 3, padding=1, bias=_has_bias(norm))
        self.skip = nn.Conv3d(fan_in, fan_out, 1, bias=False)


class ResidualGenerator(nn.Module):
    """Latent → occupancy by residual blocks that double the side.

    A matrix product makes the first volume, 4³. Each block adds norm, ReLU, doubling convolution 3³, norm, ReLU,
    convolution 3³ to a convolution 1³ of what it is given, doubled. After norm and ReLU, the last doubling convolution
    gives one channel. At 64³ and width 64 it has 13.70 M parameters.

    Volumes have the channels of the paper's generator. Convolutions have a bias where the norm has none of its own
    (pixel, none), but those past a block and the first never do, and the last always does.

    Parameters
    ----------
    resolution : {64, 16, 32, 128}
        Side R of the grid.
    width : int
        Channels of the last hidden volume at 64³.
    latent : int
        Numbers in z.
    norm : {"batch", "group", "pixel", "none"}
        See `voxgan.networks.norms`. Without one, weights are drawn so that activations keep their scale.

    Attributes
    ----------
    recompute : bool
        Compute activations again in the backward pass instead of keeping them: less memory, more time. Off by default.

    Examples
    --------
    >>> generator = ResidualGenerator(resolution=16, width=4)
    >>> generator(torch.rand(2, 200)).shape
    torch.Size([2, 1, 16, 16, 16])
    """

    recompute: bool = False

    def __init__(self, resolution: int = 64, width: int = 64, latent: int = 200, norm: str = "batch") -> None:
        super().__init__()
        self.resolution, self.width, self.latent, self.norm = resolution, width, latent, norm
        hidden = channels(resolution, width)
        self.first = nn.ConvTranspose3d(latent, hidden[0], 4, bias=False)
        self.blocks = nn.ModuleList(_Block(a, b, b, norm) for a, b in itertools.pairwise(hidden))
        self.last_norm = make_norm(norm, hidden[-1])
        self.last = nn.Conv3d(hidden[-1], 1, 3, padding=1)
        if norm == "none":
            _keep_scale(self, slope=0)

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of occupancy, (B, 1, R, R, R), for latents (B, L).

        Under autocast they are in single precision all the same.
        """
        # A transposed convolution of a single cell is a matrix product, which a smaller type would not make faster.
        weight = self.first.weight
        with without_autocast(z):
            x = (z.to(weight.dtype) @ weight.flatten(1)).reshape(len(z), -1, 4, 4, 4)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        for block in cast(Iterable[_Block], self.blocks):
            x = self._grow(x, block)
        kernel = repeating_kernel(self.last.weight)
        return self._half(x, self.last_norm, lambda x: _bias(self.last, conv_transpose_by_blocks(x, kernel)))

    def _grow(self, x: Tensor, block: _Block) -> Tensor:
        """Apply a block."""
        kernel, weight, bias = repeating_kernel(block.first.weight), block.second.weight, block.second.bias
        past = _conv(x, block.skip.weight, None)  # before it is doubled: the same, at an eighth of the work
        x = self._half(x, block.first_norm, lambda x: _bias(block.first, conv_transpose(x, kernel)))
        x = self._half(x, block.second_norm, lambda x: _conv(x, weight, bias))
        with without_autocast(x):
            return x + interpolate(past, scale_factor=2)

    def _half(self, x: Tensor, norm: nn.Module, convolve: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a norm, ReLU and a convolution."""

        def run(x: Tensor) -> Tensor:
            return convolve(relu(norm(x), inplace=self.norm != "none"))  # in place, without a norm, would spoil x

        return recomputed(run, x, norm) if self.recompute and torch.is_grad_enabled() else run(x)

    def forward(self, z: Tensor) -> Tensor:
        """Return occupancy in (0, 1), (B, 1, R, R, R), for latents (B, L)."""
        return torch.sigmoid(self.logits(z))


class ResidualDiscriminator(Judge):
    """Occupancy → one logit: the generator's mirror, of residual blocks that halve the side.

    A halving convolution 3³ makes the first volume. Each block adds norm, LeakyReLU 0.2, convolution 3³, norm,
    LeakyReLU, halving convolution 3³ to a convolution 1³ of what it is given, halved. After norm and LeakyReLU, the
    last volume, 4³, is the features; a linear layer gives the logit. At 64³ and width 64 it has 7.18 M parameters.

    Volumes have the channels of the paper's discriminator. Convolutions have a bias where the norm has none of its own
    (pixel, none), but those past a block never do, nor does the linear layer.

    Parameters
    ----------
    resolution : {64, 16, 32, 128}
        Side R of the grid.
    width : int
        Channels of the first hidden volume at 64³.
    pack : int
        Shapes seen side by side on the channel axis (PacGAN); only the first convolution widens.
    norm : {"none", "batch", "group", "pixel"}
        See `voxgan.networks.norms`. Without one, weights are drawn so that activations keep their scale.
    classes, condition
        As for `voxgan.networks.heads.Judge`.

    Notes
    -----
    Each forward pass reads each weight once: spectral norm (Miyato et al. 2018, arXiv:1802.05957) can be put on any of
    its layers with `torch.nn.utils.parametrizations.spectral_norm`.

    Examples
    --------
    >>> discriminator = ResidualDiscriminator(resolution=16, width=4, pack=2)
    >>> discriminator(torch.rand(3, 2, 16, 16, 16)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        resolution: int = 64,
        width: int = 64,
        pack: int = 1,
        norm: str = "none",
        classes: int = 0,
        condition: str = "none",
    ) -> None:
        hidden = channels(resolution, width)[::-1]
        super().__init__(hidden[-1], pack, classes, condition)
        self.resolution, self.width, self.norm = resolution, width, norm
        self.first = nn.Conv3d(pack, hidden[0], 3, padding=1, bias=_has_bias(norm))
        self.blocks = nn.ModuleList(_Block(a, a, b, norm) for a, b in itertools.pairwise(hidden))
        self.last_norm = make_norm(norm, hidden[-1])
        self.last = nn.Linear(self.num_features, 1, bias=False)  # critics' losses would not move it
        if norm == "none":
            _keep_scale(self, slope=SLOPE)

    def features(self, occupancy: Tensor, groups: int = 1) -> Tensor:
        """Return the last volume after its activation, (B, F), for packs of shapes (B, M, R, R, R).

        Parameters
        ----------
        occupancy : Tensor, (B, M, R, R, R)
        groups : int
            Equal parts of the batch, one after the other, each with batch statistics of its own; running statistics
            see one after the other. It matters to batch norm only.

        Returns
        -------
        Tensor, (B, F)
            In single precision, under autocast too.

        Raises
        ------
        ValueError
            If the batch cannot be divided into equal groups.
        """
        self._check_groups(occupancy, groups)
        x = _bias(self.first, conv_by_blocks(occupancy, averaging_kernel(self.first.weight)))
        for block in cast(Iterable[_Block], self.blocks):
            x = self._shrink(x, block, groups)
        x = self._activated(x, self.last_norm, groups).flatten(1)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def volumes(self, occupancy: Tensor) -> list[Tensor]:
        """Return the volumes that blocks begin with, and the last, after LeakyReLU, (B, C, S, S, S) each."""
        x = _bias(self.first, conv_by_blocks(occupancy, averaging_kernel(self.first.weight)))
        found = []
        for block in cast(Iterable[_Block], self.blocks):
            found.append(leaky_relu(x, SLOPE))
            x = self._shrink(x, block, 1)
        return [*found, self._activated(x, self.last_norm, 1)]

    def _shrink(self, x: Tensor, block: _Block, groups: int) -> Tensor:
        """Apply a block."""
        weight, bias, kernel = block.first.weight, block.first.bias, averaging_kernel(block.second.weight)
        past = _halved(x, block.skip.weight)
        x = self._half(x, block.first_norm, groups, lambda x: _conv(x, weight, bias))
        x = self._half(x, block.second_norm, groups, lambda x: _bias(block.second, conv(x, kernel)))
        return x + past

    def _half(self, x: Tensor, norm: nn.Module, groups: int, convolve: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a norm, LeakyReLU and a convolution."""

        def run(x: Tensor) -> Tensor:
            return convolve(self._activated(x, norm, groups))

        return recomputed(run, x, norm) if self.recompute and torch.is_grad_enabled() else run(x)

    def logits(self, features: Tensor) -> Tensor:
        """Return the logit of being real, (B,), for features (B, F), in single precision under autocast too."""
        weight = self.last.weight
        with without_autocast(features):
            return features.to(weight.dtype) @ weight.flatten()
