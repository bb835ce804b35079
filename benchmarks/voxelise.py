"""Voxelisation beside trimesh's: accuracy on analytic solids and damaged copies, throughput of one core, memory.

    python benchmarks/voxelise.py [--resolution 64] [--table] [--json] [--meshes FOLDER]

Accuracy is the IoU with the analytic grid; `iou` and `iou_trimesh` are means over all rows and columns. trimesh's grid
is the best, per entry, of its ways to voxelise (subdivide, ray) and to fill (holes, base, orthographic), on the same
cells. A plate thinner than a cell is there where its middle runs through. Throughput is measured on parametric
furniture, and on the files of --meshes or of the folder that VOXGAN_TEST_DATA names; there trimesh does what
`voxelized(pitch).fill()` does, and both take turns on every mesh. What trimesh cannot voxelise counts with the time
that it took to say so. `peak_mb_256` is what the child process that voxelises a ball of 20,480 faces at 256³ needs
beyond the modules it imports.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from voxgan.errors import VoxganError
from voxgan.mesh import MESH_SUFFIXES, read_mesh
from voxgan.voxelisation import signed_distance, voxelise
from voxgan.voxels import FILL, cell_centres, frame

Grid = NDArray[np.bool_]
Inside = Callable[[NDArray[np.float64], float], Grid]

CELL = 4.0 / 60  # at 64³, of solids whose longest side is 4


# ------------------------------------------------------------------------------------------- analytic solids
def box(low: tuple[float, ...], high: tuple[float, ...]) -> trimesh.Trimesh:
    middle = (np.array(low) + high) / 2
    return trimesh.creation.box(np.subtract(high, low), trimesh.transformations.translation_matrix(middle))


def in_box(p: NDArray[np.float64], low: tuple[float, ...], high: tuple[float, ...]) -> Grid:
    return ((p >= low) & (p <= high)).all(-1)


def prism(outline: list[tuple[float, float]], caps: list[tuple[int, int, int]], height: float) -> trimesh.Trimesh:
    """Raise an outline (counter-clockwise) with its triangles from −height / 2 to height / 2."""
    n = len(outline)
    vertices = [(x, y, z) for z in (-height / 2, height / 2) for x, y in outline]
    faces = [(c, b, a) for a, b, c in caps] + [(a + n, b + n, c + n) for a, b, c in caps]
    for i in range(n):
        j = (i + 1) % n
        faces += [(i, j, j + n), (i, j + n, i + n)]
    return trimesh.Trimesh(vertices, faces, process=False)


TUB = ((-2.0, -1.21, -1.03), (2.0, 1.21, 1.03))
HOLLOW = ((-1.72, -0.92, -0.72), (1.72, 0.92, 1.03))


def tub() -> trimesh.Trimesh:
    """A closed surface around the walls and the floor of an open box."""
    outer, inner = box(*TUB), box(*HOLLOW)
    lidless = [m.faces[m.face_normals[:, 2] < 0.5] for m in (outer, inner)]
    vertices = np.concatenate([outer.vertices, inner.vertices])

    def rim(m: trimesh.Trimesh) -> list[int]:
        top = np.flatnonzero(m.vertices[:, 2] > 1)
        return top[np.argsort(np.arctan2(*m.vertices[top, 1::-1].T))].tolist()

    a, b = rim(outer), [i + 8 for i in rim(inner)]
    faces = [lidless[0], lidless[1][:, ::-1] + 8]
    for i in range(4):
        j = (i + 1) % 4
        faces.append(np.array([(a[i], a[j], b[j]), (a[i], b[j], b[i])]))
    return trimesh.Trimesh(vertices, np.concatenate(faces), process=False)


BOARDS = (
    *(((-1.52, -0.51, z), (1.52, 0.51, z + 0.16)) for z in np.linspace(-2, 1.84, 6)),
    *(((x, -0.51, -2.0), (x + 0.16, 0.51, 2.0)) for x in (-1.52, 1.36)),
    ((-1.52, 0.39, -2.0), (1.52, 0.51, 2.0)),
)
PAIR = (((-2.0, -1.0, -1.0), (0.51, 1.02, 1.0)), ((-0.51, -0.52, -1.5), (2.0, 1.5, 0.31)))
TILT = trimesh.transformations.rotation_matrix(np.radians(10), (1, 0, 0))
PLATE = (4.0, 2.5, 0.3 * CELL)


def plate() -> trimesh.Trimesh:
    return trimesh.creation.box(PLATE, TILT)


def in_plate(p: NDArray[np.float64], cell: float) -> Grid:
    own = p @ TILT[:3, :3]
    beside = np.abs(own[..., 2]) <= max(cell / 2 * np.abs(TILT[:3, 2]).sum(), PLATE[2] / 2)
    return beside & (np.abs(own[..., :2]) <= np.array(PLATE[:2]) / 2).all(-1)


L_OUTLINE = [(-1.52, -2.0), (1.52, -2.0), (1.52, -1.01), (-0.52, -1.01), (-0.52, 2.0), (-1.52, 2.0)]
LIMBS = (((-1.52, -2.0, -0.505), (1.52, -1.01, 0.505)), ((-1.52, -2.0, -0.505), (-0.52, 2.0, 0.505)))
L_CAPS = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]

SOLIDS: dict[str, tuple[Callable[[], trimesh.Trimesh], Inside]] = {
    "box": (
        lambda: trimesh.creation.box((2.06, 1.58, 4)),
        lambda p, cell: in_box(p, (-1.03, -0.79, -2), (1.03, 0.79, 2)),
    ),
    "ball": (lambda: trimesh.creation.icosphere(5, 2.0), lambda p, cell: np.linalg.norm(p, axis=-1) <= 2),
    "cylinder": (
        lambda: trimesh.creation.cylinder(1.2, 4.0, sections=256),
        lambda p, cell: (np.hypot(p[..., 0], p[..., 1]) <= 1.2) & (np.abs(p[..., 2]) <= 2),
    ),
    "torus": (
        lambda: trimesh.creation.torus(1.39, 0.61, major_sections=128, minor_sections=64),
        lambda p, cell: np.hypot(np.hypot(p[..., 0], p[..., 1]) - 1.39, p[..., 2]) <= 0.61,
    ),
    "cone": (
        lambda: trimesh.creation.cone(1.2, 4.0, sections=256),
        lambda p, cell: (p[..., 2] >= 0) & (np.hypot(p[..., 0], p[..., 1]) <= 1.2 * (1 - p[..., 2] / 4)),
    ),
    "L": (
        lambda: prism(L_OUTLINE, L_CAPS, 1.01),
        lambda p, cell: (
            in_box(p, (-1.52, -2, -0.505), (1.52, -1.01, 0.505)) | in_box(p, (-1.52, -2, -0.505), (-0.52, 2, 0.505))
        ),
    ),
    "two boxes": (
        lambda: trimesh.util.concatenate([box(*ends) for ends in PAIR]),
        lambda p, cell: in_box(p, *PAIR[0]) | in_box(p, *PAIR[1]),
    ),
    "tub": (
        tub,
        lambda p, cell: (
            in_box(p, (-2, -1.21, -1.03), (2, 1.21, 1.03)) & ~in_box(p, (-1.72, -0.92, -0.72), (1.72, 0.92, 9))
        ),
    ),
    "shelf": (
        lambda: trimesh.util.concatenate([box(*ends) for ends in BOARDS]),
        lambda p, cell: np.any([in_box(p, *ends) for ends in BOARDS], axis=0),
    ),
    "plate": (plate, in_plate),
}
"""Makers of meshes, and what says which points (…, 3) are inside (a thin plate: in a cell that its middle crosses)."""


# ------------------------------------------------------------------------------------------------- damage
def subdivided(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    while len(mesh.faces) < 2000:
        mesh = mesh.subdivide()
    return mesh


def bare(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices, faces, process=False, validate=False)


def holes(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    fine = subdivided(mesh)
    return bare(fine.vertices, fine.faces[rng.random(len(fine.faces)) >= 0.015])


def flipped(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    return bare(mesh.vertices, mesh.faces[:, ::-1])


def half_flipped(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    faces = np.array(mesh.faces)
    turned = rng.random(len(faces)) < 0.5
    faces[turned] = faces[turned][:, ::-1]
    return bare(mesh.vertices, faces)


def doubled(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    return bare(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))


def soup(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    corners = mesh.triangles[rng.permutation(len(mesh.faces))]
    return bare(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))


def jitter(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    """Move each corner of each triangle by itself, by about 1e-4 of the longest side."""
    loose = soup(mesh, inside, rng)
    loose.vertices += rng.normal(0, 1e-4 * mesh.extents.max(), loose.vertices.shape)
    return loose


def internal(mesh: trimesh.Trimesh, inside: Inside, rng: np.random.Generator) -> trimesh.Trimesh:
    """Add a large triangle that lies within the solid."""
    low, high = mesh.bounds
    corners = rng.uniform(low, high, (20_000, 3, 3))
    weights = np.array([(a, b, 12 - a - b) for a in range(13) for b in range(13 - a)]) / 12
    along = np.einsum("wi,tij->twj", weights, corners)
    within = inside(along, 0.0).all(axis=1)
    if not within.any():
        return bare(mesh.vertices, mesh.faces)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    best = np.argmax(np.where(within, area, 0))
    n = len(mesh.vertices)
    return bare(np.concatenate([mesh.vertices, corners[best]]), np.concatenate([mesh.faces, [[n, n + 1, n + 2]]]))


DAMAGES: dict[str, Callable[[trimesh.Trimesh, Inside, np.random.Generator], trimesh.Trimesh]] = {
    "clean": lambda mesh, inside, rng: mesh,
    "holes": holes,
    "flipped": flipped,
    "half flipped": half_flipped,
    "doubled": doubled,
    "soup": soup,
    "jitter": jitter,
    "internal": internal,
}
"""What is done to each solid; 1.5 % of the faces are missing in ``holes``."""


def cases() -> Iterator[tuple[str, str, trimesh.Trimesh, Inside]]:
    """Yield every solid with every damage: the two names, the mesh, and what is inside."""
    for name, (make, inside) in SOLIDS.items():
        for damage, spoil in DAMAGES.items():
            yield name, damage, spoil(make(), inside, np.random.default_rng(0)), inside


def analytic(mesh: trimesh.Trimesh, inside: Inside, resolution: int) -> Grid:
    scale, centre = frame(*mesh.bounds)
    return inside(cell_centres(resolution) * scale + centre, scale / resolution)


def iou(a: Grid, b: Grid) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


# ------------------------------------------------------------------------------------------------- trimesh
def on_cells(mesh: trimesh.Trimesh, resolution: int) -> trimesh.Trimesh:
    """Return the mesh in a frame where cell i has its centre at i: trimesh's grid with pitch 1 is then ours."""
    scale, centre = frame(*mesh.bounds)
    return bare((mesh.vertices - centre) / scale * resolution + (resolution - 1) / 2, np.array(mesh.faces))


def cells_of(voxels: trimesh.voxel.VoxelGrid, resolution: int) -> Grid:
    grid = np.zeros((resolution,) * 3, bool)
    at = np.round(voxels.points).astype(int)
    grid[tuple(at[((at >= 0) & (at < resolution)).all(axis=1)].T)] = True
    return grid


def best_of_trimesh(mesh: trimesh.Trimesh, truth: Grid) -> float:
    best = 0.0
    placed = on_cells(mesh, len(truth))
    for method in ("subdivide", "ray"):
        try:
            shell = placed.voxelized(1.0, method=method)
        except Exception:  # whatever it is, that way finds no grid
            continue
        for fill in ("holes", "base", "orthographic"):
            best = max(best, iou(cells_of(shell.copy().fill(fill), len(truth)), truth))
    return best


# ---------------------------------------------------------------------------------------------- measurement
def table(resolution: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Return for each solid and damage the IoU, ours and trimesh's."""
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    for name, damage, mesh, inside in cases():
        truth = analytic(mesh, inside, resolution)
        ours = iou(voxelise(mesh, resolution).occupancy[0] > 0.5, truth)
        rows.setdefault(name, {})[damage] = (round(ours, 4), round(best_of_trimesh(mesh, truth), 4))
    return rows


def meshes(folder: str | None, per_class: int) -> list[trimesh.Trimesh]:
    """Return furniture and, where there is a folder, what can be read of its meshes."""
    from data_prep.furniture import CLASSES, furniture

    chosen = [furniture(name, seed) for name in CLASSES for seed in range(per_class)]
    for path in sorted(Path(folder).rglob("*")) if folder else ():
        if path.suffix.lower() in MESH_SUFFIXES:
            try:
                chosen.append(read_mesh(path))
            except VoxganError:
                continue
    return chosen


def throughput(chosen: list[trimesh.Trimesh], resolution: int) -> tuple[float, float]:
    """Return meshes per second, ours and trimesh's, taking turns on every mesh."""
    ours = theirs = 0.0
    voxelise(chosen[0], resolution)
    for mesh in chosen:
        fresh = bare(np.array(mesh.vertices), np.array(mesh.faces))
        began = time.perf_counter()
        voxelise(fresh, resolution)
        ours += time.perf_counter() - began
        fresh = bare(np.array(mesh.vertices), np.array(mesh.faces))
        began = time.perf_counter()
        with contextlib.suppress(Exception):
            fresh.voxelized(fresh.extents.max() / FILL / resolution).fill()
        theirs += time.perf_counter() - began
    return len(chosen) / ours, len(chosen) / theirs


def peak(what: str) -> None:
    """Print by how many MB a ball at 256³ raises this process's peak memory."""
    ball = trimesh.creation.icosphere(5)
    work = {"voxelise": voxelise, "signed_distance": signed_distance}[what]
    work(ball, 8)  # everything imported
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work(ball, 256)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)


def peak_of_child(what: str) -> int:
    command = [sys.executable, __file__, "--peak", what]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--meshes", help="folder of meshes to measure throughput on, beside the furniture")
    parser.add_argument("--per-class", type=int, default=3, help="pieces of furniture of each class")
    parser.add_argument("--table", action="store_true", help="only accuracy")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", choices=("voxelise", "signed_distance"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.peak)
        return
    result: dict[str, float] = {}
    if not options.table:  # first: a child starts with the peak of the process that it came from
        result |= {"peak_mb_256": peak_of_child("voxelise"), "peak_mb_256_distance": peak_of_child("signed_distance")}
        data = os.environ.get("VOXGAN_TEST_DATA")
        folder = options.meshes or (str(Path(data) / "meshes") if data else None)
        chosen = meshes(folder, options.per_class)
        ours, theirs = throughput(chosen, options.resolution)
        result |= {"meshes": len(chosen), "meshes_per_s": round(ours, 2), "meshes_per_s_trimesh": round(theirs, 2)}
    rows = table(options.resolution)
    both = np.array([list(row.values()) for row in rows.values()])
    accuracy = {"iou": round(float(both[..., 0].mean()), 4), "iou_trimesh": round(float(both[..., 1].mean()), 4)}
    result = {**accuracy, **result}
    if options.json:
        print(json.dumps({**result, "table": rows}))
        return
    for title, column in (("ours", 0), ("trimesh, best of its ways", 1)):
        print(f"{title:28}" + "".join(f"{damage:>14}" for damage in DAMAGES))
        for name, row in rows.items():
            print(f"{name:28}" + "".join(f"{pair[column]:14.3f}" for pair in row.values()))
    print("\n".join(f"{name:28}{value:14}" for name, value in result.items()))


if __name__ == "__main__":
    main()
