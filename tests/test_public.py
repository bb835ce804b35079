from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import voxgan


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", voxgan.__all__)
def test_every_public_name_is_found_at_its_home(name: str) -> None:
    found = getattr(voxgan, name)
    home = importlib.import_module(voxgan._HOMES[name])
    assert found is getattr(home, name)
    assert name in getattr(home, "__all__", [name])
    assert found.__doc__


def test_the_public_names() -> None:
    assert voxgan.__all__ == sorted(voxgan.__all__)
    assert set(voxgan.__all__) >= {"load", "train", "resume", "prepare", "Shapes", "voxelise", "interpolate"}
    assert set(dir(voxgan)) == {*voxgan.__all__, "__version__"}


def test_star_import() -> None:
    names: dict[str, object] = {}
    exec("from voxgan import *", names)
    assert set(voxgan.__all__) <= set(names)


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'laod'; it has .*load"):
        voxgan.laod  # noqa: B018
    assert not hasattr(voxgan, "torch")


def test_import_is_light() -> None:
    done = python("import sys, voxgan; print(sorted({'torch', 'numpy', 'h5py', 'cyclopts'} & set(sys.modules)))")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("module", ["voxgan.errors", "voxgan.files", "voxgan.cli", "voxgan.progress", "voxgan.presets"])
def test_rooms_that_need_no_torch(module: str) -> None:
    done = python(f"import sys, {module}; print('torch' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_version_as_a_module() -> None:
    command = [sys.executable, "-m", "voxgan", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{voxgan.__version__}\n", "")


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert version("voxgan-3d") == voxgan.__version__
