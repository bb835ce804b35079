"""R7: damaged meshes and volumes through reader, voxeliser and renderer: a shape or a reason, no crash, no hang.

The quick tier runs with the other tests, the full one (``make torture``) takes more of everything. Files that once
broke something stand in ``tests/corpus/meshes``.
"""

from __future__ import annotations

import os
from pathlib import Path

import faults
import numpy as np
import pytest
from trial import FULL, SMALL, Trial

from data_prep.sources import Item
from data_prep.worker import Recipe, build_shape
from voxgan.dataset_writer import Row

DATA = os.environ.get("VOXGAN_TEST_DATA")
CORPUS = Path(__file__).parents[1] / "corpus" / "meshes"
RECIPES = (SMALL, Recipe(16, "surface"), Recipe(16, "sdf"), Recipe(32, views=1, rig="photo"))
NUM_FLIPS, NUM_CUTS = (300, 40) if FULL else (12, 5)

HEALTHY = faults.healthy()
FORMATTED = {name: (content, verdict) for name, content, verdict in faults.of_formats()}
BY_SUFFIX = sorted({name.rsplit(".", 1)[1] for name in FORMATTED})


def expect(trial: Trial, name: str, content: bytes, verdict: str, recipe: Recipe = SMALL) -> None:
    came = trial.content(name, content, recipe)
    assert verdict in ("either", came), f"{name}: expected {verdict}, came {came}"


def test_no_fault_has_the_name_of_another():
    names = [name for name, _, _ in faults.of_formats()]
    assert len(names) == len(set(names)) > 150


@pytest.mark.parametrize("suffix", BY_SUFFIX)
def test_faults_of_a_format(trial, suffix):
    for name, (content, verdict) in FORMATTED.items():
        if name.endswith(f".{suffix}"):
            expect(trial, name, content, verdict)


@pytest.mark.parametrize("number", range(len(faults.GEOMETRY)), ids=list(faults.GEOMETRY))
def test_faults_of_geometry(trial, number):
    """In the quick tier each in one format, another for each; in the full one each in all of them and in all modes."""
    kinds = list(faults.MESH_FORMATS)
    name = list(faults.GEOMETRY)[number]
    possible = [kind for kind in kinds if faults.geometric(name, kind) is not None]
    for i, kind in enumerate(possible if FULL else [possible[number % len(possible)]]):
        fault = faults.geometric(name, kind)
        assert fault is not None
        expect(trial, *fault)
        if FULL:
            expect(trial, fault[0], fault[1], "either", RECIPES[1 + i % 3])


@pytest.mark.parametrize("name", HEALTHY)
def test_flipped_bits_and_cuts(trial, name):
    whole = HEALTHY[name]
    rng = np.random.default_rng([1, *name.encode()])
    assert trial.content(name, whole) == "shape"
    came = []
    for i in range(NUM_FLIPS):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        came.append(trial.content(f"flip{i}-{name}", bytes(damaged), RECIPES[i % 4] if FULL else SMALL))
    for i in range(NUM_CUTS):
        verdict = trial.content(f"cut{i}-{name}", whole[: int(rng.integers(1, len(whole)))])
        assert verdict == "refused" or name.endswith(".obj"), f"cut {i} of {name} was read"  # OBJ declares no counts
    assert set(came) == {"shape", "refused"} or not FULL  # both kinds were tried


@pytest.mark.skipif(not FULL, reason="the full tier: VOXGAN_TORTURE=full")
@pytest.mark.parametrize("name", HEALTHY)
def test_flipped_bits_with_opengl(trial, name):
    pytest.importorskip("pyvista")
    from voxgan.graphics import check_graphics

    check_graphics()
    rng = np.random.default_rng(2)
    for i in range(8):
        damaged = bytearray(HEALTHY[name])
        if i:
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        trial.content(f"flip{i}-{name}", bytes(damaged), Recipe(16, views=1, renderer="pyvista"))


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_once_broke_something(trial, path):
    """Named after what has to come of it: ``shape-…`` or ``refused-…``; ``unseen-…`` is refused where views are."""
    expected = path.name.partition("-")[0]
    for recipe in RECIPES if FULL else (SMALL,):
        came = trial.file(path, recipe)
        assert came == expected or (expected == "unseen" and (came == "refused" or not recipe.views))


def built(path: Path, content: bytes) -> Row:
    path.write_bytes(content)
    row = build_shape(Item("folder", "a", "a", "train", str(path)), SMALL).row
    assert row is not None
    return row


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-9, 1e-3, 1e3, 1e12])
def test_the_unit_of_length_changes_neither_grid_nor_camera(tmp_path, scale):
    """A shape of nanometres in metres was drawn beside the cube: trimesh leaves out steps below 1e-8."""
    mesh = faults.HEALTHY_V * 2.0**-3 + [3, 0, 1], faults.HEALTHY_F
    step = 2.0 ** round(np.log2(scale))  # exact: nothing is rounded
    one, other = (built(tmp_path / "a.obj", faults.obj(mesh[0] * s, mesh[1])) for s in (1.0, step))
    assert one.chunks["occupancy"] == other.chunks["occupancy"]
    np.testing.assert_array_equal(one.cameras, other.cameras)
    assert one.chunks["views"] == other.chunks["views"]
    np.testing.assert_allclose(other.transform, one.transform * step, rtol=1e-12)


@pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")
def test_real_files(trial):
    """Every one becomes a shape or is set aside with a reason; the full tier damages each of them, too."""
    rng = np.random.default_rng(3)
    files = [path for path in sorted(Path(str(DATA), "meshes").rglob("*.*")) if path.suffix != ".csv"]
    assert len(files) > 100
    came = [trial.file(path, Recipe(32, views=1)) for path in files]
    assert came.count("shape") > 90 and came.count("refused") > 5
    trial.check_rows()
    for path in files if FULL else ():
        whole = path.read_bytes()
        for i in range(4 if whole else 0):
            damaged = bytearray(whole)
            if i < 3:
                damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
            trial.content(f"bad{i}-{path.name}", bytes(damaged[: None if i < 3 else int(rng.integers(len(whole)))]))
        trial.check_rows()
