"""The paper's layers with fewer multiplications: Winograd's minimal filtering F(3, 2).

Lavin and Gray 2016 (arXiv:1509.09308), on each of the three axes. A convolution of kernel 4 and stride 2, and its
transpose, are convolutions of kernel 2 over blocks of 2×2×2 cells. Three neighbouring outputs of such a kernel take
six products along an axis; computed from four sums of their four inputs, they take four. So 64 products stand for 216.
The sums have no factors but ½, so that little is lost by rounding.

Volumes are ``wide`` (B, C, 2S, 2S, 2S) or ``narrow`` (B, D, S, S, S), weights (D, C, 4, 4, 4) in both directions. Along
an axis, block *p* of the wide volume, its cells 2p − 1 and 2p, touches cells *p* − 1 and *p* of the narrow one; three
blocks are a tile, and N = ⌈(S + 1)/3⌉ tiles hold all S + 1 blocks. Nothing here has gradients of its own:
`voxgan.networks.derivatives` puts them together.
"""

from __future__ import annotations

import functools
import threading

import torch
from torch import Tensor

__all__ = ["correlate", "grow", "pays", "prepared", "shrink"]

_MANY_WEIGHTS = 2**19  # of 128 × 64 channels; below, the sums cost more than the products save
_FEW_TILES = 54  # below, preparing the weights does
_AT_ONCE = 432  # tiles: what is in work stays near the processor, and matrix products are large enough


class _Workspace:
    """Memory that is taken again and again: fresh pages would cost a quarter of the time.

    One for the process. Who computes in it holds the lock; all threads of the processor are busy then anyway. Of what
    is computed one from the other, every second lies in "a", the others in "b".
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._held: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return memory of this shape, of unknown content; what was taken under this name before is lost."""
        count = 1
        for size in shape:
            count *= size
        held = self._held.get((name, like.dtype))
        if held is None or held.numel() < count:
            with torch.inference_mode(False):  # a tensor of inference mode could not be written to outside of it
                held = self._held[name, like.dtype] = torch.empty(count, dtype=like.dtype)
        return held[:count].view(shape)


_workspace = _Workspace()


def _tiles(side: int) -> int:
    """Return N, for the side S of the narrow volume."""
    return -(-(side + 1) // 3)


def _parts(batch: int, side: int) -> list[slice]:
    """Divide a batch into what is computed at once."""
    count = max(1, _AT_ONCE // _tiles(side) ** 3)
    return [slice(first, min(first + count, batch)) for first in range(0, batch, count)]


# What happens along one axis, from parts to parts, which lie along the first axis of each tensor. With inputs d, taps g
# and outputs y:  y = gather(spread(d) · filter(g)).  Names with "un" are the adjoints.


def _spread(d: Tensor, v: Tensor) -> None:
    torch.sub(d[0], d[2], out=v[0])
    torch.add(d[1], d[2], out=v[1])
    torch.sub(d[2], d[1], out=v[2])
    torch.sub(d[3], d[1], out=v[3])


def _unspread(v: Tensor, d: Tensor, spare: Tensor) -> None:
    """Write to the first three of `d`; the fourth is the next tile's first, which is added there."""
    torch.sub(v[1], v[2], out=spare)
    torch.sub(spare, v[3], out=d[1])
    torch.add(v[1], v[2], out=spare)
    torch.sub(spare, v[0], out=d[2])
    d[0].copy_(v[0])


def _gather(m: Tensor, y: Tensor, spare: Tensor) -> None:
    torch.add(m[1], m[2], out=spare)
    torch.add(m[0], spare, out=y[0])
    torch.sub(m[1], m[2], out=y[1])
    torch.add(spare, m[3], out=y[2])


def _ungather(y: Tensor, m: Tensor) -> None:
    torch.add(y[0], y[2], out=m[0])
    torch.add(m[0], y[1], out=m[1])
    torch.sub(m[0], y[1], out=m[2])
    m[0].copy_(y[0])
    m[3].copy_(y[2])


def _filter(g: Tensor, u: Tensor) -> None:
    half = g * 0.5
    u[0].copy_(g[0])
    torch.add(half[0], half[1], out=u[1])
    torch.sub(half[0], half[1], out=u[2])
    u[3].copy_(g[1])


def _unfilter(u: Tensor, g: Tensor) -> None:
    half = u[1:3] * 0.5
    torch.add(half[0], half[1], out=g[0])
    torch.sub(half[0], half[1], out=g[1])
    g[0] += u[0]
    g[1] += u[3]


def _windows(x: Tensor, axis: int) -> Tensor:
    """Return the four inputs of each tile along an axis, (4, …)."""
    return x.unfold(axis, 4, 3).movedim(-1, 0)


@functools.cache
def _outruns_convolutions() -> bool:
    """Whether the processor's matrix products are as fast as its convolutions, and its memory fast beside both."""
    # With AVX-512, oneDNN's convolutions reached 438 GFLOP/s on two cores of a Zen 5, torch's matrix products 184.
    return torch.backends.cpu.get_cpu_capability() != "AVX512"


def pays(weight: Tensor, batch: int, side: int) -> bool:
    """Whether a layer is faster so than as one of torch's convolutions, in single precision on this processor.

    Parameters
    ----------
    weight : Tensor, (D, C, 4, 4, 4)
    batch : int
    side : int
        S, of the narrow volume.

    Examples
    --------
    >>> pays(torch.empty(16, 8, 4, 4, 4), batch=8, side=16)
    False
    """
    return (
        weight.numel() >= _MANY_WEIGHTS
        and side >= 8
        and batch * _tiles(side) ** 3 >= _FEW_TILES
        and _outruns_convolutions()
    )


def prepared(weight: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return weights (D, C, 4, 4, 4) as the products need them, (16, 4, D, 8·C): eight times as many.

    Examples
    --------
    >>> prepared(torch.rand(2, 3, 4, 4, 4)).shape
    torch.Size([16, 4, 2, 24])
    """
    d, c = weight.shape[:2]
    # Of an axis' kernel index 2a + b, a is the tap, the later input first, and b the cell of the block.
    u = weight.detach().to(dtype).reshape(d, c, 64).transpose(1, 2).contiguous().view(d, 2, 2, 2, 2, 2, 2, c)
    u = u.flip(1, 3, 5).permute(3, 5, 1, 0, 2, 4, 6, 7).reshape(2, 2, 2, d, 8 * c)  # taps of y, z, x
    for axis in range(3):
        wider = u.new_empty(*u.shape[:axis], 4, *u.shape[axis + 1 :])
        _filter(u.movedim(axis, 0), wider.movedim(axis, 0))
        u = wider
    return u.view(16, 4, d, 8 * c)


def _unfiltered(u: Tensor, channels: int) -> Tensor:
    """Return the adjoint of `prepared`: (16, 4, D, 8·C) → (D, C, 4, 4, 4)."""
    d, c = u.shape[2], channels
    u = u.view(4, 4, 4, d, 8 * c)
    for axis in (2, 1, 0):
        fewer = u.new_empty(*u.shape[:axis], 2, *u.shape[axis + 1 :])
        _unfilter(u.movedim(axis, 0), fewer.movedim(axis, 0))
        u = fewer
    u = u.reshape(2, 2, 2, d, 2, 2, 2, c).permute(3, 2, 4, 0, 5, 1, 6, 7).flip(1, 3, 5)
    return u.reshape(d, 64, c).transpose(1, 2).contiguous().view(d, c, 4, 4, 4)


def _spread_volume(narrow: Tensor) -> Tensor:
    """Narrow (b, D, S, S, S) → sums of its inputs (16, 4, b·N³, D), in the workspace."""
    (b, d, s), n = narrow.shape[:3], _tiles(narrow.shape[2])
    side = 3 * n + 1
    padded = _workspace.take("a", narrow, b, side, side, side, d).zero_()
    padded[:, 1 : s + 1, 1 : s + 1, 1 : s + 1] = narrow.permute(0, 2, 3, 4, 1)
    of_z = _workspace.take("b", narrow, 4, b, side, side, n, d)
    _spread(_windows(padded, 3), of_z)
    of_yz = _workspace.take("a", narrow, 4, 4, b, side, n, n, d)
    _spread(_windows(of_z, 3), of_yz)
    found = _workspace.take("b", narrow, 4, 4, 4, b, n, n, n, d)
    _spread(_windows(of_yz, 3), found.movedim(2, 0))
    return found.view(16, 4, b * n**3, d)


def _pad_blocks(wide: Tensor, tiles: int) -> Tensor:
    """Wide (b, C, 2S, 2S, 2S) → its blocks' cells (b, 6N, 6N, 6N, C), zeros around it, in the workspace."""
    b, c, s = wide.shape[:3]
    padded = _workspace.take("a", wide, b, 6 * tiles, 6 * tiles, 6 * tiles, c)
    for axis in (1, 2, 3):
        padded.narrow(axis, 0, 1).zero_()
        padded.narrow(axis, s + 1, 6 * tiles - s - 1).zero_()
    padded[:, 1 : s + 1, 1 : s + 1, 1 : s + 1] = wide.permute(0, 2, 3, 4, 1)
    return padded


def _ungather_volume(wide: Tensor) -> Tensor:
    """Wide (b, C, 2S, 2S, 2S) → sums of its cells along z and y (16, b, 3N, N, N, 8·C), in the workspace."""
    (b, c), n = wide.shape[:2], _tiles(wide.shape[2] // 2)
    blocks = _pad_blocks(wide, n).view(b, 3 * n, 2, 3 * n, 2, n, 3, 2, c).permute(6, 0, 1, 3, 5, 2, 4, 7, 8)
    of_z = _workspace.take("b", wide, 4, b, 3 * n, n, 3, n, 2, 2, 2, c)
    _ungather(blocks, of_z.view(4, b, 3 * n, 3 * n, n, 2, 2, 2, c))
    of_yz = _workspace.take("a", wide, 4, 4, b, 3 * n, n, n, 8 * c)
    _ungather(of_z.view(4, b, 3 * n, n, 3, n, 8 * c).movedim(4, 0), of_yz)
    return of_yz.view(16, b, 3 * n, n, n, 8 * c)


def grow(narrow: Tensor, filters: Tensor, bias: Tensor | None = None, rectified: bool = False) -> Tensor:
    """Return ``conv_transpose3d(narrow, weight, bias, stride=2, padding=1)``, with ReLU where `rectified`.

    Parameters
    ----------
    narrow : Tensor, (B, D, S, S, S)
    filters : Tensor, (16, 4, D, 8·C)
        What `prepared` makes of the weight (D, C, 4, 4, 4).
    bias : Tensor, (C,), optional
    rectified : bool

    Returns
    -------
    Tensor, (B, C, 2S, 2S, 2S)
        Channels last.

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 8, 8, 8), torch.rand(3, 5, 4, 4, 4)
    >>> plain = torch.nn.functional.conv_transpose3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(grow(x, prepared(weight)), plain, atol=1e-5)
    True
    """
    batch, s, c = len(narrow), narrow.shape[2], filters.shape[3] // 8
    n = _tiles(s)
    wide = narrow.new_empty(batch, 2 * s, 2 * s, 2 * s, c)
    repeated = None if bias is None else bias.repeat(8)
    for part in _parts(batch, s):
        with _workspace.lock:
            spread = _spread_volume(narrow[part])
            b = part.stop - part.start
            of_yz = _workspace.take("a", narrow, 16, b, n, 3, n, n, 8 * c)
            products = _workspace.take("c", narrow, 4, b * n**3, 8 * c)
            spare = _workspace.take("d", narrow, b, n, n, n, 8 * c)
            for place in range(16):
                torch.bmm(spread[place], filters[place], out=products)
                if repeated is not None and place == 5:
                    products[1] += repeated  # the sum that reaches each output once, along each axis
                _gather(products.view(4, b, n, n, n, 8 * c), of_yz[place].movedim(2, 0), spare)
            of_z = _workspace.take("b", narrow, 4, b, 3 * n, n, 3, n, 8 * c)
            spare = _workspace.take("c", narrow, 4, b, 3 * n, n, n, 8 * c)
            _gather(of_yz.view(4, 4, b, 3 * n, n, n, 8 * c), of_z.movedim(4, 0), spare)
            blocks = _workspace.take("a", narrow, b, 3 * n, 2, 3 * n, 2, n, 3, 2, c)
            cells = of_z.view(4, b, 3 * n, 3 * n, n, 2, 2, 2, c)
            spare = _workspace.take("c", narrow, b, 3 * n, 3 * n, n, 2, 2, 2, c)
            _gather(cells, blocks.permute(6, 0, 1, 3, 5, 2, 4, 7, 8), spare)
            cropped = blocks.view(b, 6 * n, 6 * n, 6 * n, c)[:, 1 : 2 * s + 1, 1 : 2 * s + 1, 1 : 2 * s + 1]
            torch.clamp_min(cropped, 0, out=wide[part]) if rectified else wide[part].copy_(cropped)
    return wide.permute(0, 4, 1, 2, 3)


def shrink(wide: Tensor, filters: Tensor) -> Tensor:
    """Return ``conv3d(wide, weight, stride=2, padding=1)``, the adjoint of `grow`.

    Parameters
    ----------
    wide : Tensor, (B, C, 2S, 2S, 2S)
    filters : Tensor, (16, 4, D, 8·C)
        What `prepared` makes of the weight (D, C, 4, 4, 4).

    Returns
    -------
    Tensor, (B, D, S, S, S)
        Channels last.

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 8, 8, 8), torch.rand(5, 3, 4, 4, 4)
    >>> plain = torch.nn.functional.conv3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(shrink(x, prepared(weight)), plain, atol=1e-5)
    True
    """
    batch, s, d, c = len(wide), wide.shape[2] // 2, filters.shape[2], wide.shape[1]
    n = _tiles(s)
    narrow = wide.new_empty(batch, s, s, s, d)
    for part in _parts(batch, s):
        with _workspace.lock:
            b = part.stop - part.start
            of_yz = _ungather_volume(wide[part])
            sums = _workspace.take("c", wide, 4, b, n, n, n, 8 * c)
            products = _workspace.take("d", wide, 4, b * n**3, d)
            spare = _workspace.take("e", wide, 4, 4, b, n, n, n, d)
            found = _workspace.take("b", wide, 16, b, n, 3, n, n, d)
            for place in range(16):
                _ungather(of_yz[place].view(b, n, 3, n, n, 8 * c).movedim(2, 0), sums)
                torch.bmm(sums.view(4, b * n**3, 8 * c), filters[place].transpose(1, 2), out=products)
                _overlap(products.view(4, b, n, n, n, d), found[place], 1, spare[0, 0])
            of_z = _workspace.take("a", wide, 4, b, 3 * n, n, 3, n, d)
            spare = _workspace.take("c", wide, 4, b, 3 * n, n, n, d)
            _overlap(found.view(4, 4, b, 3 * n, n, n, d), of_z, 3, spare)
            whole = _workspace.take("b", wide, b, 3 * n, 3 * n, n, 3, d)
            spare = _workspace.take("c", wide, b, 3 * n, 3 * n, n, d)
            _overlap(of_z.view(4, b, 3 * n, 3 * n, n, d), whole, 3, spare)
            narrow[part] = whole.view(b, 3 * n, 3 * n, 3 * n, d)[:, 1 : s + 1, 1 : s + 1, 1 : s + 1]
    return narrow.permute(0, 4, 1, 2, 3)


def _overlap(v: Tensor, d: Tensor, axis: int, spare: Tensor) -> None:
    """Add the tiles (4, …, N, …) up along an axis of `d`, (…, N, 3, …), where each reaches into the next."""
    inputs = d.movedim(axis + 1, 0)
    _unspread(v, inputs, spare)
    count = d.shape[axis] - 1
    inputs[0].narrow(axis, 1, count).add_(v[3].narrow(axis, 0, count))


def correlate(wide: Tensor, narrow: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the gradient of the weight of both `grow` and `shrink`.

    Parameters
    ----------
    wide : Tensor, (B, C, 2S, 2S, 2S)
    narrow : Tensor, (B, D, S, S, S)
        One is the layer's input, the other the gradient of its output.
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    Tensor, (D, C, 4, 4, 4)

    Examples
    --------
    >>> wide, narrow = torch.rand(2, 3, 8, 8, 8), torch.rand(2, 5, 4, 4, 4)
    >>> weight = torch.rand(5, 3, 4, 4, 4, requires_grad=True)
    >>> y = torch.nn.functional.conv3d(wide, weight, stride=2, padding=1)
    >>> (plain,) = torch.autograd.grad(y, weight, narrow)
    >>> torch.allclose(correlate(wide, narrow), plain, atol=1e-3)
    True
    """
    batch, s, d, c = len(wide), narrow.shape[2], narrow.shape[1], wide.shape[1]
    n = _tiles(s)
    found = wide.new_empty(16, 4, d, 8 * c)
    for part in _parts(batch, s):
        with _workspace.lock:
            b = part.stop - part.start
            spread = _workspace.take("f", wide, 16, 4, b * n**3, d)
            spread.copy_(_spread_volume(narrow[part]))
            of_yz = _ungather_volume(wide[part])
            sums = _workspace.take("c", wide, 4, b, n, n, n, 8 * c)
            for place in range(16):
                _ungather(of_yz[place].view(b, n, 3, n, n, 8 * c).movedim(2, 0), sums)
                torch.baddbmm(
                    found[place],
                    spread[place].transpose(1, 2),
                    sums.view(4, b * n**3, 8 * c),
                    beta=0 if part.start == 0 else 1,
                    out=found[place],
                )
    return _unfiltered(found, c).to(dtype)
