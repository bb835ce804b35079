"""ShapeNetCore v1 and v2, and the volumes and views that 3D-R2N2 made of v1.

Laid out as they are unpacked, one folder below the other or given as the root itself::

    <synset>/<id>/model.obj                               v1
    <synset>/<id>/models/model_normalized.obj             v2; .solid.binvox and .surface.binvox beside it
    ShapeNetVox32/<synset>/<id>/model.binvox              3D-R2N2
    ShapeNetRendering/<synset>/<id>/rendering/00.png …    3D-R2N2, with rendering_metadata.txt
    all.csv                                               the official split, where it lies in the root

A mesh is preferred to its volume. In all of them y is up; v1 faces +x, and v2 −z: the two differ by a quarter turn.
binvox files are read in the axes of the OBJ files that they were made of. A model of v1 has the middle of its box at
the origin, and a box whose diagonal is 1; the volumes of 3D-R2N2 are given that frame, as their headers say nothing
of it.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.sources.item import (
    Item,
    Loaded,
    Options,
    chosen_axes,
    filled,
    load_grid,
    load_mesh,
    load_volume,
    with_splits,
)
from data_prep.sources.listing import folders_in, names_in
from data_prep.sources.pictures import read_picture
from voxgan.camera import Camera
from voxgan.errors import DatasetError, InputError, StorageError
from voxgan.mesh import read_mesh
from voxgan.volumes import read_volume
from voxgan.voxels import FILL

__all__ = ["CLASSES", "FIELD_OF_VIEW", "FURTHEST", "find", "load"]

CLASSES = {
    "02691156": "airplane",
    "02747177": "trash_bin",
    "02773838": "bag",
    "02801938": "basket",
    "02808440": "bathtub",
    "02818832": "bed",
    "02828884": "bench",
    "02843684": "birdhouse",
    "02871439": "bookshelf",
    "02876657": "bottle",
    "02880940": "bowl",
    "02924116": "bus",
    "02933112": "cabinet",
    "02942699": "camera",
    "02946921": "can",
    "02954340": "cap",
    "02958343": "car",
    "02992529": "cellphone",
    "03001627": "chair",
    "03046257": "clock",
    "03085013": "keyboard",
    "03207941": "dishwasher",
    "03211117": "display",
    "03261776": "earphone",
    "03325088": "faucet",
    "03337140": "file_cabinet",
    "03467517": "guitar",
    "03513137": "helmet",
    "03593526": "jar",
    "03624134": "knife",
    "03636649": "lamp",
    "03642806": "laptop",
    "03691459": "loudspeaker",
    "03710193": "mailbox",
    "03759954": "microphone",
    "03761084": "microwave",
    "03790512": "motorbike",
    "03797390": "mug",
    "03928116": "piano",
    "03938244": "pillow",
    "03948459": "pistol",
    "03991062": "flower_pot",
    "04004475": "printer",
    "04074963": "remote",
    "04090263": "rifle",
    "04099429": "rocket",
    "04225987": "skateboard",
    "04256520": "sofa",
    "04330267": "stove",
    "04379243": "table",
    "04401088": "telephone",
    "04460130": "tower",
    "04468005": "train",
    "04530566": "watercraft",
    "04554684": "washer",
}
"""Synset of WordNet 3.0 → name of the class, for the 55 of ShapeNetCore; another synset is its own name."""

FURTHEST = 1.75
"""Distance of 3D-R2N2's cameras where their metadata say 1, in lengths of ShapeNet's v1."""

FIELD_OF_VIEW = math.degrees(2 * math.atan(32 / 2 / 35))
"""Of 3D-R2N2's cameras, in degrees: 35 mm on a sensor of 32 mm. What the metadata say (25) was not applied."""

_SYNSET = re.compile(r"\d{8}")
_VERSIONS = {  # folder of a model → files in the order of preference, and where their front points
    "models": (("model_normalized.obj", "model_normalized.solid.binvox", "model_normalized.surface.binvox"), "-z"),
    "": (("model.obj", "model.solid.binvox", "model.presolid.binvox", "model.binvox"), "x"),
}
_R2N2 = "ShapeNetVox32"
_RENDERINGS = "ShapeNetRendering"
_METADATA = "rendering_metadata.txt"
_SPLITS = {"train": "train", "val": "train", "test": "test"}  # what is for choosing a model is not for judging it
_CLOSE = 256 / 137  # pixels that a converted camera may be off: one of the view as it was rendered


def find(source: Path, options: Options) -> list[Item] | None:
    """List the models, each once; where several releases lie side by side, from the first that has it."""
    root = Path(source)
    renderings = next((path for path in (root / _RENDERINGS, root.parent / _RENDERINGS) if path.is_dir()), None)
    first, second = ("v2", "v1") if renderings is None else ("v1", "v2")  # the views are of v1
    below = (f"ShapeNetCore.{first}", *(() if renderings is None else (_R2N2,)), f"ShapeNetCore.{second}", _R2N2)
    roots = [root, *(root / name for name in dict.fromkeys(below))]
    split_of = _official_splits(root)
    found: dict[tuple[str, str], Item] = {}
    for folder in roots:
        for synset in folders_in(folder):
            if _SYNSET.fullmatch(synset):
                for model in folders_in(folder / synset):
                    if (synset, model) not in found:
                        item = _item(folder, renderings, synset, model, options)
                        if item is not None:
                            found[synset, model] = item
    if not found:
        return None
    items = []
    for (synset, model), item in sorted(found.items()):
        split = split_of.get((synset, model), "train") if split_of else ""
        items.append(replace(item, split=split))
    return with_splits(items, options.test_share)


def _item(folder: Path, renderings: Path | None, synset: str, model: str, options: Options) -> Item | None:
    """Return the item of a model, or None where it has no file that can be read."""
    for below, (known, known_front) in _VERSIONS.items():
        place = folder / synset / model / below
        here = set(names_in(place))
        name = next((name for name in known if name in here), None)
        if name is None:
            continue
        up, front = chosen_axes(options, "y", known_front)
        class_name = CLASSES.get(synset, synset)
        own = ""
        if renderings is not None and below == "":
            pictures = renderings / synset / model / "rendering"
            own = str(pictures) if pictures.is_dir() else ""
        return Item("shapenet", f"{class_name}/{model}", class_name, "", str(place / name), up, front, own)
    return None


def _official_splits(root: Path) -> dict[tuple[str, str], str]:
    """Return the split of each synset and id from ``all.csv``; nothing if there is none."""
    table = root / "all.csv"
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            needed = ("synsetId", "modelId", "split")
            if any(name not in (reader.fieldnames or ()) for name in needed):
                raise DatasetError(f"{table}, line 1: expected the columns {', '.join(needed)}; correct or remove it")
            found = {}
            for row in reader:
                split = (row["split"] or "").strip().lower()
                if split not in _SPLITS:
                    raise DatasetError(
                        f"{table}, line {reader.line_num}: split {row['split']!r}; expected train, val or test"
                    )
                found[(row["synsetId"] or "").strip().zfill(8), (row["modelId"] or "").strip()] = _SPLITS[split]
            return found
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{table}: no CSV in UTF-8 ({error}); correct or remove it") from error
    except OSError as error:
        raise StorageError(f"cannot read {table}: {error.strerror or error}") from error


# ------------------------------------------------------------------------------------------------ loading
def load(item: Item, resolution: int, mode: str, views: int) -> Loaded:
    """Read the mesh, or else the volume; and of 3D-R2N2's views the first `views`, with their cameras."""
    if item.source.endswith(".obj"):
        loaded = load_mesh(read_mesh(item.source), item, resolution, mode)
    elif Path(item.source).resolve().parents[2].name == _R2N2:
        loaded = _load_in_the_frame_of_v1(item, resolution, mode)
    else:
        loaded = load_volume(item.source, item, resolution, mode, fill=True)
    if not views or not item.pictures:
        return loaded
    folder = Path(item.pictures)
    files = [name for name in names_in(folder) if name.lower().endswith(".png")][:views]
    if not files:
        raise InputError(f"{folder}: no pictures in it; expected 00.png and so on")
    pictures = np.stack([read_picture(folder / name) for name in files])
    rows = _metadata(folder / _METADATA)
    numbers = [int(name[:-4]) if name[:-4].isdecimal() else len(rows) for name in files]
    if max(numbers) >= len(rows):
        raise InputError(
            f"{folder / _METADATA}: {len(rows)} lines, and there is a picture {files[-1]}; unpack it again"
        )
    cameras = np.stack([_house_camera(rows[number], loaded.transform) for number in numbers]).astype(np.float32)
    return replace(loaded, pictures=pictures, cameras=cameras)


def _load_in_the_frame_of_v1(item: Item, resolution: int, mode: str) -> Loaded:
    """Read a volume whose box has its middle at the origin, and a diagonal of 1."""
    grid = filled(read_volume(item.source).occupancy[0] >= 0.5)
    inside = np.argwhere(grid)
    if not len(inside):
        raise InputError(f"{item.source}: the volume is empty; unpack it again")
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    cell = 1 / float(np.linalg.norm(high - low))
    return load_grid(grid, item, resolution, mode, cell, (low + high) / 2 * -cell)


def _metadata(path: Path) -> NDArray[np.float64]:
    """Return azimuth, elevation, in-plane turn, distance and field of view (N, 5) of 3D-R2N2's views."""
    try:
        if path.stat().st_size > 1 << 20:
            raise InputError(f"{path}: over 1 MB; expected a line of five numbers for each picture")
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append([float(word) for word in line.split()])
            except ValueError:
                rows.append([])
            if len(rows[-1]) != 5 or not np.isfinite(rows[-1]).all() or not 0 < rows[-1][3] < 100:
                raise InputError(
                    f"{path}, line {number}: {line.strip()[:60]!r}; "
                    "expected five numbers: azimuth, elevation, turn, distance, field of view"
                )
    return np.array(rows).reshape(-1, 5)


def _house_camera(row: NDArray[np.float64], transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seven numbers of the camera that sees the unit cube as 3D-R2N2's camera saw the model.

    Blender stands a model of v1 up, (x, y, z) → (x, −z, y). The camera starts on +x and looks at the origin; it is
    turned about x by the in-plane angle, about y by the elevation and about z by the azimuth, each backwards, so that
    azimuth 0 looks at the front of v1.
    """
    azimuth, elevation, in_plane, ratio, _ = row
    turned = _about(2, -azimuth) @ _about(1, -elevation) @ _about(0, -in_plane)
    lying = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Blender's axes → those of the file
    position = lying @ turned[:, 0] * (FURTHEST * ratio)
    right, up, forward = lying @ turned[:, 1], lying @ turned[:, 2], -lying @ turned[:, 0]

    linear = transform[:, :3]
    scale = np.cbrt(abs(np.linalg.det(linear)))
    to_cube = np.linalg.inv(linear)
    place = to_cube @ (position - transform[:, 3])
    right, up, forward = (to_cube @ way * scale for way in (right, up, forward))
    return _numbers(place, np.stack([right, up, forward]))


def _about(axis: int, degrees: float) -> NDArray[np.float64]:
    """Return the turn about an axis, counter-clockwise seen from its tip."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def _numbers(place: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a camera at `place`, its axes right, up and forward given, as seven numbers; NaN where they cannot say it.

    The numbers' camera looks at the middle of the cube. One that looks a little past it is told by a shift, which is
    right to the second order; where a corner of the cube falls too far off, there is no such camera.
    """
    distance = float(np.linalg.norm(place))
    unknown = np.full(7, np.nan)
    if distance < 0.9:  # within the cube, or nearly so
        return unknown
    azimuth = math.degrees(math.atan2(place[0], -place[1])) % 360
    elevation = math.degrees(math.asin(place[2] / distance))
    level = Camera(azimuth, elevation, distance, FIELD_OF_VIEW)
    roll = math.degrees(math.atan2(axes[0] @ level.axes[1], axes[0] @ level.axes[0]))
    middle = _seen(np.zeros((1, 3)), place, axes, level.focal)[0] - 0.5
    camera = Camera(azimuth, elevation, distance, FIELD_OF_VIEW, roll, (float(middle[0]), float(middle[1])))
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * FILL / 2
    off = np.abs(camera.project(corners, 256) - _seen(corners, place, axes, level.focal) * 256).max()
    if not off <= _CLOSE:
        return unknown
    return camera.numbers


def _seen(
    points: NDArray[np.float64], place: NDArray[np.float64], axes: NDArray[np.float64], focal: float
) -> NDArray[np.float64]:
    """Return where points (P, 3) fall in the picture (P, 2), as parts of its width."""
    x, y, depth = axes @ (points - place).T
    return np.stack([x / depth, -y / depth], axis=1) * focal + 0.5
