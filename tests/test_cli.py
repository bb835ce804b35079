from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from voxgan import models
from voxgan.checkpoint import save_model
from voxgan.cli import _run, _without_debug
from voxgan.models.model import Model, make_config
from voxgan.outputs import _distinct
from voxgan.volumes import read_volume
from voxgan.voxels import Shapes, cell_centres

TRAINING = ("steps=2", "batch=2", "width=4", "latent=8", "sample_every=0", "discriminator_width=4")


class Done(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def voxgan(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process."""

    def run(*tokens: str | Path) -> Done:
        capsys.readouterr()
        status = _run([str(token) for token in tokens], False)
        return Done(status, *capsys.readouterr())

    return run


def in_a_process(*tokens: str | Path, **options: Any) -> Done:
    command = [sys.executable, "-m", "voxgan", *map(str, tokens)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr)


def refused(done: Done, status: int, says: str) -> None:
    """One line that says what is wrong, the promised status, no traceback, nothing on standard output."""
    assert done.status == status, done
    assert done.err.startswith("voxgan: ") and done.err.endswith("\n") and done.err.count("\n") == 1, done
    assert says in done.err, done
    assert "Traceback" not in done.err and "unexpected" not in done.err and not done.out, done


def make(name: str) -> Model:
    torch.manual_seed(0)
    kind = models.find(name)
    model = kind(make_config(kind.Config, {"resolution": 16, "width": 4, "latent": 8, "classes": "round"}))
    for layer in model.generator.modules():  # shapes of many lumps, with a surface at level 0.5
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_var.fill_(0.02)
    return model


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make("gan3d"), tmp_path_factory.mktemp("model") / "gan", {"title": "tiny", "step": 7})


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make("vae_gan3d"), tmp_path_factory.mktemp("model") / "vae")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "chair.png"
    pixels = np.full((64, 48, 3), 250, np.uint8)
    pixels[10:50, 10:30] = (200, 30, 30)
    Image.fromarray(pixels).save(path)
    return path


def solid(path: Path) -> trimesh.Trimesh:
    mesh = trimesh.load_mesh(path)
    assert len(mesh.faces) > 10
    return mesh


# ------------------------------------------------------------------------------------------ every command works
@pytest.mark.parametrize("suffix", ["obj", "stl", "ply", "glb", "off", "3mf"])
def test_generate_one(suffix: str, voxgan: Any, gan: Path, tmp_path: Path) -> None:
    out = tmp_path / f"shape.{suffix}"
    assert voxgan("generate", "--model", gan, "-o", out, "--size-mm", "80") == (0, f"{out}\n", "")
    assert solid(out).extents.max() == pytest.approx(0.08 if suffix == "glb" else 80, rel=1e-3)


@pytest.mark.parametrize("suffix", ["npz", "binvox"])
def test_generate_voxels(suffix: str, voxgan: Any, gan: Path, tmp_path: Path) -> None:
    assert voxgan("generate", "--model", gan, "-o", tmp_path / f"a.{suffix}").status == 0
    assert read_volume(tmp_path / f"a.{suffix}").occupancy.shape == (1, 16, 16, 16)


def test_generate_several_into_a_folder(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    done = voxgan(
        "generate", "-m", gan, "-n", "3", "-o", tmp_path / "out", "-f", "stl", "--preview", tmp_path / "a.png"
    )
    assert done.status == 0 and not done.err
    names = [f"shape_{i:03d}.stl" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert done.out.splitlines() == [*(str(tmp_path / "out" / name) for name in names), str(tmp_path / "a.png")]
    assert len({(tmp_path / "out" / name).read_bytes() for name in names}) == 3
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > image.height / 2


def test_generate_draws_again_what_lies_in_pieces(
    voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a z that begins with more than a half this model makes two blocks; without others, it says so."""
    kind, out = models.find("gan3d"), tmp_path / "a.npz"

    def decode(self: Model, z: torch.Tensor) -> Shapes:
        grids = np.zeros((len(z), 16, 16, 16), np.float32)
        grids[:, 2:6, 2:6, 2:6] = 1
        grids[(z[:, 0] > 0.5).numpy(), 9:12, 9:12, 9:12] = 0.8
        return Shapes(grids)

    monkeypatch.setattr(kind, "decode", decode)
    assert voxgan("generate", "-m", gan, "-n", "8", "-o", f"{tmp_path}/out/", "-f", "npz").err == ""
    assert all(read_volume(path).occupancy.sum() == 64 for path in (tmp_path / "out").iterdir())
    assert voxgan("generate", "-m", gan, "-n", "8", "-o", f"{tmp_path}/all/", "-f", "npz", "--whole", "0").err == ""
    assert {int(read_volume(path).occupancy.sum()) for path in (tmp_path / "all").iterdir()} == {64, 85}
    monkeypatch.setattr(kind, "decode", lambda self, z: decode(self, torch.ones_like(z)))
    done = voxgan("generate", "-m", gan, "-o", out)
    assert done.status == 0 and done.err.startswith(
        "voxgan: 1 of 1 shapes have less than 95% of their cells in one part"
    )
    assert done.err.count("\n") == 1 and out.exists()
    assert voxgan("generate", "-m", gan, "-o", out, "--level", "0.9").err == ""  # where the second block is not seen


def test_the_same_seed_gives_the_same_file(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert voxgan("generate", "-m", gan, "--seed", seed, "-o", tmp_path / f"{name}.stl").status == 0
    a, b, c = ((tmp_path / f"{name}.stl").read_bytes() for name in "abc")
    assert a == b != c


def test_fewer_faces_and_smoothing(voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ball = Shapes(np.linalg.norm(cell_centres(16), axis=-1) < 0.4)
    monkeypatch.setattr(Model, "decode", lambda *_: ball)
    assert voxgan("generate", "-m", gan, "-o", tmp_path / "all.ply").status == 0
    assert voxgan("generate", "-m", gan, "-o", tmp_path / "few.ply", "--max-faces", "400", "--smooth", "2").status == 0
    every, few = solid(tmp_path / "all.ply"), solid(tmp_path / "few.ply")
    assert len(every.faces) > 800 and 300 <= len(few.faces) <= 440
    assert few.is_watertight and every.is_watertight


def test_reconstruct(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "chair.obj"
    done = voxgan("reconstruct", photo, "-m", vae, "-o", out, "--preview", tmp_path / "turn.gif")
    assert done == (0, f"{out}\n{tmp_path / 'turn.gif'}\n", "")
    solid(out)
    with Image.open(tmp_path / "turn.gif") as image:
        assert image.n_frames > 4


def test_reconstruct_two_photos_of_one_name(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / photo.name
    Image.new("RGB", (40, 40), "blue").save(other)
    done = voxgan(
        "reconstruct", photo, other, "-m", vae, "-o", tmp_path / "out", "--background", "keep", "--votes", "2"
    )
    assert done.status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["chair_000.obj", "chair_001.obj"]


def test_interpolate(voxgan: Any, gan: Path, vae: Path, photo: Path, tmp_path: Path) -> None:
    gif = tmp_path / "walk.gif"
    done = voxgan("interpolate", "-m", gan, "--steps", "3", "-o", gif, "-o", tmp_path / "out", "--spherical")
    assert done.status == 0 and len(list((tmp_path / "out").glob("step_*.obj"))) == 3
    with Image.open(gif) as image:
        assert image.n_frames == 4  # there and back
    done = voxgan(
        "interpolate", "-m", vae, "--photo", photo, "--photo", photo, "--steps", "2", "-o", tmp_path / "a.png"
    )
    assert done.status == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (512, 256)


def test_arithmetic(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    out = tmp_path / "odd.stl"
    done = voxgan("arithmetic", "A - B + 0.5*C", "-m", gan, "-o", out, "--preview", tmp_path / "sum.png")
    assert done == (0, f"{out}\n{tmp_path / 'sum.png'}\n", "")
    solid(out)
    plain = ("-m", gan, "-o", tmp_path / "a.npz", "--seed", "3", "--no-clean", "--whole", "0")
    assert voxgan("arithmetic", "A - B + B", *plain).status == 0
    a = make("gan3d").decode(make("gan3d").sample_latents(2, seed=3)[0])
    np.testing.assert_allclose(read_volume(tmp_path / "a.npz").occupancy, a.occupancy, atol=1e-5)


@pytest.mark.parametrize("command", [["arithmetic", "A"], ["interpolate", "--steps", "2"]])
def test_what_is_in_pieces_is_drawn_again(command: list[str], voxgan: Any, gan: Path, tmp_path: Path) -> None:
    writing = ("-m", gan, "-o", f"{tmp_path}/o/", "-f", "npz", "--seed", "3", "--no-clean", "--whole", "0.85")
    assert voxgan(*command, *writing, "--level", "0.52").status == 0
    count = 1 if command[0] == "arithmetic" else 2
    latents = [make("gan3d").sample_latents(count, 3, whole=whole, level=0.52) for whole in (0.0, 0.85)]
    taken, again = (make("gan3d").decode(z).occupancy for z in latents)
    written = [read_volume(path).occupancy for path in sorted((tmp_path / "o").iterdir())]
    np.testing.assert_allclose(np.concatenate(written), again, atol=1e-5)
    assert not np.allclose(taken, again, atol=1e-3)


def test_prepare_train_resume_info(voxgan: Any, tmp_path: Path) -> None:
    meshes = tmp_path / "meshes" / "box"
    meshes.mkdir(parents=True)
    for number in range(4):
        trimesh.creation.box((1, 1, 1 + number)).export(meshes / f"{number}.off")
    data, run = tmp_path / "data.h5", tmp_path / "run"
    done = voxgan("prepare", meshes.parent, data, "--resolution", "16", "--workers", "1", "--test-share", "0.25")
    assert done.status == 0 and "4 shapes" in done.out
    done = voxgan("info", data)
    assert done.status == 0 and "4 shapes, 16³" in done.out and "box" in done.out
    done = voxgan("train", "gan3d", data, "--out", run, *TRAINING)
    assert done.status == 0 and f"{run}: trained" in done.out
    assert "Traceback" not in done.err and "step 2/2" in done.err
    done = voxgan("resume", run, "steps=3")
    assert done.status == 0 and len((run / "log.jsonl").read_text().splitlines()) == 3
    done = voxgan("info", run)
    assert done.status == 0 and "gan3d, 16³, width 4" in done.out and "box" in done.out
    assert voxgan("generate", "-m", run, "-o", tmp_path / "a.npz").status == 0


def test_a_data_set_is_looked_into(voxgan: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "box"
    folder.mkdir(parents=True)
    for i, sides in enumerate(((1, 2, 3), (1, 1, 3), (1, 2, 3))):
        trimesh.creation.box(sides).export(folder / f"{i}.off")
    (folder / "0bad.off").write_text("nonsense")
    look, data, table = tmp_path / "look.png", tmp_path / "a.h5", tmp_path / "aside.csv"
    done = voxgan("prepare", tmp_path / "in", "--look", look)
    assert done.status == 0 and look.is_file() and "shows 4 of 4 shapes, 1 classes, 1 could not be loaded" in done.out
    done = voxgan("prepare", tmp_path / "in", data, "--resolution", "16", "--test-share", "0.4", "--report", table)
    assert done.status == 0 and "3 shapes, 1 set aside" in done.out and "0bad.off" in done.out
    assert table.read_text().splitlines()[0] == "source,reason" and "0bad.off" in table.read_text()
    done = voxgan("info", data, "--sheet", tmp_path / "sheet.png")
    assert done.status == 0 and (tmp_path / "sheet.png").is_file()
    assert "1 test shapes also stand in train, exactly" in done.out and "box/2 = box/0" in done.out
    assert "set aside          1" in done.out and "inside" in done.out
    done = voxgan("info", data, "--set-aside")
    assert done.status == 0 and len(done.out.splitlines()) == 1 and "0bad.off" in done.out


def test_info_of_a_model(voxgan: Any, gan: Path) -> None:
    done = voxgan("info", gan)
    assert done.status == 0 and not done.err
    assert all(part in done.out for part in ("gan3d, 16³", "tiny", "7", "round", "weights.safetensors"))


def test_list(voxgan: Any) -> None:
    from voxgan import presets
    from voxgan.checkpoint import shipped

    done = voxgan("list")
    assert done.status == 0 and not done.err
    assert all(f"  {name} " in done.out for name in (*presets.names(), *shipped()))


def test_a_shape_without_a_surface_is_named_and_the_others_are_written(
    voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Model.decode

    def decode(model: Model, z: Any) -> Any:
        shapes = plain(model, z)
        shapes.occupancy[1] = 0
        return shapes

    monkeypatch.setattr(Model, "decode", decode)
    done = voxgan("generate", "-m", gan, "-n", "3", "-o", tmp_path / "out", "--whole", "0")
    assert done.status == 0 and len(done.out.splitlines()) == 2
    assert done.err.count("\n") == 1 and "shape_001.obj is not written" in done.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["shape_000.obj", "shape_002.obj"]


# ------------------------------------------------------------------------------------------- wrong usage: 2
@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (["fly"], "fly"),
        (["generate"], "--output"),
        (["generate", "-o", "OUT/a.obj", "--colour", "red"], "--colour"),
        (["generate", "-o", "OUT/a.obj", "--count", "many"], "many"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--count", "0"], "0 shapes asked for"),
        (["generate", "-o", "OUT", "-m", "GAN", "--count", "-1"], "-1 shapes asked for"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--count", "2"], "2 shapes for the one file"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--level", "2"], "level"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--level", "nan"], "level"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--size-mm", "-5"], "-5"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--size-mm", "nan"], "nan"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--smooth", "-1"], "smooth"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--max-faces", "0"], "max_faces"),
        (["generate", "-o", "OUT/a.fbx", "-m", "GAN"], "cannot write the format '.fbx'"),
        (["generate", "-o", "OUT", "-m", "GAN", "-f", "fbx"], "format 'fbx'"),
        (["generate", "-o", "OUT/a.obj", "-m", "GAN", "--preview", "OUT/a.jpeg2"], "a.jpeg2"),
        (["reconstruct", "-o", "OUT/a.obj"], "photo"),
        (["reconstruct", "PHOTO", "-m", "GAN", "-o", "OUT/a.obj"], "gan3d cannot reconstruct"),
        (["reconstruct", "PHOTO", "-m", "VAE", "-o", "OUT/a.obj", "--background", "blur"], "blur"),
        (["generate", "-m", "GAN", "-o", "OUT/a.obj", "--whole", "2"], "whole=2.0: expected a share from 0 to 1"),
        (["reconstruct", "PHOTO", "-m", "VAE", "-o", "OUT/a.obj", "--votes", "9"], "votes=9: expected 1 to 8"),
        (["reconstruct", "PHOTO", "PHOTO", "-m", "VAE", "-o", "OUT/a.obj"], "2 shapes for the one file"),
        (["interpolate", "-m", "GAN", "-o", "OUT/a.gif", "--steps", "1"], "steps=1"),
        (["interpolate", "-m", "GAN", "-o", "OUT/a.gif", "--steps", "0"], "steps=0"),
        (["interpolate", "-m", "GAN", "-o", "OUT/a.gif", "--photo", "PHOTO"], "1 photos given"),
        (["interpolate", "-m", "GAN", "-o", "OUT/a.gif", "--photo", "PHOTO", "--photo", "PHOTO"], "cannot read photos"),
        (["interpolate", "-m", "GAN", "-o", "OUT/a.gif", "--level", "2"], "level"),
        (["arithmetic", "A +* B", "-m", "GAN", "-o", "OUT/a.obj"], "cannot read"),
        (["arithmetic", "A + b", "-m", "GAN", "-o", "OUT/a.obj"], "no latent 'b'"),
        (["arithmetic", "", "-m", "GAN", "-o", "OUT/a.obj"], "empty expression"),
        (["arithmetic", "__import__('os')", "-m", "GAN", "-o", "OUT/a.obj"], "__import__"),
        (["prepare", "DATA"], "at least one source"),
        (["prepare", "DATA", "OUT/data.zip"], "ending in .h5"),
        (["prepare", "DATA", "OUT/data.h5", "--up", "w"], "up axis 'w'"),
        (["prepare", "furniture", "OUT/data.h5", "--up", "y", "--front", "-y"], "lie on one line"),
        (["prepare", "furniture", "OUT/data.h5", "--mode", "mesh"], "mesh"),
        (["prepare", "furniture", "OUT/data.h5", "--views", "7", "--rig", "24x3"], "expected 72"),
        (["prepare", "furniture", "OUT/data.h5", "--views", "1", "--backgrounds", "room"], "room"),
        (["prepare", "furniture", "--look", "OUT/sheet.jpg"], "ends in .png"),
        (
            ["prepare", "furniture", "OUT/data.h5", "--resolution", "64.5"],
            "no whole number. See  voxgan prepare --help",
        ),
        (["prepare", "furniture", "OUT/data.h5", "--views", "100000000"], "0 to 1024"),
        (["prepare", "furniture", "OUT/data.h5", "--cluster", "nix"], "tcp://host:8786"),
        (["prepare", "furniture", "OUT/data.h5", "--rig", "foto"], "did you mean 'photo'"),
        (["generate", "-n", "1.5", "-o", "OUT/"], "no whole number"),
        (["info", "OUT/data.h5.parts"], "not finished"),
        (["info", "furniture", "--sheet", "OUT/sheet.png"], "for data sets"),
        (["train", "gan3d", "DATA"], "--out"),
        (["train", "gan5d", "DATA", "--out", "OUT/run"], "did you mean 'gan3d'"),
        (["train", "gan3d", "DATA", "--out", "OUT/run", "widht=4"], "did you mean 'width'"),
        (["train", "gan3d", "DATA", "--out", "OUT/run", "steps"], "expected key=value"),
        (["train", "gan3d", "DATA", "--out", "OUT/run", "=5"], "expected key=value"),
        (["train", "gan3d", "DATA", "--out", "OUT/run", "steps=x"], "steps='x': expected a whole number"),
        (["train", "gan3d", "DATA", "--out", "OUT/run", "device=gpu9"], "device='gpu9'"),
        (["info"], "name"),
        (["resume"], "run"),
    ],
)
def test_wrong_usage(
    tokens: list[str], says: str, voxgan: Any, gan: Path, vae: Path, photo: Path, tiny_data: Path, tmp_path: Path
) -> None:
    places = {"GAN": gan, "VAE": vae, "PHOTO": photo, "DATA": tiny_data, "OUT": tmp_path}
    real = [
        token.replace("OUT", str(tmp_path), 1) if "OUT" in token else str(places.get(token, token)) for token in tokens
    ]
    done = voxgan(*real)
    refused(done, 2, "")
    assert says.lower() in done.err.lower()
    assert not list(tmp_path.rglob("*.*"))


# --------------------------------------------------------------------------------------------- bad input: 3
def bad_photo(path: Path, kind: str) -> Path:
    contents = {"empty.png": b"", "text.jpg": b"this is no picture\n", "cut.png": None, "mesh.png": b"v 0 0 0\n" * 20}
    content = contents[kind]
    if content is None:
        whole = io.BytesIO()
        Image.effect_noise((64, 64), 50).save(whole, "PNG")
        content = whole.getvalue()[:500]
    (path / kind).write_bytes(content)
    return path / kind


@pytest.mark.parametrize("kind", ["empty.png", "text.jpg", "cut.png", "mesh.png"])
def test_a_photo_that_is_none(kind: str, voxgan: Any, vae: Path, tmp_path: Path) -> None:
    refused(voxgan("reconstruct", bad_photo(tmp_path, kind), "-m", vae, "-o", tmp_path / "a.obj"), 3, kind)
    assert not (tmp_path / "a.obj").exists()


def test_one_bad_photo_of_two(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    bad = bad_photo(tmp_path, "empty.png")
    refused(voxgan("reconstruct", photo, bad, "-m", vae, "-o", tmp_path / "out"), 3, "empty.png")


@pytest.mark.parametrize("suffix", [".pt", ".pkl"])
def test_a_pickled_checkpoint(suffix: str, voxgan: Any, tmp_path: Path) -> None:
    (tmp_path / f"model{suffix}").write_bytes(pickle.dumps({"weights": [1, 2]}))
    refused(voxgan("generate", "-m", tmp_path / f"model{suffix}", "-o", tmp_path / "a.obj"), 3, "pickled")
    refused(voxgan("info", tmp_path / f"model{suffix}"), 3, "pickled")


def test_a_damaged_model(voxgan: Any, tmp_path: Path) -> None:
    folder = save_model(make("gan3d"), tmp_path / "model")
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-9] ^= 4
    (folder / "weights.safetensors").write_bytes(content)
    refused(voxgan("generate", "-m", folder, "-o", tmp_path / "a.obj"), 3, "SHA-256")


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"format": "voxgan-model", "version": 1}'])
def test_a_foreign_config(content: str, voxgan: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    for tokens in (["generate", "-o", tmp_path / "a.obj", "-m"], ["info"], ["resume"]):
        refused(voxgan(*tokens, tmp_path), 3, "config.json")


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_a_data_set_that_is_none(content: bytes, voxgan: Any, tmp_path: Path) -> None:
    data = tmp_path / "data.h5"
    data.write_bytes(content)
    refused(voxgan("train", "gan3d", data, "--out", tmp_path / "run"), 3, "data.h5")
    refused(voxgan("info", data), 3, "data.h5")
    assert not (tmp_path / "run").exists()


def test_a_foreign_hdf5_file(voxgan: Any, tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = [1, 2, 3]
    refused(voxgan("train", "gan3d", tmp_path / "data.h5", "--out", tmp_path / "run"), 3, "no voxgan data set")


def test_data_that_does_not_fit(voxgan: Any, tiny_data: Path, tiny_data_without_views: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    refused(voxgan("train", "gan3d", tiny_data, "--out", run, "resolution=32"), 3, "its grids are 16³")
    refused(voxgan("train", "gan3d", tiny_data, "--out", run, "classes=boat"), 3, "has no class 'boat'")
    refused(voxgan("train", "vae-gan3d", tiny_data_without_views, "--out", run), 3, "has no rendered views")
    refused(voxgan("train", "gan3d", tmp_path, "--out", run), 3, "a folder; first make a data set")


def test_no_surface_at_all(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    done = voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj", "--level", "0.999999")
    assert done.status == 3 and not done.out and not (tmp_path / "a.obj").exists()
    assert "is not written" in done.err and "Traceback" not in done.err


# --------------------------------------------------------------------------------- reading or writing fails: 4
def test_missing_files(voxgan: Any, vae: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    refused(voxgan("reconstruct", gone, "-m", vae, "-o", tmp_path / "a.obj"), 4, "gone")
    refused(voxgan("generate", "-m", "no-such-model", "-o", tmp_path / "a.obj"), 4, "no model 'no-such-model'")
    refused(voxgan("generate", "-m", "chair_gan3d", "-o", tmp_path / "a.obj"), 4, "did you mean 'chairs-gan3d'?")
    refused(voxgan("generate", "-m", "x" * 3000, "-o", tmp_path / "a.obj"), 4, "xxx")
    refused(voxgan("info", gone), 4, "gone")
    refused(voxgan("info", f"{gone}.h5"), 4, "gone.h5")
    refused(voxgan("resume", gone), 4, "gone")
    refused(voxgan("train", "gan3d", gone, "--out", tmp_path / "run"), 4, "gone")


def test_an_output_below_a_file(
    voxgan: Any, gan: Path, vae: Path, photo: Path, tiny_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "a.obj"
    refused(voxgan("generate", "-m", gan, "-o", below), 4, "cannot write")
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj", "--preview", tmp_path / "file/a.png"), 4, "a.png")
    refused(voxgan("reconstruct", photo, "-m", vae, "-o", below), 4, "cannot write")
    refused(voxgan("interpolate", "-m", gan, "-o", tmp_path / "file" / "a.gif"), 4, "cannot write")
    refused(voxgan("arithmetic", "A", "-m", gan, "-o", below), 4, "cannot write")
    refused(voxgan("train", "gan3d", tiny_data, "--out", tmp_path / "file" / "run"), 4, "cannot write")
    refused(voxgan("prepare", tmp_path, tmp_path / "file" / "a.h5"), 4, "cannot write")
    assert (tmp_path / "file").read_text() == "mine" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_a_folder(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    (tmp_path / "a.obj").mkdir()
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj"), 4, "it is a folder")


def test_a_name_too_long(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / ("x" * 300 + ".obj")), 4, "cannot write")


# --------------------------------------------------------------------------------------- divergence, interruption
def test_divergence_is_5(voxgan: Any, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gan3d = models.find("gan3d")
    plain = gan3d.loss
    monkeypatch.setattr(
        gan3d, "loss", lambda *a: {k: v * float("nan") if k == "total" else v for k, v in plain(*a).items()}
    )
    done = voxgan("train", "gan3d", tiny_data, "--out", tmp_path / "run", *TRAINING[1:], "steps=9")
    *progress, last = done.err.splitlines(keepends=True)
    refused(Done(done.status, done.out, last), 5, "not finite in")
    assert all(line.startswith("step ") for line in progress)


def test_interruption_in_process_is_130(
    voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "decode", stop)
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj"), 130, "interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_training_is_130_and_says_how_to_go_on(
    number: signal.Signals, tiny_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    options = [*TRAINING[1:], "steps=1000000", "save_every=100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "voxgan", "train", "gan3d", str(tiny_data), "--out", str(run), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 60
        while not (run / "log.jsonl").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    *progress, last = err.splitlines()
    assert process.returncode == 130 and not out
    assert last.startswith("voxgan: stopped after step ") and last.endswith(f"go on with  voxgan resume {run}")
    assert all(line.startswith("step ") for line in progress)
    step = int("".join(c if c.isdigit() else " " for c in last.split(" is saved")[0]).split()[-1])
    assert json.loads((run / "resume.json").read_text())["states"][0]["step"] == step


def test_an_unexpected_error_is_1_and_one_line(
    voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("over\nthere")

    monkeypatch.setattr(Model, "decode", fail)
    done = voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj")
    assert done.status == 1 and done.err.count("\n") == 1 and "--debug" in done.err


def test_out_of_memory(voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Model, "decode", fail)
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj"), 4, "out of memory")


# -------------------------------------------------------------------------------------------------- odd names
@pytest.mark.parametrize("name", ["two words", "é", "漢字", "🪑", "a'b\"c", "$HOME", "-dash", "--help", "a;b", "%s{}"])
def test_odd_names(
    name: str, voxgan: Any, vae: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.png").write_bytes(photo.read_bytes())
    model = tmp_path / f"{name} model"
    save_model(make("vae_gan3d"), model)
    done = voxgan("reconstruct", "-m", model, "-o", tmp_path / f"{name}.stl", "--", f"{name}.png")
    assert done == (0, f"{tmp_path / f'{name}.stl'}\n", "")
    solid(tmp_path / f"{name}.stl")
    done = voxgan("reconstruct", "-m", model, "-o", tmp_path / f"{name} out", "--", f"{name}.png", f"{name}.png")
    assert done.status == 0
    written = sorted(path.name for path in (tmp_path / f"{name} out").iterdir())
    assert written == [f"{name}_000.obj", f"{name}_001.obj"]


def test_a_missing_photo_with_an_odd_name(voxgan: Any, vae: Path, tmp_path: Path) -> None:
    for name in ("two words.png", "é漢.png", "-dash.png", "new\nline.png"):
        refused(voxgan("reconstruct", "-m", vae, "-o", tmp_path / "a.obj", "--", tmp_path / name), 4, "")
        refused(voxgan("reconstruct", "-m", vae, "-o", tmp_path / "a.obj", "--", name), 4, "")


# -------------------------------------------------------------------------------------------- as a process
def test_help_does_not_import_torch() -> None:
    code = """
import sys
from voxgan.cli import _run, _without_debug
status = [_run(tokens, False) for tokens in (["--help"], ["train", "--help"], ["--version"], ["fly"])]
assert status == [0, 0, 0, 2], status
heavy = {"torch", "scipy", "trimesh", "h5py", "skimage", "pyvista", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("reconstruct", "generate", "interpolate", "train", "resume", "list"))


@pytest.mark.parametrize(
    "command", ["reconstruct", "generate", "interpolate", "arithmetic", "prepare", "train", "resume"]
)
def test_every_command_explains_itself(command: str, voxgan: Any) -> None:
    done = voxgan(command, "--help")
    assert done.status == 0 and not done.err and f"voxgan {command}" in done.out


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    plain = in_a_process("generate", "-m", tmp_path / "gone", "-o", tmp_path / "a.obj")
    refused(plain, 4, "gone")
    debug = in_a_process("generate", "-m", tmp_path / "gone", "-o", tmp_path / "a.obj", "--debug")
    assert debug.status != 0 and "Traceback" in debug.err and "StorageError" in debug.err


def test_the_exit_status_of_a_process(gan: Path, tmp_path: Path) -> None:
    assert in_a_process("generate", "-m", gan, "-o", tmp_path / "a.obj") == (0, f"{tmp_path / 'a.obj'}\n", "")
    refused(in_a_process("generate", "-m", gan, "-o", tmp_path / "a.fbx"), 2, ".fbx")


def test_a_reader_that_goes_away_is_no_error(gan: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "voxgan", "list"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_in_a_locale_without_unicode(gan: Path, tmp_path: Path) -> None:
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = in_a_process("info", gan, env=env)
    assert done.status == 0 and "Traceback" not in done.err


# ------------------------------------------------------------------------------------------- names of outputs
def test_names_are_distinct() -> None:
    assert _distinct(["a", "a", "a_000"]) == ["a_001", "a_002", "a_000"]
    assert _distinct(["a", "b", "A"]) == ["a_000", "b", "A_001"]
    began = time.monotonic()
    assert len(set(_distinct(["a"] * 20_000 + [f"a_{i:03d}" for i in range(20_000)]))) == 40_000
    assert time.monotonic() - began < 5


def test_three_photos_whose_names_collide(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    photos = [tmp_path / name for name in ("d1/a.png", "d2/a.png", "a_000.png")]
    for path in photos:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo.read_bytes())
    done = voxgan("reconstruct", *photos, "-m", vae, "-o", f"{tmp_path}/coll/")
    assert done.status == 0 and len(set(done.out.splitlines())) == len(list((tmp_path / "coll").iterdir())) == 3


def test_one_file_for_two_outputs(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    refused(voxgan("generate", "-m", gan, "-o", f"{tmp_path}/o", "-o", f"{tmp_path}/o/"), 2, "2 times")
    gif = tmp_path / "a.gif"
    refused(voxgan("interpolate", "-m", gan, "-o", gif, "--preview", gif), 2, "2 times")


def test_a_slash_or_a_folder_that_is_there_is_a_folder(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    (tmp_path / "out.v2").mkdir()
    done = voxgan(
        "generate", "-m", gan, "-o", f"{tmp_path}/res_0.5/", "-o", tmp_path / "out.v2", "-o", f"{tmp_path}/x.obj/"
    )
    assert done.status == 0, done
    assert all((tmp_path / name / "shape_000.obj").is_file() for name in ("res_0.5", "out.v2", "x.obj"))
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "new.v3"), 2, "end it with / for a folder")


@pytest.mark.parametrize("tokens", [["-o", "", "-m", "GAN"], ["-o", "a.obj", "-m", ""]])
def test_empty_names(tokens: list[str], voxgan: Any, gan: Path) -> None:
    refused(voxgan("generate", *(str(gan) if token == "GAN" else token for token in tokens)), 2, "empty name")


def test_what_can_be_written_is_named(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    done = voxgan("interpolate", "-m", gan, "-o", tmp_path / "walk.jpg")
    refused(done, 2, ".png")
    assert ".gif" in done.err and ".obj" in done.err
    done = voxgan("arithmetic", "-m", gan, "-o", tmp_path / "x.gif")
    refused(done, 2, "cannot write the format '.gif'")
    assert ".png" not in done.err and ".obj" in done.err


# --------------------------------------------------------------------------------------- options and their help
def test_two_photos_after_one_option(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.gif"
    done = voxgan("interpolate", "-m", vae, "--photo", photo, photo, "--steps", "2", "-o", out, "--background", "keep")
    assert done == (0, f"{out}\n", "")
    done = voxgan("arithmetic", "A - B", "-m", vae, "--photo", photo, photo, "-o", f"{tmp_path}/o/", "-f", "npz")
    assert done == (0, f"{tmp_path}/o/result.npz\n", "")


def test_outputs_repeat(voxgan: Any, vae: Path, photo: Path, tmp_path: Path) -> None:
    assert "may be repeated" in " ".join(voxgan("generate", "--help").out.replace("│", " ").split())
    refused(voxgan("generate", "-m", vae, "-o", tmp_path / "a.obj", tmp_path / "b.stl"), 2, "b.stl")


@pytest.mark.parametrize("command", ["reconstruct", "interpolate", "arithmetic", "prepare", "train", "resume", "info"])
def test_help_shows_no_machinery(command: str, voxgan: Any) -> None:
    out = voxgan(command, "--help").out
    assert not any(
        odd in out for odd in ("--empty", "--sources", "--options", "[default: []]", "--writing", "--photos")
    )
    assert command != "prepare" or "SOURCE... DATA.h5" in out


def test_a_leading_minus(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    assert voxgan("arithmetic", "-A + B", "-m", gan, "-o", tmp_path / "a.npz").status == 0
    refused(voxgan("arithmetic", "-o", tmp_path / "b.npz", "-m", gan, "--bogus"), 2, "unknown option '--bogus'")
    refused(voxgan("arithmetic", "A", "-o", tmp_path / "b.npz", "--bogus"), 2, "--bogus")


@pytest.mark.parametrize(
    "tokens",
    [
        ["arithmetic", "A +* B"],
        ["interpolate", "--steps", "0"],
        ["interpolate", "--smooth", "-1"],
        ["arithmetic", "--max-faces", "0"],
        ["generate", "-n", "0"],
        ["generate", "--seed", str(1 << 64)],
    ],
)
def test_wrong_usage_is_told_before_the_model_and_the_folder(tokens: list[str], voxgan: Any, tmp_path: Path) -> None:
    refused(voxgan(*tokens, "-m", "no-such-model", "-o", f"{tmp_path}/zz/"), 2, "")
    assert not (tmp_path / "zz").exists()


def test_one_failure_is_told_once(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    done = voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj", "-o", tmp_path / "a.stl", "--level", "0.999999")
    refused(done, 3, "are not written")
    done = voxgan("generate", "-m", gan, "-n", "2", "-o", tmp_path / "o", "--level", "0.999999")
    assert done.status == 3 and done.err.count("\n") == 2


def test_the_surface_is_computed_once(voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = Shapes.to_mesh, []
    monkeypatch.setattr(Shapes, "to_mesh", lambda *a, **k: (calls.append(1), plain(*a, **k))[1])
    assert voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj", "-o", tmp_path / "a.stl").status == 0
    assert len(calls) == 1


def test_more_than_32_shapes_tell_their_progress(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    done = voxgan("generate", "-m", gan, "-n", "33", "-o", tmp_path, "-f", "npz", "--whole", "0", "--preview", picture)
    assert done.status == 0 and "writing: 33/33 shapes" in done.err and "drawing: 33/33 shapes" in done.err
    with Image.open(picture) as image:
        assert image.size == (6 * 256, 6 * 256)


def test_arithmetic_turntable(voxgan: Any, gan: Path, tmp_path: Path) -> None:
    gif = tmp_path / "x.gif"
    assert voxgan("arithmetic", "A", "-m", gan, "-o", tmp_path / "a.npz", "--preview", gif).status == 0
    with Image.open(gif) as image:
        assert image.n_frames > 4


def test_underscores_in_a_shipped_name(voxgan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxgan.checkpoint._PRETRAINED", tmp_path)
    save_model(make("gan3d"), tmp_path / "some-gan")
    assert voxgan("info", "some_gan").status == 0
    assert voxgan("generate", "-m", "some_gan", "-o", tmp_path / "a.npz").status == 0


# ------------------------------------------------------------------------------------------- training, preparing
@pytest.mark.parametrize("word", ["report=1", "model=1", "data=1", "out=1"])
def test_reserved_words(word: str, voxgan: Any, tiny_data: Path, tmp_path: Path) -> None:
    refused(voxgan("train", "gan3d", tiny_data, "--out", tmp_path / "run", word), 2, "unknown option")
    refused(voxgan("train", "gan3d", tiny_data, "--out", tmp_path / "run", "save-every=1", "save_every=2"), 2, "twice")
    refused(voxgan("resume", tmp_path, "run=1"), 2, "unknown option")
    refused(voxgan("resume", tmp_path, "report=1"), 2, "unknown option")


def test_resume_of_a_finished_run(voxgan: Any, tiny_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    done = voxgan("train", "gan3d", tiny_data, "--out", run, *TRAINING)
    assert done.status == 0 and f"generate --model '{run}'" in done.out
    for more in ([], ["steps=1"], ["steps=2"]):
        done = voxgan("resume", run, *more)
        assert done.status == 0 and "already at step 2 of 2" in done.out and "trained" not in done.out
    refused(voxgan("resume", run, "stesp=1"), 2, "unknown option")
    refused(voxgan("resume", run, "batch=2"), 2, "where batch=2 changes nothing; give steps=… as well, above 2")
    refused(voxgan("resume", run, "width=8"), 2, "width is the model's, and fixed when a run begins")
    refused(voxgan("resume", "furniture"), 3, "holds a model, but no run")


def test_ranks_are_torchruns(voxgan: Any, tiny_data: Path, tmp_path: Path) -> None:
    refused(voxgan("train", "gan3d", tiny_data, "--out", tmp_path / "run", "ranks=2"), 2, "torchrun --nproc-per-node")


def test_a_vae_run_is_told_to_reconstruct(
    voxgan: Any, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxgan.training.train", lambda *_, **__: make("vae_gan3d"))
    done = voxgan("train", "vae_gan3d", tiny_data, "--out", tmp_path / "run")
    assert done.status == 0 and "voxgan reconstruct" in done.out


def test_what_prepare_and_resume_pass_on(voxgan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, Any] = {}
    monkeypatch.setattr("data_prep.build.prepare", lambda *_, **options: got.update(options))
    assert voxgan("prepare", "x", "a.h5", "--overwrite", "--classes", "chair, bed ").status == 0
    assert got["overwrite"] is True and got["classes"] == ["chair", "bed"]
    monkeypatch.setattr("voxgan.training.resume", lambda *_, **options: got.update(options) or make("gan3d"))
    model = save_model(make("gan3d"), tmp_path / "m")
    assert voxgan("resume", model, "data=b.h5").status == 0 and got["data"] == "b.h5"


# --------------------------------------------------------------------------------------------------- debugging
def test_torch_out_of_memory(voxgan: Any, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(Model, "decode", fail)
    refused(voxgan("generate", "-m", gan, "-o", tmp_path / "a.obj"), 4, "out of memory")


def test_debug_keeps_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["generate", "-m", str(tmp_path / "gone"), "-o", str(tmp_path / "a.obj")], True) == 4
    assert _run(["fly"], True) == 2
    assert capsys.readouterr().err.count("Traceback") >= 2


def test_debug_behind_two_dashes_is_a_name() -> None:
    assert _without_debug(["a", "--debug", "b"]) == (["a", "b"], True)
    assert _without_debug(["a", "--", "--debug"]) == (["a", "--", "--debug"], False)


def test_the_command_knows_every_format_that_can_be_written() -> None:
    """The list stands in `outputs` again only because importing the others would slow ``--help`` down."""
    from voxgan import outputs
    from voxgan.export import EXPORT_SUFFIXES
    from voxgan.volumes import VOLUME_SUFFIXES

    assert outputs.VOLUMES == VOLUME_SUFFIXES
    assert set(outputs.MESHES) == {*EXPORT_SUFFIXES, *VOLUME_SUFFIXES}


# ------------------------------------------------------------------------------------------------------ viewing
def test_view_takes_a_photo_in_the_place_of_a_model(voxgan: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import viewer.web

    seen: dict[str, Any] = {}
    monkeypatch.setattr(viewer.web, "serve", lambda model, files, **options: seen.update(model=model, files=files))
    assert voxgan("view", photo, "--web").status == 0
    assert seen == {"model": "furniture", "files": (photo,)}
    assert voxgan("view", "chairs-gan3d", photo, "--web").status == 0
    assert seen == {"model": "chairs-gan3d", "files": (photo,)}


def test_view_of_a_file_that_is_not_there(voxgan: Any, tmp_path: Path) -> None:
    refused(voxgan("view", "furniture", tmp_path / "none.png"), 4, "there is no file")
    refused(voxgan("view", "furniture", tmp_path / "none.png", "--web"), 4, "there is no file")
