"""Views per second of each renderer, on furniture, one after another in one run with one thread.

    OMP_NUM_THREADS=1 python benchmarks/views.py [--shapes 6] [--views 8] [--size 256] [--json]

``rays_per_s`` and ``pyvista_per_s`` draw views of a mesh as `voxgan prepare` does, what a mesh costs once included;
``torch_per_s`` draws views of 64³ grids as training may, framing included; ``backgrounds_per_s`` are procedural rooms.
Without the extra `viewer`, or without OpenGL, PyVista's figure is null.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import trimesh

from data_prep.backgrounds import backgrounds
from data_prep.furniture import CLASSES, furniture
from data_prep.render import render_views
from voxgan.errors import UsageError
from voxgan.graphics import check_graphics
from voxgan.raycast import draw_views, framed, random_cameras
from voxgan.voxelisation import voxelise
from voxgan.voxels import frame


def normalised(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    scale, centre = frame(*mesh.bounds)
    mesh.apply_translation(-centre)
    mesh.apply_scale(1 / scale)
    return mesh


def per_second(work: Callable[[int], int], times: int) -> float:
    """Median over calls of pieces made per second, after one call that warms up."""
    work(0)
    rates = []
    for i in range(times):
        began = time.perf_counter()
        made = work(i)
        rates.append(made / (time.perf_counter() - began))
    return statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=6)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    shapes, views, size = options.shapes, options.views, options.size
    meshes = [normalised(furniture(CLASSES[i % len(CLASSES)], i)) for i in range(shapes)]
    grids = [torch.from_numpy(voxelise(mesh, 64).occupancy > 0.5) for mesh in meshes]
    generator = torch.Generator().manual_seed(0)

    def of_meshes(renderer: str) -> float:
        return per_second(lambda i: len(render_views(meshes[i], views, i, size, renderer=renderer)[0]), shapes)

    def of_grids(i: int) -> int:
        batch = grids[i].expand(views, -1, -1, -1)
        return len(draw_views(batch, framed(batch, random_cameras(views, generator)), generator, size))

    rates: dict[str, float | None] = {"rays_per_s": of_meshes("rays"), "pyvista_per_s": None}
    try:
        check_graphics("rendering with PyVista")
        rates["pyvista_per_s"] = of_meshes("pyvista")
    except UsageError as error:
        reason = str(error)
    rates["torch_per_s"] = per_second(of_grids, shapes)
    rates["backgrounds_per_s"] = per_second(lambda i: len(backgrounds(views, i, size)), shapes)
    rounded = {name: None if rate is None else round(rate, 1) for name, rate in rates.items()}
    if options.json:
        print(json.dumps(rounded))
        return
    for name, rate in rounded.items():
        print(f"{name:18}" + (f"{rate:8.1f}" if rate is not None else f"       –  {reason}"))
    faces = int(np.median([len(mesh.faces) for mesh in meshes]))
    print(f"at {size} × {size}, {shapes} shapes × {views} views, {faces} faces in the middle, 1 thread")


if __name__ == "__main__":
    main()
