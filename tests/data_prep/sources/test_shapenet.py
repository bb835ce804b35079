"""ShapeNetCore and 3D-R2N2, on trees laid out here: versions, splits, volumes, and the cameras of the views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from data_prep.render import render_view
from data_prep.sources import find_items
from data_prep.sources.shapenet import CLASSES, FIELD_OF_VIEW
from voxgan.camera import Camera
from voxgan.errors import DatasetError, ImageError, InputError, StorageError
from voxgan.voxelisation import voxelise
from voxgan.voxels import Shapes, cell_centres

CHAIR, TABLE = "03001627", "04379243"
V1 = np.array([[0, -1.0, 0], [0, 0, 1], [-1, 0, 0]])  # house → v1: the front −y is +x, up is y
V2 = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])  # house → v2: the front −y is −z, up is y


def arrow() -> trimesh.Trimesh:
    """A post on the left front corner of a plate, in the house's axes; its box is centred, the diagonal 1."""
    plate = trimesh.creation.box((4, 3, 0.5), trimesh.transformations.translation_matrix((0, 0, 0.25)))
    post = trimesh.creation.box((1, 1, 2.5), trimesh.transformations.translation_matrix((-1.5, -1, 1.25)))
    mesh = trimesh.util.concatenate([plate, post])
    mesh.apply_translation(-mesh.bounds.mean(axis=0))
    mesh.apply_scale(1 / np.linalg.norm(mesh.extents))
    return mesh


def save(path: Path, axes: np.ndarray, offset=(0, 0, 0)) -> trimesh.Trimesh:
    mesh = arrow()
    mesh.vertices = mesh.vertices @ axes.T + offset
    path.parent.mkdir(parents=True, exist_ok=True)
    mesh.export(path)
    return mesh


def save_binvox(path: Path, axes: np.ndarray, shell: bool = False) -> None:
    """Write the arrow's volume, 32³, in the given axes."""
    grid = voxelise(arrow(), 32).occupancy[0] > 0.5
    if shell:
        inner = np.zeros_like(grid)
        inner[1:-1, 1:-1, 1:-1] = np.all([np.roll(grid, s, a)[1:-1, 1:-1, 1:-1] for a in range(3) for s in (-1, 1)], 0)
        grid = grid & ~inner
    lying = np.zeros_like(grid)
    lying[tuple(np.rint((np.argwhere(grid) - 15.5) @ axes.T + 15.5).astype(int).T)] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    Shapes(lying).export(path)


def is_the_arrow(occupancy: np.ndarray) -> bool:
    """Whether the post stands at the left front corner."""
    x, y, z = np.moveaxis(cell_centres(len(occupancy))[occupancy > 0.5], -1, 0)
    top = z > 0.1
    return bool(top.any() and x[top].max() < -0.1 and y[top].max() < 0 and (z < 0).sum() > top.sum())


# ------------------------------------------------------------------------------------------------- layout
def test_both_versions_face_the_house(tmp_path):
    save(tmp_path / "one" / CHAIR / "a1" / "model.obj", V1)
    save(tmp_path / "two" / CHAIR / "b2" / "models" / "model_normalized.obj", V2)
    save_binvox(tmp_path / "two" / CHAIR / "b2" / "models" / "model_normalized.solid.binvox", V2)
    for name, front in (("one", "x"), ("two", "-z")):
        (item,) = find_items(tmp_path / name)
        assert (item.class_name, item.split, item.up, item.front) == ("chair", "train", "y", front)
        assert item.source.endswith(".obj")  # the mesh is preferred
        loaded = item.load(32)
        assert is_the_arrow(loaded.shapes.occupancy[0]) and loaded.mesh.volume > 0
        back = loaded.mesh.vertices @ loaded.transform[:, :3].T + loaded.transform[:, 3]
        np.testing.assert_allclose(np.linalg.norm(np.ptp(back, axis=0)), 1, atol=1e-5)


@pytest.mark.parametrize(("name", "shell"), [("solid", False), ("surface", True)])
@pytest.mark.parametrize("version", [1, 2])
def test_without_the_mesh_the_volume_is_taken(tmp_path, name, shell, version):
    if version == 2:
        path = tmp_path / TABLE / "b" / "models" / f"model_normalized.{name}.binvox"
    else:
        path = tmp_path / TABLE / "b" / ("model.binvox" if shell else "model.solid.binvox")
    save_binvox(path, V2 if version == 2 else V1, shell)
    (path.parent / "model_normalized.mtl").touch()
    (item,) = find_items(tmp_path)
    assert (item.class_name, item.source) == ("table", str(path))
    grid = item.load(32).shapes.occupancy[0] > 0.5
    assert is_the_arrow(grid)
    np.testing.assert_array_equal(grid, voxelise(arrow(), 32).occupancy[0] > 0.5)  # a shell is filled


def test_releases_side_by_side_give_each_model_once(tmp_path):
    for root in ("ShapeNetCore.v1", "ShapeNetCore.v2"):
        below = "models/model_normalized.obj" if root.endswith("2") else "model.obj"
        for model in ("a", "b"):
            save(tmp_path / root / CHAIR / model / below, V2 if root.endswith("2") else V1)
    save(tmp_path / "ShapeNetCore.v1" / TABLE / "c" / "model.obj", V1)
    items = find_items(tmp_path, test_share=0)
    assert [item.name for item in items] == ["chair/a", "chair/b", "table/c"]
    assert [item.front for item in items] == ["-z", "-z", "x"]


def test_an_unknown_synset_is_its_own_class_and_the_rest_is_passed_over(tmp_path):
    save(tmp_path / "12345678" / "a" / "model.obj", V1)
    (tmp_path / CHAIR / "empty").mkdir(parents=True)
    (tmp_path / "taxonomy.json").write_text("[]")
    assert [(item.name, item.class_name) for item in find_items(tmp_path)] == [("12345678/a", "12345678")]
    (item,) = find_items(tmp_path, up="z", front="-y")
    assert (item.up, item.front) == ("z", "-y")


def test_the_table_of_classes():
    assert len(CLASSES) == len(set(CLASSES.values())) == 55
    assert all(len(synset) == 8 and synset.isdigit() for synset in CLASSES)


# ------------------------------------------------------------------------------------------------- splits
def test_the_official_split(tmp_path):
    for model in "abcde":
        save(tmp_path / "02691156" / model / "model.obj", V1)
    text = "\ufeffid,synsetId,subSynsetId,modelId,split\n1,02691156,0,a,test\n2,2691156,0,b,val\n3,02691156,0,c,train\n"
    (tmp_path / "all.csv").write_text(text + "4,02691156,0,elsewhere,test\n5,03001627,0,d,test\n", encoding="utf-8")
    splits = {item.name: item.split for item in find_items(tmp_path, test_share=0.9)}
    assert splits == {f"airplane/{m}": "test" if m == "a" else "train" for m in "abcde"}
    (tmp_path / "all.csv").unlink()
    assert [item.split for item in find_items(tmp_path, test_share=0.4)] == ["train"] * 3 + ["test"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: expected the columns synsetId"),
        (b"a,b\n1,2\n", "line 1: expected the columns"),
        (b"synsetId,modelId,split\n03001627,a,tset\n", "line 2: split 'tset'; expected train, val or test"),
        (b"synsetId,modelId,split\n03001627\n", "line 2: split None"),
        (b"synsetId,modelId,split\n\xff\xfe,a,test\n", "no CSV in UTF-8"),
        (b'synsetId,modelId,split\n"' + b"x" * 200_000, "no CSV in UTF-8"),
    ],
)
def test_a_split_that_cannot_be_read_is_said(tmp_path, text, message):
    save(tmp_path / CHAIR / "a" / "model.obj", V1)
    (tmp_path / "all.csv").write_bytes(text)
    with pytest.raises(DatasetError, match=message) as caught:
        find_items(tmp_path)
    assert "all.csv" in str(caught.value) and "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------- views of R2N2
VIEWS = np.array([[0, 0, 0, 1, 25], [30, 25, 0, 0.7, 25], [222.5, 28.6, 0, 0.93, 25], [310, 60, 12, 0.8, 25]])


def seen_by_blender(points: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Where points of v1 (P, 3) fall (P, 2), parts of the picture, as the script that made the views sets its camera.

    The object is stood up; the camera, on +x and looking back along it, hangs on an empty object at the origin with
    the Euler angles (−in-plane, −elevation, −azimuth), at 1.75 times the distance; 35 mm on a sensor of 32 mm.
    """
    azimuth, elevation, in_plane, ratio, _ = view
    world = points @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    parent = Rotation.from_euler("xyz", [-in_plane, -elevation, -azimuth], degrees=True)
    depth, x, y = parent.inv().apply(world).T
    scale = 35 / 32 / (1.75 * ratio - depth)
    return np.stack([0.5 + x * scale, 0.5 - y * scale], axis=1)


def test_the_script_agrees_with_the_published_matrices():
    """The matrices that Mesh R-CNN reads these views with, for pictures without an in-plane turn."""
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 3))
    for azimuth, elevation, in_plane, ratio, _ in VIEWS[:3]:
        a, e = np.radians([-azimuth, -elevation])
        turn = [
            [np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), -np.sin(e)],
            [-np.sin(a), np.cos(a), 0],
            [np.cos(a) * np.sin(e), np.sin(a) * np.sin(e), np.cos(e)],
        ]
        lying = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
        forward, x, y = np.array(turn) @ lying @ points.T
        z = forward - 1.75 * ratio
        clip = np.stack([2.1875 * x / -z, 2.1875 * y / -z], axis=1)
        expected = np.stack([(1 + clip[:, 0]) / 2, (1 - clip[:, 1]) / 2], axis=1)
        np.testing.assert_allclose(seen_by_blender(points, (azimuth, elevation, in_plane, ratio, 25)), expected)


def draw_views(root: Path, mesh: trimesh.Trimesh, views: np.ndarray = VIEWS, synset: str = CHAIR) -> Path:
    """Write silhouettes of a mesh of v1 as the script would, 137 × 137, with their metadata."""
    folder = root / "ShapeNetRendering" / synset / "a" / "rendering"
    folder.mkdir(parents=True, exist_ok=True)
    for number, view in enumerate(views):
        corners = seen_by_blender(mesh.vertices, view) * 137 * 8
        image = Image.new("L", (137 * 8, 137 * 8))
        for face in mesh.faces:
            ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners[face]], fill=255)
        alpha = image.resize((137, 137), Image.Resampling.BOX)
        picture = Image.new("RGBA", (137, 137), (200, 120, 40, 0))
        picture.putalpha(alpha)
        picture.save(folder / f"{number:02d}.png")
    (folder / "renderings.txt").write_text("".join(f"{number:02d}.png\n" for number in range(len(views))))
    (folder / "rendering_metadata.txt").write_text("".join(" ".join(map(str, view)) + " \n" for view in views))
    return folder


def camera(numbers: np.ndarray) -> Camera:
    return Camera(*numbers[:5].tolist(), shift=tuple(numbers[5:].tolist()))


def test_the_views_of_a_mesh_have_its_cameras(tmp_path):
    mesh = save(tmp_path / "ShapeNetCore.v1" / CHAIR / "a" / "model.obj", V1)
    save_binvox(tmp_path / "ShapeNetVox32" / CHAIR / "a" / "model.binvox", V1)
    draw_views(tmp_path, mesh)
    (item,) = find_items(tmp_path)
    assert item.source.endswith("model.obj")
    loaded = item.load(32, views=24)
    assert loaded.pictures.shape == (4, 256, 256, 4) and loaded.cameras.shape == (4, 7)
    assert loaded.pictures.dtype == np.uint8 and loaded.cameras.dtype == np.float32
    cube = loaded.mesh.vertices
    own = cube @ loaded.transform[:, :3].T + loaded.transform[:, 3]
    for picture, numbers, view in zip(loaded.pictures, loaded.cameras, VIEWS, strict=True):
        np.testing.assert_allclose(camera(numbers).project(cube, 256), seen_by_blender(own, view) * 256, atol=0.02)
        drawn = render_view(loaded.mesh, camera(numbers), np.random.default_rng(0))[..., 3] > 127
        seen = picture[..., 3] > 127
        assert (drawn & seen).sum() / (drawn | seen).sum() > 0.97
        points = cell_centres(32)[loaded.shapes.occupancy[0] > 0.5]
        x, y = camera(numbers).project(points, 256).astype(int).T
        assert (picture[y, x, 3] > 127).mean() > 0.97
    np.testing.assert_allclose(loaded.cameras[:, 0], (-VIEWS[:, 0]) % 360, atol=1e-3)  # both begin at the front
    np.testing.assert_allclose(loaded.cameras[:, 1], VIEWS[:, 1], atol=1e-3)
    np.testing.assert_allclose(loaded.cameras[:, 3], FIELD_OF_VIEW, atol=1e-3)
    np.testing.assert_allclose(loaded.cameras[:, 4:], [[0, 0, 0]] * 3 + [[-12, 0, 0]], atol=1e-3)
    assert item.load(32).pictures is None
    assert len(item.load(32, views=2).pictures) == 2


def test_the_views_of_a_volume_alone(tmp_path):
    """The volume gives the same cameras, as far as cells can tell."""
    mesh = arrow()
    mesh.vertices = mesh.vertices @ V1.T
    draw_views(tmp_path, mesh)
    save_binvox(tmp_path / "ShapeNetVox32" / CHAIR / "a" / "model.binvox", V1)
    for root in (tmp_path, tmp_path / "ShapeNetVox32"):
        (item,) = find_items(root)
        loaded = item.load(64, views=4)
        assert is_the_arrow(loaded.shapes.occupancy[0]) and loaded.mesh is None
        points = cell_centres(64)[loaded.shapes.occupancy[0] > 0.5]
        own = points @ loaded.transform[:, :3].T + loaded.transform[:, 3]
        assert np.abs(own.max(axis=0) - mesh.bounds[1]).max() < 0.03
        for picture, numbers, view in zip(loaded.pictures, loaded.cameras, VIEWS, strict=True):
            np.testing.assert_allclose(camera(numbers).project(points), seen_by_blender(own, view) * 256, atol=0.05)
            x, y = camera(numbers).project(points, 256).astype(int).T
            assert (picture[y, x, 3] > 127).mean() > 0.95


def test_a_camera_that_looks_past_the_middle(tmp_path):
    """A little past, a shift tells it nearly; far past, nothing does, and the camera is unknown."""
    for name, offset, known in (("near", (0.006, -0.01, 0.008), True), ("far", (0.3, 0, 0.1), False)):
        mesh = save(tmp_path / name / "ShapeNetCore.v1" / CHAIR / "a" / "model.obj", V1, offset)
        draw_views(tmp_path / name, mesh)
        loaded = find_items(tmp_path / name)[0].load(16, views=4)
        assert np.isfinite(loaded.cameras).all(axis=1).tolist() == [known] * 4
        assert np.isnan(loaded.cameras).all(axis=1).tolist() == [not known] * 4
        if known:
            for numbers, view in zip(loaded.cameras, VIEWS, strict=True):
                found = camera(numbers).project(loaded.mesh.vertices, 256)
                assert np.abs(found - seen_by_blender(mesh.vertices, view) * 256).max() < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines"),
        ("30 25 0 0.7 25\n", "1 lines, and there is a picture 03.png"),
        ("30 25 0 0.7\n" * 4, "line 1: '30 25 0 0.7'; expected five numbers"),
        ("30 25 0 0.7 25\n" * 3 + "30 25 0 x 25\n", "line 4"),
        ("nan 25 0 0.7 25\n" * 4, "line 1"),
        ("30 25 0 0 25\n" * 4, "line 1"),
        ("\0\xff" * 100, "line 1"),
    ],
)
def test_damaged_metadata_are_an_input_error(tmp_path, text, message):
    mesh = save(tmp_path / CHAIR / "a" / "model.obj", V1)
    folder = draw_views(tmp_path, mesh)
    (folder / "rendering_metadata.txt").write_text(text, encoding="latin-1")
    (item,) = find_items(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        item.load(16, views=4)
    assert "\n" not in str(caught.value)
    assert item.load(16).shapes.occupancy.any()  # who wants no pictures is not kept from the shape


def test_damaged_pictures_are_an_input_error(tmp_path):
    mesh = save(tmp_path / CHAIR / "a" / "model.obj", V1)
    folder = draw_views(tmp_path, mesh)
    (item,) = find_items(tmp_path)
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"01\.png"):
        item.load(16, views=2)
    (folder / "00.png").unlink()
    (folder / "01.png").unlink()
    assert len(item.load(16, views=24).pictures) == 2  # what is there, with its own cameras
    np.testing.assert_allclose(item.load(16, views=24).cameras[:, 1], VIEWS[2:, 1], atol=1e-3)
    (folder / "rendering_metadata.txt").unlink()
    with pytest.raises(StorageError, match=r"rendering_metadata\.txt"):
        item.load(16, views=2)
    for name in ("02.png", "03.png"):
        (folder / name).unlink()
    with pytest.raises(InputError, match="no pictures in it"):
        item.load(16, views=2)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"#binvox 1\ndim 4 4 4\ndata\n\x00\x40"])
def test_damaged_volumes_are_an_input_error(tmp_path, content):
    path = tmp_path / "ShapeNetVox32" / CHAIR / "a" / "model.binvox"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.binvox"):
        find_items(tmp_path)[0].load(16)
