"""Where a photo is taken from: a pinhole camera, framing, and cameras as people hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import UsageError

__all__ = ["Camera", "random_camera"]

Floats = NDArray[np.float32]

MARGIN = 0.08  # free border on each side of a framed view, fraction of the image
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

    @property
    def position(self) -> NDArray[np.float64]:
        """Where the camera stands, (3,) in the unit cube's coordinates."""
        return -self.distance * self.axes[2]

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
        return (image + 0.5 + self.shift) * size

    def rays(self, pixels: Floats, size: int) -> Floats:
        """Unit directions (N, 3) of the rays through the pixel coordinates (N, 2)."""
        image = (pixels / size - 0.5 - np.asarray(self.shift)) / self.focal
        right, up, forward = self.axes
        ways = image[:, :1] * right - image[:, 1:] * up + forward
        ways /= np.sqrt(np.einsum("ij,ij->i", ways, ways))[:, None]
        return ways.astype(np.float32)

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
