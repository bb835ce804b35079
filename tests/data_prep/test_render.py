"""Views: every renderer agrees with the camera to a pixel; conventions of the house, seeds, framing; backgrounds."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image

from data_prep.backgrounds import BACKGROUNDS, backgrounds, photo_backgrounds
from data_prep.furniture import furniture
from data_prep.render import Camera, _Scene, _trace, render_view, render_views
from voxgan import graphics
from voxgan.camera import cameras as rig_cameras
from voxgan.errors import ImageError, MeshError, MissingExtraError, StorageError, UsageError
from voxgan.raycast import draw_views
from voxgan.voxelisation import voxelise
from voxgan.voxels import frame


def box(low, high) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    return trimesh.creation.box(high - low, trimesh.transformations.translation_matrix((low + high) / 2))


@pytest.fixture(params=["rays", "pyvista"])
def renderer(request: pytest.FixtureRequest) -> str:
    if request.param == "pyvista":
        need_pyvista()
    return request.param


def need_pyvista() -> None:
    pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    reason = graphics._probe()
    if reason is not None:
        pytest.skip(f"OpenGL does not work here: {reason}")


def overlap(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Intersection over union of what two pictures show."""
    here, there = a[..., 3] > 127, b[..., 3] > 127
    return float((here & there).sum() / (here | there).sum())


def from_grid(grid: NDArray[np.float32], camera: Camera) -> NDArray[np.uint8]:
    """What the ray caster of grids sees."""
    seen = torch.tensor(camera.numbers[None], dtype=torch.float32)
    return draw_views(torch.from_numpy(grid)[None], seen, torch.Generator().manual_seed(0))[0].permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def chair() -> trimesh.Trimesh:
    """A seat in front (−y) and a tall back behind (+y)."""
    return trimesh.util.concatenate(
        [box([-0.3, -0.3, -0.47], [0.3, 0.15, 0]), box([-0.3, 0.15, -0.47], [0.3, 0.3, 0.47])]
    )


CAMERAS = [
    Camera(0, 0, 2, 45),
    Camera(90, 0, 2, 45),
    Camera(35, 25, 1.6, 55, roll=4),
    Camera(200, 60, 3, 25, roll=-3, shift=(0.05, -0.08)),
    Camera(310, -5, 2, 40),
]


@pytest.mark.parametrize("camera", CAMERAS)
def test_projected_corners_agree_with_the_alpha(camera, renderer):
    mesh = box([-0.3, -0.2, -0.4], [0.25, 0.2, 0.35])
    alpha = render_view(mesh, camera, np.random.default_rng(0), renderer=renderer)[..., 3]
    corners = camera.project(mesh.vertices)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    assert abs(columns[0] - corners[:, 0].min()) <= 1
    assert abs(columns[-1] + 1 - corners[:, 0].max()) <= 1
    assert abs(rows[0] - corners[:, 1].min()) <= 1
    assert abs(rows[-1] + 1 - corners[:, 1].max()) <= 1


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_tiny_box_falls_where_it_is_projected(camera, renderer):
    place = np.array([0.2, -0.15, 0.3])
    mesh = box(place - 0.02, place + 0.02)
    alpha = render_view(mesh, camera, np.random.default_rng(0), renderer=renderer)[..., 3]
    rows, columns = np.nonzero(alpha)
    found = np.array([columns.mean(), rows.mean()]) + 0.5
    assert np.abs(found - camera.project(place)[0]).max() < 1


# An L of two blocks with a mast on one end, in cells of a grid of 64.
BLOCKS = [((4, 4, 4), (40, 20, 16)), ((4, 20, 4), (20, 56, 12)), ((6, 6, 12), (10, 10, 60))]
VARIED = [
    Camera(0, 0, 2, 45),
    Camera(90, 0, 2, 45),
    Camera(35, 25, 1.6, 55, roll=4),
    Camera(200, 50, 3, 25, roll=-3, shift=(0.05, -0.08)),
    Camera(310, -5, 2, 40),
    Camera(135, 30, 2.5, 30, roll=12, shift=(-0.2, 0.1)),
    Camera(62, 15, 1.5, 60),
    Camera(250, 40, 2.2, 35, roll=-25, shift=(0.02, 0.15)),
]


@pytest.mark.parametrize("caster", ["rays", "pyvista", "grid of 64", "grid of 128"])
@pytest.mark.parametrize("camera", VARIED)
def test_the_tip_of_a_mast_is_seen_where_it_is_projected(camera, caster):
    slack = 0.0
    if caster.startswith("grid"):
        R = int(caster.split()[-1])
        grid = np.zeros((R,) * 3, np.float32)
        for low, high in np.array(BLOCKS) * R // 64:
            grid[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = 1
        picture = from_grid(grid, camera)
        slack = 0.5 * 256 * camera.focal / ((camera.distance - 0.5) * R)  # a grid's corner is known to half a cell
    else:
        if caster == "pyvista":
            need_pyvista()
        blocks = trimesh.util.concatenate([box(*(np.array(block) / 64 - 0.5)) for block in BLOCKS])
        picture = render_view(blocks, camera, np.random.default_rng(0), renderer=caster)
    low, high = np.array(BLOCKS[2]) / 64 - 0.5
    top = camera.project([[x, y, high[2]] for x in (low[0], high[0]) for y in (low[1], high[1])])
    foot = camera.project([[(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, -0.2]])[0]
    along = (top.mean(axis=0) - foot) / np.linalg.norm(top.mean(axis=0) - foot)
    across = np.array([-along[1], along[0]])
    rows, columns = np.nonzero(picture[..., 3] > 127)
    seen = np.stack([columns, rows], axis=1) + 0.5 - foot
    reach = seen @ along
    assert abs(reach.max() + 0.5 - ((top - foot) @ along).max()) < 1 + slack
    near = (reach > reach.max() - 12) & (reach > 0)
    assert abs((seen[near] @ across).mean() - ((top - foot) @ across).mean()) < 1


def test_the_casters_see_the_same_chair():
    need_pyvista()
    mesh = furniture("chair", 3)
    scale, centre = frame(*mesh.bounds)
    mesh.apply_translation(-centre)
    mesh.apply_scale(1 / scale)
    grid = voxelise(mesh, 128).occupancy[0]
    views, cameras = render_views(mesh, 4, seed=0)
    drawn, same = render_views(mesh, 4, seed=0, renderer="pyvista")
    for a, b, camera, other in zip(views, drawn, cameras, same, strict=True):
        assert np.abs(camera.numbers - other.numbers).max() < 1e-6
        assert overlap(a, b) > 0.97
        assert overlap(a, from_grid(grid, camera)) > 0.93  # its slats are as thick as cells
    assert np.abs(views.astype(int) - drawn).max() > 50  # two renderers, not one


def test_the_front_shows_the_seat_before_the_back(chair):
    def seat_seen(azimuth: float) -> int:
        hits = _trace(_Scene(chair, None), Camera(azimuth, 30, 2, 45), 64)
        return int(((hits.normal[:, 2] > 0.9) & (np.abs(hits.point[:, 2]) < 1e-3)).sum())

    assert seat_seen(0) > 50
    assert seat_seen(180) == 0


def test_from_plus_x_the_back_is_on_the_right(chair):
    alpha = render_view(chair, Camera(90, 0, 2.5, 40), np.random.default_rng(0))[..., 3] > 0
    upper = alpha[: len(alpha) // 2 - 5]
    assert np.nonzero(upper)[1].mean() > 128 + 20


def test_views_are_framed_and_cameras_agree(chair, renderer):
    views, cameras = render_views(chair, 6, seed=3, size=128, renderer=renderer)
    assert views.shape == (6, 128, 128, 4) and views.dtype == np.uint8
    for view, camera in zip(views, cameras, strict=True):
        rows, columns = np.nonzero(view[..., 3])
        low, high = (
            camera.project(chair.vertices, size=128).min(axis=0),
            camera.project(chair.vertices, 128).max(axis=0),
        )
        assert np.abs([columns.min() - low[0], rows.min() - low[1]]).max() <= 1
        assert np.abs([columns.max() + 1 - high[0], rows.max() + 1 - high[1]]).max() <= 1
        assert max(high - low) == pytest.approx(128 * 0.84, abs=0.15)
        np.testing.assert_allclose((low + high) / 2, 64, atol=0.15)
        alpha = view[..., 3]
        assert 0.9 < np.isin(alpha, [0, 255]).mean() < 1
        assert (view[alpha == 0] == 0).all()


def test_views_follow_the_seed_and_the_index(chair, renderer):
    views, cameras = render_views(chair, 3, seed=5, size=64, renderer=renderer)
    again, same = render_views(chair, 2, seed=5, size=64, renderer=renderer)
    assert (views[:2] == again).all() and cameras[:2] == same
    other, _ = render_views(chair, 1, seed=6, size=64, renderer=renderer)
    assert (views[0] != other[0]).any() and (views[0] != views[1]).any()


def test_given_cameras_are_framed(chair):
    _, cameras = render_views(chair, 2, seed=0, size=32, cameras=CAMERAS[:2])
    assert [(c.azimuth, c.elevation, c.distance) for c in cameras] == [(0, 0, 2), (90, 0, 2)]


def test_a_sphere_is_round_and_lit():
    ball = trimesh.creation.icosphere(4, radius=0.47)
    views, _ = render_views(ball, 1, seed=0, size=64)
    share = (views[0, ..., 3] / 255).mean()
    assert share == pytest.approx(np.pi / 4 * 0.84**2, abs=0.01)
    assert views[0, ..., :3][views[0, ..., 3] == 255].std() > 2


def test_parts_that_share_a_plane_do_not_flicker():
    # two boxes with a common front: whichever wins, it must win everywhere
    mesh = trimesh.util.concatenate([box([-0.4, -0.3, -0.4], [0.4, 0.3, 0.4]), box([-0.2, -0.3, -0.2], [0.2, 0, 0.2])])
    scene = _Scene(mesh, None)
    hits = _trace(scene, Camera(0, 0, 2, 45), 64)
    middle = (np.abs(hits.point[:, [0, 2]]) < 0.18).all(axis=1)
    assert middle.sum() > 50 and len(np.unique(scene.part[hits.face[middle]])) == 1


def test_round_where_round_and_sharp_where_sharp():
    tube = trimesh.creation.cylinder(radius=0.3, height=0.8, sections=32)
    normals = _Scene(tube, None).normals
    upright = np.abs(normals[..., 2])
    assert np.isclose(upright, 0, atol=1e-6).sum() + np.isclose(upright, 1, atol=1e-6).sum() == upright.size
    rim = tube.triangles[..., :2]
    side = upright < 0.5
    outward = rim[side] / np.linalg.norm(rim[side], axis=-1, keepdims=True)
    assert (np.einsum("ij,ij->i", normals[side][:, :2], outward) > 0.995).all()


def test_a_rig_gives_its_cameras_framed(chair):
    _, cameras = render_views(chair, 72, seed=0, size=16, rig="24x3")
    assert [(c.azimuth, c.elevation) for c in cameras] == [(c.azimuth, c.elevation) for c in rig_cameras("24x3", 72)]
    _, cameras = render_views(chair, 3, seed=4, size=16)
    assert [c.azimuth for c in cameras] == [c.azimuth for c in rig_cameras("photo", 3, seed=4)]
    with pytest.raises(UsageError, match="expected 72"):
        render_views(chair, 24, seed=0, size=16, rig="24x3")


def test_plotters_are_closed_even_after_an_error(chair, monkeypatch):
    need_pyvista()
    import pyvista

    closed = []
    close = pyvista.Plotter.close
    monkeypatch.setattr(pyvista.Plotter, "close", lambda self: (closed.append(self), close(self))[1])
    with pytest.raises(UsageError, match="raise the distance"):
        render_views(chair, 1, seed=0, cameras=[Camera(0, 0, 0.1, 45)], renderer="pyvista")
    assert closed


def test_a_mesh_of_long_slivers_does_not_become_millions_of_triangles():
    need_pyvista()
    from data_prep.render_parts import Surface
    from data_prep.render_pyvista import MANY_FACES, _fine

    rng = np.random.default_rng(0)
    corners = rng.uniform(-0.5, 0.5, (3000, 3, 3))
    soup = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(9000).reshape(-1, 3), process=False)
    corners, normals, part = _fine(Surface(soup))
    assert len(corners) == len(normals) == len(part) <= MANY_FACES
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-4)


def test_without_pyvista(chair, monkeypatch):
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"rendering with PyVista.*voxgan-3d\[viewer\]"):
        render_views(chair, 1, seed=0, renderer="pyvista")


def test_without_opengl(chair, monkeypatch):
    pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    monkeypatch.setattr(graphics, "_probe", lambda: "a trial picture ended with signal 11")
    with pytest.raises(UsageError, match=r"signal 11.*apt-get install"):
        render_views(chair, 1, seed=0, renderer="pyvista")


def test_rays_need_no_pyvista():
    code = "import sys, data_prep.render; sys.exit('pyvista' in sys.modules or 'viewer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pictures_vary(chair, renderer):
    views, _ = render_views(chair, 12, seed=1, size=48, renderer=renderer)
    means = np.array([v[..., :3][v[..., 3] == 255].mean(axis=0) for v in views])
    assert means.mean(axis=1).std() > 15
    assert 20 < means.mean() < 220


def test_refusals(chair):
    with pytest.raises(MeshError, match="0 faces"):
        render_views(trimesh.Trimesh(), 1, seed=0)
    with pytest.raises(MeshError, match="finite"):
        render_views(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, np.nan, 1]], [[0, 1, 2]], process=False), 1, seed=0)
    with pytest.raises(UsageError, match="did you mean 'rays'"):
        render_views(chair, 1, seed=0, renderer="ray")
    with pytest.raises(UsageError, match="did you mean 'photo'"):
        render_views(chair, 1, seed=0, rig="photos")
    with pytest.raises(UsageError, match="1 cameras came for 2"):
        render_views(chair, 2, seed=0, cameras=CAMERAS[:1])
    with pytest.raises(UsageError, match="seed -1"):
        render_views(chair, 1, seed=-1)
    with pytest.raises(UsageError, match="seed -1"):
        backgrounds(1, seed=-1)
    with pytest.raises(UsageError, match="raise the distance"):
        render_views(chair, 1, seed=0, cameras=[Camera(0, 0, 0.1, 45)])


def test_backgrounds():
    rooms = backgrounds(16, seed=2, size=96)
    assert rooms.shape == (16, 96, 96, 3) and rooms.dtype == np.uint8
    assert (backgrounds(3, seed=2, size=96) == rooms[:3]).all()
    assert rooms.mean(axis=(1, 2, 3)).std() > 10
    assert np.median(rooms.std(axis=(1, 2)).mean(axis=1)) > 8


@pytest.mark.parametrize("kind", list(BACKGROUNDS))
def test_kinds_of_backgrounds(kind):
    pictures = backgrounds(12, seed=3, size=64, kind=kind)
    assert pictures.shape == (12, 64, 64, 3) and pictures.dtype == np.uint8
    assert (backgrounds(2, seed=3, size=64, kind=kind) == pictures[:2]).all()
    assert pictures.mean(axis=(1, 2, 3)).std() > 8
    spread = pictures.std(axis=(1, 2)).mean(axis=1)
    if kind == "plain":
        assert (spread == 0).all()
    else:
        assert np.median(spread) > 4


def test_mixed_is_the_default_and_stays_as_it_was():
    pictures = backgrounds(3, seed=2, size=32)
    assert (pictures == backgrounds(3, seed=2, size=32, kind="mixed")).all()
    assert pictures.astype(int).sum(axis=(1, 2, 3)).tolist() == [293871, 437814, 542424]


def test_backgrounds_from_a_folder(tmp_path):
    (tmp_path / "more").mkdir()
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = (250, 10, 10)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.zeros((30, 30, 4), np.uint8)).save(tmp_path / "more" / "clear.webp", lossless=True)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "torn.png").write_bytes((tmp_path / "wide.png").read_bytes()[:60])
    (tmp_path / ".hidden").write_text("")
    pictures, left_out = photo_backgrounds(tmp_path, 10, seed=0, size=16)
    assert pictures.shape == (2, 16, 16, 3) and pictures.dtype == np.uint8
    assert sorted(picture[8, 8].tolist() for picture in pictures) == [[250, 10, 10], [255, 255, 255]]
    assert pictures[:, 8, :, 1].std(axis=1).max() < 30  # the middle square, without the black sides
    assert sorted(name.rsplit("/", 1)[1] for name, _ in left_out) == ["notes.txt", "torn.png"]
    assert all(reason for _, reason in left_out)
    assert (backgrounds(10, seed=0, size=16, kind=tmp_path) == pictures).all()
    assert (backgrounds(10, seed=0, size=16, kind=str(tmp_path)) == pictures).all()
    assert len(photo_backgrounds(tmp_path, 1, seed=0, size=16)[0]) == 1


def test_folders_that_give_no_backgrounds(tmp_path):
    with pytest.raises(ImageError, match="none of 0 files"):
        photo_backgrounds(tmp_path, 4, seed=0)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"none of 1 files.*is empty"):
        backgrounds(4, seed=0, kind=tmp_path)
    with pytest.raises(StorageError, match="no folder"):
        photo_backgrounds(tmp_path / "none", 4, seed=0)
    with pytest.raises(UsageError, match=r"did you mean 'rooms'.*or a folder"):
        backgrounds(4, seed=0, kind="room")
