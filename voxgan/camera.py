"""Where a photo is taken from: a pinhole camera, framing, and rigs: cameras as people hold them, all around, in rings.

A camera is seven numbers, in the order of the data set: azimuth, elevation, distance, field of view, roll, and the
shift to the right and down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import UsageError, nearest

__all__ = ["MARGIN", "RIGS", "Camera", "cameras", "random_camera"]

Floats = NDArray[np.float32]

MARGIN = 0.08
"""Free border on each side of a framed view, as a fraction of the image."""

DISTANCE, VIEW = 2.5, 30.0  # of the rigs that do not roll dice: a photo from a few steps away
NEARER_THAN = 1e-3  # a depth below this lies at or behind the camera


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at the origin of the unit cube.

    Parameters
    ----------
    azimuth, elevation : float
        Degrees; azimuth 0 looks at the front (camera on −y), 90 stands on +x; elevation 90 looks down.
    distance : float
        From the origin, in edges of the unit cube.
    field_of_view : float
        Degrees, over the width and the height alike.
    roll : float
        Degrees; positive turns the picture clockwise.
    shift : tuple of float
        Where the origin falls, right and down of the centre, as a fraction of the image. A camera that was
        cropped and enlarged has a narrower field of view and a shift, and the same perspective.

    Examples
    --------
    >>> camera = Camera(azimuth=0, elevation=0, distance=2, field_of_view=53.13)
    >>> camera.project([[0, 0, 0], [0.5, 0, 0]]).round()
    array([[128., 128.],
           [192., 128.]])
    """

    azimuth: float
    elevation: float
    distance: float
    field_of_view: float
    roll: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def from_numbers(cls, numbers: Sequence[float] | NDArray[np.floating]) -> Camera:
        """Make a camera of its seven numbers, as a data set holds them.

        Parameters
        ----------
        numbers : (7,)
            Azimuth, elevation, distance, field of view, roll, and the shift to the right and down.

        Raises
        ------
        UsageError
            If they are not seven finite numbers, with a distance and a field of view that a camera can have.

        Examples
        --------
        >>> camera = Camera(30, 20, 2, 40, roll=1, shift=(0.1, 0))
        >>> Camera.from_numbers(camera.numbers) == camera
        True
        """
        values = np.asarray(numbers, dtype=np.float64)
        if values.shape != (7,) or not np.isfinite(values).all():
            raise UsageError(
                f"a camera of the numbers {values.tolist()}: expected 7 finite ones, azimuth, elevation, distance,"
                " field of view, roll, shift right, shift down"
            )
        azimuth, elevation, distance, view, roll, x, y = values.tolist()
        if distance <= 0 or not 0 < view < 180:
            raise UsageError(
                f"a camera at the distance {distance:g} with a field of view of {view:g}°:"
                " expected a distance above 0 and 0 to 180 degrees"
            )
        return cls(azimuth, elevation, distance, view, roll, (x, y))

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The seven numbers of the data set, (7,)."""
        return np.array(
            [self.azimuth, self.elevation, self.distance, self.field_of_view, self.roll, *self.shift], np.float64
        )

    @property
    def position(self) -> NDArray[np.float64]:
        """Where the camera stands, (3,) in the unit cube's coordinates."""
        place: NDArray[np.float64] = -self.distance * self.axes[2]
        return place

    @property
    def axes(self) -> NDArray[np.float64]:
        """Unit vectors right, up and forward of the picture, (3, 3), one a row."""
        a, e, r = np.radians([self.azimuth, self.elevation, self.roll])
        right = np.array([np.cos(a), np.sin(a), 0.0])
        forward = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
        up = np.cross(right, forward)
        return np.stack([np.cos(r) * right + np.sin(r) * up, np.cos(r) * up - np.sin(r) * right, forward])

    @property
    def focal(self) -> float:
        """Focal length in widths of the image."""
        return float(0.5 / np.tan(np.radians(self.field_of_view) / 2))

    def intrinsics(self, size: int = 256) -> NDArray[np.float64]:
        """Give the matrix K (3, 3) that takes what `extrinsics` gives to pixels.

        Pixels are those of `project`: the first one's centre is (0.5, 0.5). For programs whose pixel centres are
        whole numbers, take 0.5 off K[0, 2] and K[1, 2].

        Parameters
        ----------
        size : int
            Width and height of the picture in pixels.

        Examples
        --------
        >>> camera = Camera(30, 20, 2, 40, roll=1, shift=(0.1, 0))
        >>> x, y, depth = camera.intrinsics(256) @ camera.extrinsics @ [0.1, 0.2, 0.3, 1]
        >>> bool(np.allclose([x / depth, y / depth], camera.project([0.1, 0.2, 0.3], 256)))
        True
        """
        focal, (x, y) = self.focal * size, (np.asarray(self.shift) + 0.5) * size
        return np.array([[focal, 0.0, x], [0.0, focal, y], [0.0, 0.0, 1.0]])

    @property
    def extrinsics(self) -> NDArray[np.float64]:
        """The matrix [R | t] (3, 4) from the unit cube to OpenCV's camera: x to the right, y down, z forward."""
        right, up, forward = self.axes
        turn = np.stack([right, -up, forward])
        return np.column_stack([turn, -turn @ self.position])

    def project(self, points: object, size: int = 256) -> NDArray[np.float64]:
        """Find where points fall in the picture.

        Parameters
        ----------
        points : array_like, (P, 3)
            In the unit cube's coordinates.
        size : int
            Width and height of the picture in pixels.

        Returns
        -------
        (P, 2) float64
            x to the right and y down, in pixels; the first pixel's centre is (0.5, 0.5).

        Raises
        ------
        UsageError
            A point lies at or behind the camera.
        """
        x, y, depth = self.axes @ (np.asarray(points, dtype=float).reshape(-1, 3) - self.position).T
        if depth.size and depth.min() < NEARER_THAN:
            raise UsageError(
                f"a point lies {depth.min():.3f} in front of the camera: expected a positive depth, "
                f"raise the distance (now {self.distance:.3f})"
            )
        image = np.stack([x / depth, -y / depth], axis=1) * self.focal
        pixels: NDArray[np.float64] = (image + 0.5 + self.shift) * size
        return pixels

    def rays(self, pixels: Floats, size: int) -> Floats:
        """Unit directions (N, 3) of the rays through the pixel coordinates (N, 2)."""
        image = (pixels / size - 0.5 - np.asarray(self.shift)) / self.focal
        right, up, forward = self.axes
        ways = image[:, :1] * right - image[:, 1:] * up + forward
        ways /= np.sqrt(np.einsum("ij,ij->i", ways, ways))[:, None]
        rays: Floats = ways.astype(np.float32)
        return rays

    def framed(self, points: object, margin: float = MARGIN) -> Camera:
        """Crop and enlarge so that the box around the points fills the picture, in the same perspective.

        Parameters
        ----------
        points : array_like, (P, 3)
            What must be seen, in the unit cube's coordinates.
        margin : float
            Free border along the longer side of the box, as a fraction of the new image.

        Examples
        --------
        >>> corners = np.array([[x, y, z] for x in (-0.4, 0.4) for y in (-0.2, 0.2) for z in (-0.3, 0.3)])
        >>> seen = Camera(30, 20, 2, 40).framed(corners, margin=0.1).project(corners, size=100)
        >>> bool(np.isclose(seen.min(), 10)), bool(np.isclose(seen.max(), 90))
        (True, True)
        """
        flat = self.project(points, size=1)
        low, high = flat.min(axis=0), flat.max(axis=0)
        window = max(float((high - low).max()), 1e-6) / (1 - 2 * margin)
        centre = (low + high) / 2 - 0.5
        x, y = (np.asarray(self.shift) - centre) / window
        view = float(np.degrees(2 * np.arctan(0.5 * window / self.focal)))
        return replace(self, field_of_view=view, shift=(float(x), float(y)))


def random_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera as people hold it before furniture: mostly in front, at eye height or a little above.

    Examples
    --------
    >>> camera = random_camera(np.random.default_rng(0))
    >>> 20 <= camera.field_of_view <= 60
    True
    """
    front = rng.random() < 0.75
    azimuth = rng.uniform(-75, 75) if front else rng.uniform(75, 285)
    elevation = rng.uniform(40, 60) if rng.random() < 0.08 else -5 + 45 * rng.beta(1.6, 2.0)
    view = 20 + 40 * rng.beta(1.4, 2.0)
    distance = max(1.5, 0.6 * rng.uniform(1.0, 1.25) / np.tan(np.radians(view) / 2))
    roll = float(np.clip(rng.normal(0, 1.5), -4, 4))
    return Camera(float(azimuth % 360), float(elevation), float(distance), float(view), roll)


def cameras(rig: str, num_views: int, seed: int = 0) -> list[Camera]:
    """Give the cameras of a rig, not framed yet.

    Parameters
    ----------
    rig : str
        One of `RIGS`. ``"photo"``: as people hold them (`random_camera`); camera i depends on the seed and on i
        alone. ``"24x3"``: 72 views as in 3D-VAE-GAN's protocol (Wu et al. 2016), 24 azimuths 15° apart at each of
        three elevations; the paper does not say which, here they are 10°, 25° and 40°, the lowest first.
        ``"turntable"``: even azimuths from the front on, at 20°.
    num_views : int
        How many; 72 for ``"24x3"``.
    seed : int
        Not negative; only ``"photo"`` looks at it.

    Raises
    ------
    UsageError
        If there is no such rig, it does not have so many views, or the seed is negative.

    Examples
    --------
    >>> [camera.azimuth for camera in cameras("turntable", 4)]
    [0.0, 90.0, 180.0, 270.0]
    """
    if rig not in RIGS:
        raise UsageError(f"no rig of cameras {rig!r}; {nearest(str(rig), RIGS)}")
    if num_views < 0 or seed < 0:
        raise UsageError(f"num_views={num_views}, seed={seed}: expected 0 or more")
    return RIGS[rig](num_views, seed)


def _photo(num_views: int, seed: int) -> list[Camera]:
    return [random_camera(np.random.default_rng([seed, i])) for i in range(num_views)]


def _rings(num_views: int, seed: int) -> list[Camera]:
    num_azimuths, elevations = 24, (10.0, 25.0, 40.0)
    if num_views != num_azimuths * len(elevations):
        raise UsageError(f"{num_views} views of the rig '24x3': expected 72, 24 azimuths at 3 elevations")
    return [
        Camera(360.0 * i / num_azimuths, elevation, DISTANCE, VIEW)
        for elevation in elevations
        for i in range(num_azimuths)
    ]


def _turntable(num_views: int, seed: int) -> list[Camera]:
    return [Camera(360.0 * i / num_views, 20.0, DISTANCE, VIEW) for i in range(num_views)]


RIGS: dict[str, Callable[[int, int], list[Camera]]] = {"photo": _photo, "24x3": _rings, "turntable": _turntable}
"""Names of the rigs that `cameras` knows."""
