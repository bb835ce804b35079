from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("voxgan", "data_prep", "viewer")

# Makes packages as good as not installed: every finder says that it does not know them.
_HIDE = """
import sys
HIDDEN = {hidden!r}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
assert not HIDDEN & set(sys.modules)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
for name in HIDDEN:
    try:
        __import__(name)
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError(name + " is not hidden")
sys.path.insert(0, {installed!r})
import voxgan
assert voxgan.__file__.startswith({installed!r}), voxgan.__file__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the extra `dev` is not installed")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installer does with a wheel of pure Python: unpack it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(installed: Path, hidden: set[str], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    text = _HIDE.format(hidden=hidden, installed=str(installed)) + code
    command = [sys.executable, "-c", text]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    (info,) = {name.split("/")[0] for name in names} - set(PACKAGES)
    assert info.endswith(".dist-info")
    sources = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {name for name in names if not name.startswith(info)} == sources  # presets and shipped weights among them
    assert not [name for name in names if "test" in Path(name).name or name.endswith((".pyc", ".partial"))]
    assert f"{info}/licenses/LICENSE" in names and f"{info}/entry_points.txt" in names


def test_shipped_models_are_whole_in_the_wheel(installed: Path) -> None:
    """Each has its configuration, its card and the weights that its configuration names."""
    import json

    from voxgan.checkpoint import shipped

    found = {path.parent.name for path in (installed / "voxgan" / "pretrained").glob("*/config.json")}
    assert found == set(shipped())
    for name in found:
        folder = installed / "voxgan" / "pretrained" / name
        content = json.loads((folder / "config.json").read_text())
        assert (folder / content["weights"]["file"]).is_file() and (folder / "README.md").is_file()


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
        entry_points = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "Name: voxgan-3d\n" in metadata and "License-Expression: MIT\n" in metadata
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra" not in line]
    assert not [line for line in required if "pyvista" in line or "huggingface" in line]
    assert "voxgan = voxgan.cli:main" in entry_points


def test_without_the_viewer_all_imports_and_showing_names_the_extra(installed: Path, tmp_path: Path) -> None:
    code = """
import data_prep.build, viewer.scene, voxgan.cli, voxgan.preview, voxgan.training
assert all(m.__file__.startswith(sys.path[0]) for m in (data_prep.build, viewer.scene))
for name in voxgan.__all__:
    getattr(voxgan, name)
import numpy as np
from voxgan.errors import MissingExtraError
from voxgan.voxels import cell_centres
ball = voxgan.Shapes(np.linalg.norm(cell_centres(16), axis=-1) < 0.4)
assert ball.render((32, 32), renderer="rays").shape == (32, 32, 3)
for show in (viewer.scene.show, voxgan.Shapes.show):
    try:
        show(ball)
    except MissingExtraError as error:
        print(error)
"""
    done = python(installed, {"pyvista", "vtk", "vtkmodules"}, code, tmp_path)
    assert done.returncode == 0, done.stderr
    line = "showing shapes in a window needs the package pyvista: run  pip install 'voxgan-3d[viewer]'"
    assert done.stdout.splitlines() == [line, line]


def test_training_and_sampling_need_only_torch_numpy_h5py_safetensors(
    installed: Path, tiny_data: Path, tmp_path: Path
) -> None:
    code = f"""
options = dict(steps=2, batch=2, width=4, latent=8, save_every=1)
for name, more in (("gan3d", {{}}), ("vae_gan3d", {{"encoder_width": 2, "discriminator_width": 4}})):
    model = voxgan.train(name, {str(tiny_data)!r}, name, sample_every=0, **options, **more)
    assert model.generate(2, seed=0).occupancy.shape == (2, 16, 16, 16)
    assert (voxgan.load(name).generate(2, seed=0).occupancy == model.generate(2, seed=0).occupancy).all()
    voxgan.resume(name, steps=3)
z = model.sample_latents(2)
model.decode(voxgan.interpolate(z[0], z[1], 3))
import numpy as np
model.reconstruct(np.zeros((1, 3, 256, 256), np.float32))
# Samples, asked for, are left out where Pillow is missing; the training goes on.
voxgan.train("gan3d", {str(tiny_data)!r}, "sampled", sample_every=1, **options)
print("done")
"""
    hidden = {"trimesh", "skimage", "pyvista", "vtk", "vtkmodules", "scipy", "embreex", "PIL"}
    hidden |= {"cyclopts", "rich", "lxml", "networkx", "hatchling", "pytest"}
    done = python(installed, hidden, code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert not (tmp_path / "sampled" / "samples").exists() and (tmp_path / "sampled" / "log.jsonl").exists()
