"""The pictures that commands draw beside what they write; the rest of `voxgan.outputs` is tried with the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from voxgan.checkpoint import save_model
from voxgan.cli import _run
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.model import Model
from voxgan.preview import BACKGROUND
from voxgan.voxels import Shapes


@pytest.fixture
def gan(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose shapes are slabs that stand on edge."""

    def decode(self: Model, z: Tensor) -> Shapes:
        grids = np.zeros((len(z), 16, 16, 16), np.float32)
        for number, grid in enumerate(grids):
            grid[3:13, 5:8, 2 : 6 + 2 * number] = 1
        return Shapes(grids)

    monkeypatch.setattr(Model, "decode", decode)
    return save_model(GAN3D(Config(resolution=16, width=4, latent=8)), tmp_path_factory.mktemp("model") / "gan")


def run(*tokens: str | Path) -> int:
    return _run([str(token) for token in tokens], False)


def frames(path: Path) -> list[NDArray[np.uint8]]:
    with Image.open(path) as image:
        assert image.format == "GIF" and image.info["loop"] == 0
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.asarray(image.convert("RGB")))
        return found


def test_a_sheet_and_a_turntable(gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet, turning = tmp_path / "a.png", tmp_path / "new" / "a.GIF"
    tokens = ("generate", "-n", "3", "-m", gan, "-o", tmp_path / "out", "--preview", sheet, "--gif", turning)
    assert run(*tokens) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [str(sheet), str(turning)]
    with Image.open(sheet) as image:
        assert image.size == (512, 512)
    all_around = frames(turning)
    assert len(all_around) == 24 and all_around[0].shape == (256, 256, 3)
    drawn = [(abs(frame.astype(int) - BACKGROUND) > 60).any(2) for frame in all_around]
    assert all(one.any() for one in drawn) and (drawn[0] != drawn[6]).sum() > 100


def test_the_walk_there_and_back(gan: Path, tmp_path: Path) -> None:
    walk = tmp_path / "a.gif"
    assert run("interpolate", "--steps", "5", "-m", gan, "-o", tmp_path / "out" / "", "-f", "npz", "--gif", walk) == 0
    assert len(frames(walk)) == 8, "five there, three back"


def test_a_still_sum_shows_its_terms_a_moving_one_turns(gan: Path, tmp_path: Path) -> None:
    still, moving = tmp_path / "a.png", tmp_path / "a.gif"
    tokens = ("arithmetic", "A - B + C", "-m", gan, "-o", tmp_path / "a.npz", "--preview", still, "--gif", moving)
    assert run(*tokens) == 0
    with Image.open(still) as image:
        assert image.size == (512, 512), "A, B, C and the result"
    assert len(frames(moving)) == 24


@pytest.mark.parametrize(
    ("gif", "words"), [("a.png", "ends in .gif; a still picture is --preview"), ("out/a.gif", "2 times")]
)
def test_gifs_that_cannot_be(
    gif: str, words: str, gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = tmp_path / "out" / "a.gif"
    assert run("generate", "-m", gan, "-o", tmp_path / "a.obj", "--preview", preview, "--gif", tmp_path / gif) == 2
    said = capsys.readouterr()
    assert words in said.err and said.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run("generate", "-m", gan, "-o", tmp_path / "a.obj", "--gif", tmp_path / "file" / "a.gif") == 4
    assert "a.gif" in capsys.readouterr().err and not (tmp_path / "a.obj").exists()


def test_pictures_need_no_display_and_no_opengl(tmp_path: Path) -> None:
    """With an empty environment, and with a VTK that ends whatever process imports it."""
    (tmp_path / "vtkmodules").mkdir()
    (tmp_path / "vtkmodules" / "__init__.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    search = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    model = save_model(GAN3D(Config(resolution=16, width=4, latent=8)), tmp_path / "gan")
    still, moving = tmp_path / "a.png", tmp_path / "a.gif"
    tokens = ["interpolate", "--steps", "2", "-m", model, "--level", "0.1", "--preview", still, "--gif", moving]
    done = subprocess.run(
        [sys.executable, "-m", "voxgan", *map(str, tokens), "-o", f"{tmp_path}/out/", "-f", "npz"],
        env={"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-2:] == [str(still), str(moving)] and still.exists() and frames(moving)
