"""Batch norm over the batches of all processes of a training (Ioffe and Szegedy 2015, arXiv:1502.03167, on shards)."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["SyncBatchNorm", "synchronised"]


class _Mean(torch.autograd.Function):
    """The mean over all processes; its gradient is the mean of theirs."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Mean.forward(_, gradient)


def _mean(values: Tensor) -> Tensor:
    mean: Tensor = cast(Any, _Mean).apply(values)
    return mean


class SyncBatchNorm(nn.BatchNorm3d):
    """Batch norm whose statistics are those of all processes together; torch's own works on GPUs only.

    All processes must hold equally many numbers. Without a process group, or in evaluation mode, it is plain batch
    norm. Its ``state_dict`` is that of `torch.nn.BatchNorm3d`.

    Examples
    --------
    >>> SyncBatchNorm(3)(torch.rand(2, 3, 4, 4, 4)).shape
    torch.Size([2, 3, 4, 4, 4])
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """Take pictures (B, C, S, S) as well."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, …) by the mean and the variance of each channel, over all processes."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        over = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1 for _ in over[1:]))
        full, count = x.float(), dist.get_world_size()
        mean = _mean(full.mean(over))
        centred = full - mean.reshape(shape)
        variance = _mean((centred * centred).mean(over))
        with torch.no_grad():
            number = x.numel() // x.shape[1] * count
            momentum = 0.1 if self.momentum is None else self.momentum
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (number / max(number - 1, 1)), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normal: Tensor = centred * scale.reshape(shape) + self.bias.reshape(shape)
        return normal.to(x.dtype)


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """Return `network` with every batch norm in it taken over all processes; weights and their names stay."""
    if device.type == "cuda":
        converted: nn.Module = cast(Any, nn.SyncBatchNorm).convert_sync_batchnorm(network)
        return converted
    for part in list(network.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.BatchNorm3d | nn.BatchNorm2d):
                norm = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                norm.load_state_dict(child.state_dict())
                setattr(part, name, norm.to(device))
    return network
