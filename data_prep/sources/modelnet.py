"""ModelNet10 and ModelNet40: as OFF files, or as the volumes of 3DShapeNets; with the official split.

The volumes were made from the OFF files with x and y exchanged: seven OFF files agree with a volume of the release
when mirrored at the diagonal (IoU 0.59 to 0.87), and none as well when turned. Hence a class whose volumes face −x has
OFF files that face −y, and the other way round; shapes from either release come out alike, but for a mirror in x.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from data_prep.matlab import read_array
from data_prep.sources.item import Item, Loaded, Options, chosen_axes, load_grid, load_mesh
from data_prep.sources.listing import folders_in, names_in
from voxgan.errors import InputError, StorageError
from voxgan.mesh import read_mesh

__all__ = ["CLASSES", "MODELNET_TURNS", "find", "load"]

# fmt: off
CLASSES = (
    "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain",
    "desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel",
    "monitor", "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool",
    "table", "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox",
)
# fmt: on
"""The classes of ModelNet40; those of ModelNet10 are among them."""

MODELNET_TURNS = {"bed": 1, "bookshelf": 1, "chair": 1, "laptop": 1, "toilet": 1}
"""Quarter turns about z that bring the volumes of a ModelNet40 class from their own facing (−x) to the house's (−y).

Measured from the mean shape of each class: the back of chairs, the head of beds, the tank of toilets and the screen of
laptops lie at +x there, the back of sofas and desks at +y. Classes that are not named here are left as they are.
"""

_VOLUME_FILE = re.compile(r"^(?P<id>.+)_(?P<rotation>\d+)\.mat$")
_SPLITS = ("test", "train")


def find(source: Path, options: Options) -> list[Item] | None:
    """List the volumes, or the OFF files; they are recognised by folders and names."""
    root = Path(source)
    if (root / "volumetric_data").is_dir():
        root = root / "volumetric_data"
    classes = folders_in(root)
    items = _volumes(root, classes, options)
    if items:
        return items
    if len(classes) == 1 and classes[0] in ("ModelNet10", "ModelNet40"):
        root = root / classes[0]
        classes = folders_in(root)
    return _meshes(root, classes, options)


def _volumes(root: Path, classes: list[str], options: Options) -> list[Item]:
    items = []
    for class_name in classes:
        known = "-x" if MODELNET_TURNS.get(class_name, 0) else "-y"
        for split in _SPLITS:
            folder = root / class_name / "30" / split
            for name in names_in(folder):
                match = _VOLUME_FILE.match(name)
                if match and int(match["rotation"]) <= options.rotations:
                    up, front = chosen_axes(options, front=known)
                    path = str(folder / name)
                    shape = Item("modelnet", name.removesuffix(".mat"), class_name, split, path, up, front)
                    items.append(replace(shape, model=match["id"]))
    return items


def _meshes(root: Path, classes: list[str], options: Options) -> list[Item] | None:
    """Return the OFF files of a tree in which every folder is a class, and every file is called after its class."""
    if not classes or not set(classes) <= set(CLASSES):
        return None
    items = []
    for class_name in classes:
        known = "-y" if MODELNET_TURNS.get(class_name, 0) else "-x"
        name_of_class = re.compile(rf"{class_name}_\d+\.off", re.IGNORECASE)
        for split in _SPLITS:
            folder = root / class_name / split
            for name in names_in(folder):
                if not name.lower().endswith(".off"):
                    continue
                if not name_of_class.fullmatch(name):
                    return None
                up, front = chosen_axes(options, front=known)
                items.append(Item("modelnet", name[:-4], class_name, split, str(folder / name), up, front))
    return items or None


def load(item: Item, resolution: int, mode: str, views: int) -> Loaded:
    """Read the OFF file or the volume."""
    if item.source.lower().endswith(".off"):
        return load_mesh(read_mesh(item.source), item, resolution, mode)
    path = Path(item.source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        volume = read_array(content, "instance")
    except Exception as error:
        raise InputError(f"{path}: not a ModelNet volume ({error}); expected the variable 'instance'") from error
    if volume.ndim != 3 or max(volume.shape) > 512:
        raise InputError(f"{path}: 'instance' is {volume.shape}; expected a grid of three axes")
    return load_grid(volume, item, resolution, mode)
