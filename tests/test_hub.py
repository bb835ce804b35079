"""Models of the hub, with a hub that is a folder here: nothing is asked of the network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import voxgan
from voxgan.checkpoint import save_model
from voxgan.errors import MissingExtraError, StorageError, UsageError
from voxgan.hub import fetched
from voxgan.models import find


def stand_in(monkeypatch: pytest.MonkeyPatch, download: Callable[..., str]) -> None:
    module = ModuleType("huggingface_hub")
    module.snapshot_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    kind = find("gan3d")
    torch.manual_seed(0)
    save_model(kind(kind.Config(resolution=16, width=4, latent=8)), tmp_path / "stored")
    return tmp_path / "stored"


def test_a_model_is_fetched_and_loaded(monkeypatch: pytest.MonkeyPatch, stored: Path) -> None:
    asked: list[Any] = []

    def download(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns))
        return str(stored)

    stand_in(monkeypatch, download)
    model = voxgan.load("hub:someone/chairs-64@v1.0")
    assert model.config.width == 4
    repository, revision, patterns = asked[0]
    assert (repository, revision) == ("someone/chairs-64", "v1.0")
    assert set(patterns) == {"config.json", "*.safetensors", "README.md"}  # no pickle and no code
    voxgan.load("hub:someone/chairs-64")
    assert asked[1][1] is None


@pytest.mark.parametrize("name", ["hub:", "hub:chairs", "hub:a/b/c", "hub:a/b@", "hub: a/b", "hub:a/b@v 1"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="expected hub:OWNER/NAME"):
        voxgan.load(name)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'voxgan-3d\[hub\]'"):
        fetched("hub:someone/chairs")


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), ValueError("x" * 1000), RuntimeError()])
def test_whatever_goes_wrong_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise error

    stand_in(monkeypatch, download)
    with pytest.raises(StorageError, match=r"cannot fetch hub:someone/chairs: .{5,200}$") as caught:
        voxgan.load("hub:someone/chairs")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise AssertionError("asked the hub")

    stand_in(monkeypatch, download)
    with pytest.raises(StorageError, match="of the hub, write hub:OWNER/NAME"):
        voxgan.load("someone/chairs")
