"""A voxel classifier: occupancy → 64 numbers → classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

__all__ = ["FEATURES", "Classifier"]

FEATURES = 64
"""Numbers of the last layer but one. Few, so that a few hundred shapes suffice for a covariance of them."""


class Classifier(nn.Module):
    """Occupancy → logits of classes; the layer before them is a feature space to measure sets of shapes in.

    Three convolutions of kernel 4 and stride 2 halve the side, as in 3D-GAN's discriminator; behind the second and the
    third stands a residual block of two convolutions of kernel 3 (He et al. 2016, arXiv:1512.03385). Batch norm and
    ReLU follow each. Then come a layer of `FEATURES` numbers with ReLU, dropout, and a layer of classes.

    Parameters
    ----------
    resolution : int
        Side R of the grid, a multiple of 8.
    classes : int
        K.
    width : int
        Channels of the first volume; the others have two and four times as many.

    Examples
    --------
    >>> import torch
    >>> model = Classifier(16, 3, width=4).eval()
    >>> model(torch.zeros(2, 1, 16, 16, 16)).shape, model.features(torch.zeros(2, 1, 16, 16, 16)).shape
    (torch.Size([2, 3]), torch.Size([2, 64]))
    """

    def __init__(self, resolution: int, classes: int, width: int = 24) -> None:
        super().__init__()
        if resolution < 8 or resolution % 8:
            raise ValueError(f"resolution {resolution}: expected a multiple of 8")
        self.resolution, self.width = resolution, width
        self.body = nn.Sequential(
            *_halving(1, width),
            *_halving(width, 2 * width),
            Residual(2 * width),
            *_halving(2 * width, 4 * width),
            Residual(4 * width),
            nn.Flatten(),
            nn.Linear(4 * width * (resolution // 8) ** 3, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(FEATURES, classes))

    def features(self, occupancy: Tensor) -> Tensor:
        """Return the numbers before the classes, (B, 64), at least 0, for grids (B, 1, R, R, R)."""
        found: Tensor = self.body(occupancy)
        return found

    def logits(self, features: Tensor) -> Tensor:
        """Return logits of the classes, (B, K), for features (B, 64)."""
        found: Tensor = self.head(features)
        return found

    def forward(self, occupancy: Tensor) -> Tensor:
        """Return logits of the classes, (B, K), for grids (B, 1, R, R, R)."""
        return self.logits(self.features(occupancy))


def _halving(fan_in: int, fan_out: int) -> list[nn.Module]:
    return [nn.Conv3d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm3d(fan_out), nn.ReLU()]


class Residual(nn.Module):
    """Two convolutions of kernel 3 with batch norm, added to what comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(),
            nn.Conv3d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm3d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, S, S, S)."""
        return relu(x + self.branch(x))
