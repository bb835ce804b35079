"""What every renderer of meshes needs to know of one: its connected parts, and where its surface is round."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy import sparse

from voxgan.errors import MeshError

__all__ = ["Surface", "connected_parts", "corner_normals"]

Floats = NDArray[np.float32]

CREASE = 40.0  # degrees: faces that meet at less are shaded as one round surface
SMOOTH_EDGE = 0.08  # a mesh whose edges are all shorter comes from a grid: round everywhere


class Surface:
    """A mesh made ready for rendering: checked, its parts told apart, its corners given normals.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In the unit cube's coordinates.
    smooth : bool, optional
        Whether the whole surface is round; by default it is for meshes of small triangles.

    Attributes
    ----------
    vertices : (N, 3) float32
        Moved by a hair's breadth, see `connected_parts`.
    faces : (F, 3) int32
    across : (F, 3) float32
        Normals as long as twice the faces' areas.
    normals : (F, 3, 3) float32
        Unit normals of the faces' corners.
    part, low, high
        See `connected_parts`.

    Raises
    ------
    MeshError
        The mesh has no faces or is not finite.
    """

    def __init__(self, mesh: trimesh.Trimesh, smooth: bool | None = None) -> None:
        with np.errstate(over="ignore"):  # what overflows is refused below
            self.vertices = np.array(mesh.vertices, dtype=np.float32)
        self.faces = np.array(mesh.faces, dtype=np.int32)
        if len(self.faces) == 0 or not np.isfinite(self.vertices).all():
            raise MeshError(f"a mesh of {len(self.faces)} faces cannot be rendered: expected faces, finite vertices")
        self.part, self.low, self.high = connected_parts(self.vertices, self.faces)
        edges = self.corners[:, [1, 2, 0]] - self.corners
        self.across = np.cross(edges[:, 0], edges[:, 1])
        if smooth is None:
            smooth = len(self.faces) > 500 and float(np.abs(edges).max()) < SMOOTH_EDGE
        self.normals = corner_normals(self.faces, len(self.vertices), self.across, smooth)

    @property
    def corners(self) -> Floats:
        """Places of the faces' corners, (F, 3, 3)."""
        return self.vertices[self.faces]

    @property
    def seen(self) -> Floats:
        """Vertices that a face has, which are those that a picture must show."""
        return self.vertices[np.unique(self.faces)]


def connected_parts(vertices: Floats, faces: NDArray[np.int32]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Connected part (F,) of each face and the parts' boxes, two (parts, 3).

    Parts often share a plane; each is grown in place by its own hair's breadth (under a fifth of a pixel),
    small ones most, so that one of them is in front.
    """
    links = (np.ones(2 * len(faces), bool), (faces[:, :2].ravel(), faces[:, 1:].ravel()))
    graph = sparse.coo_matrix(links, shape=(len(vertices), len(vertices)))
    _, owner = sparse.csgraph.connected_components(graph, directed=False)
    used, part = np.unique(owner[faces[:, 0]], return_inverse=True)
    low = np.full((int(owner.max()) + 1, 3), np.inf, np.float32)
    high = -low
    np.minimum.at(low, owner, vertices)
    np.maximum.at(high, owner, vertices)
    if len(used) > 1:
        growth = np.zeros(len(low), np.float32)
        growth[used] = 4e-4 * (1 - np.argsort(np.argsort((high - low)[used].sum(axis=1))) / len(used))
        half = np.maximum((high - low) / 2, 1e-4)
        vertices += (vertices - (low + high)[owner] / 2) / half[owner] * growth[owner, None]
    return part.ravel(), low[used], high[used]


def corner_normals(faces: NDArray[np.int32], num_vertices: int, across: Floats, smooth: bool) -> Floats:
    """Normals (F, 3, 3) of each face's corners, averaged with the faces that meet there without a crease."""
    if smooth:
        groups, num_groups = faces.ravel().astype(np.int64), num_vertices
    else:
        unit = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-20)
        pairs = trimesh.graph.face_adjacency(faces)
        round_ = np.einsum("ij,ij->i", unit[pairs[:, 0]], unit[pairs[:, 1]]) > np.cos(np.radians(CREASE))
        a, b = pairs[round_].T
        _, label = sparse.csgraph.connected_components(
            sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(len(faces), len(faces))), directed=False
        )
        keys = faces.astype(np.int64) * (int(label.max()) + 1) + label[:, None]
        _, groups = np.unique(keys.ravel(), return_inverse=True)
        groups = groups.ravel()
        num_groups = int(groups.max()) + 1
    spread = np.repeat(across, 3, axis=0)
    total = np.stack([np.bincount(groups, spread[:, k], num_groups) for k in range(3)], axis=1)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)
    return total[groups].reshape(-1, 3, 3).astype(np.float32)
