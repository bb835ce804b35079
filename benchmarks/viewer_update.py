"""Whole updates of the viewer per second while a slider is dragged: z → network → surface → actor → rendered.

    OMP_NUM_THREADS=1 python benchmarks/viewer_update.py [--models furniture chairs-gan3d] [--size 1280 800]
        [--updates 60] [--json]

The position on a path through anchors changes with every update; nothing is decoded twice. Everything is drawn
off-screen, and an update ends when its picture is complete. ``updates_per_s`` is that of the slowest model, for the
mesh as it is drawn during a drag, with `viewer.session` and `viewer.stage`; ``latent_ms``, ``shape_ms`` (network and
cleaning), ``stage_ms`` (surface, light, shadow) and ``render_ms`` are its parts. ``window_per_s`` has everything
around it too: sliders, anchors, words, moved by events of the mouse. ``still``, ``voxels`` and ``points`` are pictures
at rest, and the other displays during a drag. ``plain_per_s`` makes a new mesh with marching cubes and a new actor for
every update, in the same run; ``ratio`` is how much faster this is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import pyvista
import torch

import voxgan
from viewer.desktop import Desktop
from viewer.session import Session
from viewer.stage import Stage
from voxgan.errors import SurfaceError, UsageError
from voxgan.graphics import check_graphics

Size = tuple[int, int]
_WARM_UP = 5


def places(updates: int) -> Iterator[float]:
    """Positions on a path through three anchors, all different, never an anchor."""
    for i in range(updates + _WARM_UP):
        yield (i + 0.5) / (updates + _WARM_UP) * 2


def per_second(update: Callable[[float], None], updates: int) -> float:
    """Updates per second by the middle of their times, after some that warm up."""
    times = []
    for place in places(updates):
        began = time.perf_counter()
        update(place)
        times.append(time.perf_counter() - began)
    return 1 / statistics.median(times[_WARM_UP:])


def finished(plotter: pyvista.Plotter) -> None:
    plotter.render_window.Render()
    plotter.render_window.WaitForCompletion()


def staged(model: voxgan.Model, size: Size, updates: int, display: str, fast: bool) -> dict[str, float]:
    """Updates per second of a session on a stage, and the parts of one in milliseconds."""
    session = Session(model, "", anchors=3)
    session.set_display(display)
    parts: dict[str, list[float]] = {"latent_ms": [], "shape_ms": [], "stage_ms": [], "render_ms": []}
    plotter = pyvista.Plotter(off_screen=True, window_size=list(size), notebook=False)
    try:
        stage = Stage(plotter, session, anchors=False)

        def update(place: float) -> None:
            times = [time.perf_counter()]
            session.walk(place)
            for work in (session.latent, session.shape, lambda: stage.update(fast=fast), lambda: finished(plotter)):
                work()
                times.append(time.perf_counter())
            for part, began, ended in zip(parts.values(), times[:-1], times[1:], strict=True):
                part.append(1000 * (ended - began))

        rate = per_second(update, updates)
    finally:
        plotter.close()
    return {"updates_per_s": rate} | {name: statistics.median(part[_WARM_UP:]) for name, part in parts.items()}


def windowed(model: voxgan.Model, size: Size, updates: int) -> float:
    """Updates per second of the whole window, the knob on the path dragged by the mouse."""
    desktop = Desktop(Session(model, "", anchors=3), off_screen=True, size=size)
    try:
        desktop.step()
        interactor, strip = desktop.plotter.iren.interactor, desktop.stage.strip
        row = next(y for y in range(strip.height, 0, -1) if strip.is_on_path(strip.x_of(1), y))

        def event(name: str, place: float) -> None:
            interactor.SetEventPosition(round(strip.x_of(place)), row)
            interactor.InvokeEvent(name)

        event("LeftButtonPressEvent", 0.0)

        def update(place: float) -> None:
            event("MouseMoveEvent", place)
            desktop.step()
            finished(desktop.plotter)

        return per_second(update, updates)
    finally:
        desktop.close()


def plain(model: voxgan.Model, size: Size, updates: int) -> float:
    """Updates per second with a new mesh and a new actor each."""
    session = Session(model, "", anchors=3)
    plotter = pyvista.Plotter(off_screen=True, window_size=list(size), notebook=False)
    try:
        plotter.show(auto_close=False, interactive=False)

        def update(place: float) -> None:
            session.walk(place)
            plotter.clear_actors()
            try:
                mesh = session.shape().to_mesh()
            except SurfaceError:
                return
            plotter.add_mesh(pyvista.wrap(mesh), smooth_shading=True, render=False)
            finished(plotter)

        return per_second(update, updates)
    finally:
        plotter.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["furniture", "chairs-gan3d"])
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 800))
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size, updates = (options.size[0], options.size[1]), options.updates
    try:
        check_graphics("drawing the viewer")
        models = {name: voxgan.load(name) for name in options.models}
    except UsageError as error:
        sys.exit(str(error))
    rows = {}
    for name, model in models.items():
        row = staged(model, size, updates, "mesh", fast=True)
        row["plain_per_s"] = plain(model, size, updates)
        row["ratio"] = row["updates_per_s"] / row["plain_per_s"]
        row["window_per_s"] = windowed(model, size, updates)
        row["still_per_s"] = staged(model, size, updates, "mesh", fast=False)["updates_per_s"]
        for display in ("voxels", "points"):
            row[f"{display}_per_s"] = staged(model, size, updates, display, fast=True)["updates_per_s"]
        rows[name] = {key: round(value, 1) for key, value in row.items()}
    if options.json:
        slowest = min(rows.values(), key=lambda row: row["updates_per_s"])
        resolutions = [model.config.resolution for model in models.values()]
        print(json.dumps({"updates_per_s": slowest["updates_per_s"], "ratio": slowest["ratio"], "size": size,
                          "resolutions": resolutions, "models": rows}))  # fmt: skip
        return
    for name, row in rows.items():
        print(f"{name}, {models[name].config.resolution}³, window of {size[0]} × {size[1]}, 1 thread")
        for key, value in row.items():
            print(f"  {key:16}{value:8.1f}")


if __name__ == "__main__":
    main()
