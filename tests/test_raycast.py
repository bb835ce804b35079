"""Views of grids: the camera to a pixel, framing, chance, alpha, depth, devices; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from voxgan import raycast
from voxgan.camera import Camera, random_camera
from voxgan.errors import UsageError
from voxgan.raycast import draw_views, framed, random_cameras
from voxgan.voxels import cell_centres

CAMERAS = [
    Camera(0, 0, 2, 45),
    Camera(90, 0, 2, 45),
    Camera(180, 20, 2, 45),
    Camera(270, -10, 2, 45),
    Camera(35, 25, 1.6, 55, roll=4),
    Camera(200, 60, 3, 25, roll=-3, shift=(0.05, -0.08)),
    Camera(45, 85, 1.5, 60, roll=30, shift=(0.1, 0.1)),
    Camera(310, -80, 2, 40, roll=-100),
]


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(cameras: list[Camera]) -> Tensor:
    return torch.tensor(np.array([camera.numbers for camera in cameras]), dtype=torch.float32)


def box(R: int, *ranges: tuple[int, int]) -> Tensor:
    grid = torch.zeros(1, R, R, R)
    grid[(0, *(slice(*r) for r in ranges))] = 1
    return grid


def ball(R: int, radius: float) -> Tensor:
    return torch.from_numpy((np.linalg.norm(cell_centres(R), axis=-1) < radius).astype(np.float32))[None]


def corners(R: int, *ranges: tuple[int, int]) -> np.ndarray:
    ends = [np.array(r) / R - 0.5 for r in ranges]
    return np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3)


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_tiny_ball_falls_where_it_is_projected(camera: Camera) -> None:
    R, place = 64, np.array([0.2, -0.15, 0.3])
    near = np.linalg.norm(cell_centres(R) - place, axis=-1) < 0.05
    views = draw_views(torch.from_numpy(near)[None], numbers([camera]), dice())
    alpha = views[0, 3].double().numpy()
    rows, columns = np.mgrid[0:256, 0:256] + 0.5
    found = np.array([(alpha * columns).sum(), (alpha * rows).sum()]) / alpha.sum()
    assert np.abs(found - camera.project(place)[0]).max() < 0.7


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("R", [64, 128])
def test_the_sides_of_a_box_fall_where_they_are_projected(camera: Camera, R: int) -> None:
    ranges = [(a * R // 32, b * R // 32) for a, b in ((6, 20), (10, 28), (4, 26))]
    views, depth = draw_views(box(R, *ranges), numbers([camera]), dice(), depth=True)
    alpha = views[0, 3] > 127
    points = corners(R, *ranges)
    at = camera.project(points)
    half_cell = 256 * camera.focal / ((points - camera.position) @ camera.axes[2]).min() / R / 2
    rows, columns = alpha.any(1).nonzero()[:, 0], alpha.any(0).nonzero()[:, 0]
    found = [columns[0], columns[-1] + 1, rows[0], rows[-1] + 1]
    expected = [at[:, 0].min(), at[:, 0].max(), at[:, 1].min(), at[:, 1].max()]
    assert max(abs(float(a) - b) for a, b in zip(found, expected, strict=True)) < 1 + half_cell
    assert torch.isfinite(depth[0])[alpha].all() and not torch.isfinite(depth[0])[views[0, 3] == 0].any()


def test_depth_is_that_of_the_front() -> None:
    _, depth = draw_views(box(64, (16, 48), (24, 40), (16, 48)), numbers([Camera(0, 0, 2, 45)]), dice(), 65, depth=True)
    assert depth.shape == (1, 65, 65)
    assert float(depth[0, 32, 32]) == pytest.approx(2 - 0.125, abs=0.25 / 64)  # along the axis, not along the ray
    assert float(depth[0, 27, 37]) == pytest.approx(2 - 0.125, abs=0.25 / 64)
    assert torch.isinf(depth[0, 2, 2])


def test_front_and_back_and_left_and_right() -> None:
    # Low over the whole width, tall at +x and at the back.
    grid = box(32, (4, 28), (4, 28), (4, 10))
    grid[0, 20:28, 20:28, 4:28] = 1
    views = draw_views(grid.expand(4, -1, -1, -1), numbers([Camera(a, 0, 2, 45) for a in (0, 90, 180, 270)]), dice())
    upper = views[:, 3, :110] > 127
    right = upper[:, :, 128:].sum((1, 2)) > upper[:, :, :128].sum((1, 2))
    assert right.tolist() == [True, True, False, False]


@pytest.mark.parametrize("R", [16, 31, 64])
def test_framed_views_fill_the_picture_but_for_the_margin(R: int) -> None:
    shapes = torch.cat([box(R, (2, R - 3), (R // 3, R // 2), (1, R // 2)), ball(R, 0.3), ball(R, 0.45)] * 3)
    cameras = framed(shapes, random_cameras(9, dice()))
    for grid, row in zip(shapes, cameras, strict=True):
        cells = grid.nonzero().numpy()
        points = (cells[:, None] + np.array(list(np.ndindex(2, 2, 2)))).reshape(-1, 3) / R - 0.5
        at = Camera.from_numbers(row.numpy()).project(points, 1)
        low, high = at.min(0), at.max(0)
        assert max(high - low) == pytest.approx(0.84, abs=1e-4)
        np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-4)


def test_framing_is_that_of_the_camera() -> None:
    camera, ranges = Camera(30, 20, 2, 40, roll=3, shift=(0.1, 0)), ((3, 12), (5, 9), (2, 14))
    found = framed(box(16, *ranges), numbers([camera]), margin=0.1)
    np.testing.assert_allclose(found[0], camera.framed(corners(16, *ranges), 0.1).numbers, rtol=1e-4, atol=1e-4)


def test_alpha_is_smooth_at_the_rim_and_the_area_is_right() -> None:
    views = draw_views(ball(64, 0.4), numbers([Camera(20, 10, 4, 15)]), dice())
    alpha = views[0, 3]
    radius = 256 * Camera(20, 10, 4, 15).focal * 0.4 / np.sqrt(16 - 0.16)
    assert float(alpha.double().sum() / 255) == pytest.approx(
        np.pi * (radius * 1.01) ** 2, rel=0.01
    )  # a quarter of a cell
    between = (alpha > 0) & (alpha < 255)
    assert 0.5 * 2 * np.pi * radius < between.sum() < 4 * 2 * np.pi * radius
    assert (views[0, :3, alpha == 0] == 0).all()
    assert (views[0, :3, between].sum(0) > 0).all()  # the rim has the object's colour


@pytest.mark.parametrize("thick", [1, 2])
def test_thin_parts_are_seen_at_their_width(thick: int) -> None:
    rod = box(64, (30, 30 + thick), (30, 30 + thick), (4, 60))
    alpha = draw_views(rod, numbers([Camera(0, 0, 2, 40)]), dice())[0, 3].double() / 255
    cell = 256 * Camera(0, 0, 2, 40).focal / 2 / 64
    assert float(alpha[100:150].sum(1).mean()) == pytest.approx(thick * cell, rel=0.6)
    assert (alpha[60:196].max(1).values > 0.9).all()  # nowhere broken


def test_the_same_state_gives_the_same_pictures() -> None:
    shapes = torch.cat([ball(32, 0.4), box(32, (4, 28), (8, 20), (4, 12))])
    cameras = framed(shapes, random_cameras(2, dice(1)))
    views = draw_views(shapes, cameras, dice(2), 64)
    assert torch.equal(views, draw_views(shapes, cameras, dice(2), 64))
    assert torch.equal(views[:, 3], draw_views(shapes, cameras, dice(3), 64)[:, 3])  # chance has no part in the mask
    assert not torch.equal(views, draw_views(shapes, cameras, dice(3), 64))
    other = torch.cat([shapes[:1], ball(32, 0.2)])
    assert torch.equal(views[0], draw_views(other, cameras, dice(2), 64)[0])  # nor have the neighbours


def test_autocast_is_kept_out() -> None:
    shape, camera = box(32, (4, 28), (8, 20), (4, 12)), numbers([Camera(30, 20, 2, 45)])
    with torch.autocast("cpu", torch.bfloat16):
        views, closer = draw_views(shape, camera, dice(), 64), framed(shape, camera)
    assert torch.equal(views, draw_views(shape, camera, dice(), 64)) and torch.equal(closer, framed(shape, camera))


def test_kinds_of_grids() -> None:
    shape = box(32, (4, 28), (8, 20), (4, 12))
    camera = numbers([Camera(30, 20, 2, 45)])
    views = draw_views(shape, camera, dice(), 64)
    assert views.dtype == torch.uint8 and views.shape == (1, 4, 64, 64)
    for same in (shape.bool(), shape.to(torch.uint8), shape.half(), shape[:, None]):
        assert torch.equal(views, draw_views(same, camera.double(), dice(), 64))


def test_pictures_vary_in_colour_and_light() -> None:
    shapes = ball(32, 0.4).expand(40, -1, -1, -1)
    views = draw_views(shapes, numbers([Camera(0, 20, 2, 45)]).expand(40, -1), dice(), 48).double()
    inside = views[0, 3] == 255
    colours = views[:, :3, inside]
    means = colours.mean(2)
    assert 40 < float(means.mean()) < 215 and float(means.mean(1).std()) > 20
    assert float((means.max(1).values - means.min(1).values).median()) > 8  # hues, not greys alone
    assert float(colours.std(2).mean()) > 8  # light and pattern
    assert (colours.mean(1).std(1) > 1).all()


def test_light_falls_from_above_and_makes_shadows() -> None:
    # A plate over a floor: the floor under it is darker than beside it; its top is brighter than its lower side.
    grid = box(32, (2, 30), (2, 30), (2, 5))
    grid[0, 8:24, 8:24, 18:21] = 1
    views = draw_views(grid.expand(64, -1, -1, -1), numbers([Camera(0, 35, 2, 45)]).expand(64, -1), dice(), 64)
    grey = views[:, :3].double().mean((0, 1))
    camera = Camera(0, 35, 2, 45)
    under, beside, top = camera.project([[0, -0.05, -0.34], [-0.38, -0.3, -0.34], [0, 0, 0.16]], 64).astype(int)
    assert grey[under[1], under[0]] < 0.93 * grey[beside[1], beside[0]]
    assert grey[top[1], top[0]] > grey[under[1], under[0]]


def test_shapes_at_the_border_of_the_grid_and_empty_ones() -> None:
    shapes = torch.cat([torch.ones(1, 8, 8, 8), torch.zeros(1, 8, 8, 8), box(8, (3, 4), (3, 4), (3, 4))])
    loose = random_cameras(3, dice())
    cameras = framed(shapes, loose)
    assert torch.equal(cameras[1], loose[1]) and torch.isfinite(cameras).all()
    views, depth = draw_views(shapes, cameras, dice(), 64, depth=True)
    assert (views[1] == 0).all() and torch.isinf(depth[1]).all()
    assert (views[0, 3] > 127).double().mean() > 0.3 and (views[2, 3] > 127).any()
    assert draw_views(shapes[:0], cameras[:0], dice(), 64).shape == (0, 4, 64, 64)


def test_a_camera_that_looks_elsewhere_sees_nothing() -> None:
    views = draw_views(ball(16, 0.4), numbers([Camera(0, 0, 2, 30, shift=(3, 0))]), dice(), 32)
    assert (views == 0).all()


def test_a_device_that_is_not_waited_for_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = torch.cat([ball(32, 0.4), box(32, (4, 28), (8, 20), (4, 12)), box(32, (15, 17), (3, 28), (15, 17))] * 6)
    shapes[4] = 0
    cameras = framed(shapes, random_cameras(18, dice(1)))
    views, depth = draw_views(shapes, cameras, dice(), 64, depth=True)
    monkeypatch.setattr(raycast, "_may_look", lambda tensor: False)  # all pixels of 16 views at once
    same, deep = draw_views(shapes, cameras, dice(), 64, depth=True)
    apart = (views.int() - same.int()).abs().amax(1)
    assert (apart > 2).double().mean() < 1e-3
    seen = torch.isfinite(depth)
    assert (seen != torch.isfinite(deep)).double().mean() < 1e-3
    both = seen & torch.isfinite(deep)
    assert ((depth - deep).abs()[both] > 1e-3).double().mean() < 1e-3


def test_no_value_is_asked_for_on_a_device() -> None:
    """Tensors without content refuse to be looked at, as a GPU's would be waited for; and to be mixed with others."""
    shapes = torch.zeros(3, 16, 16, 16, device="meta")
    cameras = framed(shapes, random_cameras(3, dice()))
    views, depth = draw_views(shapes, cameras, dice(), 32, depth=True)
    assert views.device == depth.device == shapes.device and views.shape == (3, 4, 32, 32)


def test_random_cameras_are_those_of_photos() -> None:
    ours = random_cameras(4000, dice()).numpy()
    rng = np.random.default_rng(0)
    theirs = np.array([random_camera(rng).numbers for _ in range(4000)])
    assert ours.dtype == np.float32 and (ours[:, 5:] == 0).all()
    for k, slack in enumerate((0.1, 0.1, 0.1, 0.1, 0.01)):
        a, b = np.sort(ours[:, k].astype(float)), np.sort(theirs[:, k])
        places = np.linspace(b[0], b[-1], 500)
        apart = np.abs(np.searchsorted(a, places) - np.searchsorted(b, places)) / 4000
        assert apart.max() < 0.04  # Kolmogorov and Smirnov would doubt it once in 300
        assert a[0] > b[0] - slack * np.ptp(b) and a[-1] < b[-1] + slack * np.ptp(b)
    assert torch.equal(random_cameras(3, dice(5)), random_cameras(3, dice(5)))


@pytest.mark.parametrize(
    ("occupancy", "cameras", "words"),
    [
        (torch.zeros(2, 4, 4), torch.ones(2, 7), r"expected \(B, R, R, R\)"),
        (torch.zeros(2, 4, 4, 5), torch.ones(2, 7), r"expected \(B, R, R, R\)"),
        (torch.zeros(2, 3, 4, 4, 4), torch.ones(2, 7), r"expected \(B, R, R, R\)"),
        (torch.zeros(2, 4, 4, 4), torch.ones(2, 6), r"expected \(2, 7\)"),
        (torch.zeros(2, 4, 4, 4), torch.ones(1, 7), r"expected \(2, 7\)"),
    ],
)
def test_wrong_shapes(occupancy: Tensor, cameras: Tensor, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        draw_views(occupancy, cameras, dice())
    with pytest.raises(UsageError, match=words):
        framed(occupancy, cameras)


def test_wrong_cameras_and_sizes() -> None:
    with pytest.raises(UsageError, match=r"distance 0\.500: expected 0\.87 or more"):
        draw_views(ball(8, 0.4), numbers([Camera(0, 0, 0.5, 45)]), dice())
    with pytest.raises(UsageError, match="size=0"):
        draw_views(ball(8, 0.4), numbers([Camera(0, 0, 2, 45)]), dice(), 0)
