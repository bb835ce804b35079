from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

import voxgan
from viewer.session import Session
from viewer.web.beginning import opened
from voxgan.errors import InputError, UsageError
from voxgan.models.model import Model


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch, models: dict[str, Model]) -> None:
    monkeypatch.setattr(voxgan, "load", lambda name: models[name])


def test_a_name_brings_the_shipped_models_along(models: dict[str, Model]) -> None:
    loaded, others, beginning = opened("small", (), 0)
    assert loaded == {"small": models["small"]} and others == voxgan.shipped() and beginning is None
    assert opened(models, (), 0) == (models, (), None)


def test_a_saved_session_is_what_visitors_begin_with(tmp_path: Path, models: dict[str, Model]) -> None:
    session = Session(models["plain"], "plain", seed=4)
    session.calculate("B - A")
    path = session.save(tmp_path / "mine.json")
    loaded, _, beginning = opened(str(path), (), 0)
    assert list(loaded) == ["plain"] and beginning == session.to_json()


def test_files_stand_in_the_session_from_the_beginning(tmp_path: Path, models: dict[str, Model]) -> None:
    from PIL import Image

    pixels = np.full((80, 80, 3), 255, np.uint8)
    pixels[20:60, 30:50] = 90
    Image.fromarray(pixels).save(tmp_path / "chair.png")
    _, _, beginning = opened({"small": models["small"]}, [tmp_path / "chair.png"], 0)
    assert beginning is not None and beginning["anchors"][3]["origin"] == {"kind": "photo", "label": "chair.png"}
    with pytest.raises(UsageError, match="no image encoder"):
        opened({"plain": models["plain"]}, [tmp_path / "chair.png"], 0)
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"bad\.png"):
        opened(models, [tmp_path / "bad.png"], 0)
    (tmp_path / "bad.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(InputError):
        opened(str(tmp_path / "bad.json"), (), 0)
