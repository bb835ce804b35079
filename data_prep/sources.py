"""Where shapes come from: a folder of meshes, the ModelNet volumes, the parametric furniture.

A source is a list of `Item`: small, picklable, and loaded only in the process that builds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.matlab import read_array
from voxgan.errors import DatasetError, InputError, StorageError, UsageError, nearest
from voxgan.mesh import MESH_SUFFIXES, read_mesh
from voxgan.volumes import VOLUME_SUFFIXES, read_volume, resample
from voxgan.voxelisation import voxelise
from voxgan.voxels import Shapes

if TYPE_CHECKING:
    import trimesh

__all__ = ["MODELNET_TURNS", "Item", "find_items"]

MODELNET_TURNS = {"bed": 1, "bookshelf": 1, "chair": 1}
"""Quarter turns about z that bring a ModelNet40 class from its own facing (−x) to the house's (−y).

Measured from the mean shape of each class: the back of chairs and the head of beds lie at +x there, the back of
sofas and desks at +y. Classes that are not named here are left as they are.
"""

_MODELNET_FILE = re.compile(r"^(?P<id>.+)_(?P<rotation>\d+)\.mat$")


@dataclass(frozen=True)
class Item:
    """One shape to be prepared.

    Attributes
    ----------
    kind : {"mesh", "volume", "modelnet", "furniture"}
        How it is loaded.
    name, class_name, split : str
        As they will stand in the data set. No two shapes have one name, from which cameras and materials follow.
    source : str
        The file, or the recipe (``furniture:chair:7``).
    up : {"z", "y"}
        Which axis of a mesh file points up.
    """

    kind: str
    name: str
    class_name: str
    split: str
    source: str
    up: str = "z"

    def load(self, resolution: int) -> tuple[Shapes, trimesh.Trimesh | None]:
        """Return the occupancy at `resolution` and, where the source is a mesh, the mesh in the unit cube.

        Raises
        ------
        InputError
            If the file cannot be used.
        """
        if self.kind == "modelnet":
            return resample(_read_modelnet(Path(self.source), self.class_name), resolution), None
        if self.kind == "volume":
            volume = read_volume(self.source)
            return resample(volume.occupancy[0] >= 0.5, resolution), None
        if self.kind == "furniture":
            from data_prep.furniture import furniture

            mesh = furniture(self.class_name, int(self.source.rsplit(":", 1)[1]))
        else:
            mesh = read_mesh(self.source)
            if self.up == "y" and not self.source.lower().endswith(".glb"):
                turned = mesh.vertices[:, [0, 2, 1]] * np.array([1.0, -1.0, 1.0])
                mesh.vertices = turned
        shapes = voxelise(mesh, resolution)
        assert shapes.scale is not None and shapes.centre is not None
        mesh.apply_translation(-shapes.centre[0])
        mesh.apply_scale(1 / shapes.scale[0])
        return shapes, mesh


def find_items(
    source: str | Path | Sequence[str | Path],
    classes: Sequence[str] | None = None,
    count: int = 100,
    limit: int | None = None,
    rotations: int = 1,
    test_share: float = 0.1,
    up: str = "z",
) -> list[Item]:
    """List the shapes of one or several sources without loading them.

    A file is named after its path below the source, without its suffix (``chair/train/a``); ModelNet's volumes after
    their file. Where two would have one name, the later gets a number: ``a (2)``.

    Parameters
    ----------
    source : path, "furniture", or a sequence of them
        A folder of meshes (class = first folder below it; a folder ``train`` or ``test`` in between is the split), a
        folder of the ModelNet release as volumes (``volumetric_data/<class>/30/<split>/*.mat``), one mesh or volume
        file, or the word ``furniture``, which always means the parametric furniture: a folder of that name is
        ``./furniture``, or a `pathlib.Path`.
    classes : sequence of str, optional
        Only these, each of which is in at least one of the sources. Blanks around a name do not count.
    count : int
        Furniture: how many of each class.
    limit : int, optional
        At most so many of each class and split, over all sources.
    rotations : int
        ModelNet: how many of the 12 azimuths to take.
    test_share : float
        The part of each class, from 0 to below 1, that becomes the test split where the source names none: rounded
        down, but at least one shape where a class has two or more and the share is above 0.
    up : {"z", "y"}
        Which axis of the mesh files points up (GLB is y-up by its standard and always read so).

    Raises
    ------
    StorageError
        If the source does not exist.
    DatasetError
        If it holds no shape, or not the classes asked for.
    UsageError
        If there is no such furniture, or `up` is neither.
    """
    if up not in ("z", "y"):
        raise UsageError(f"up axis {up!r}; expected z or y")
    sources = [source] if isinstance(source, str | Path) else list(source)
    wanted = None if classes is None else [name.strip() for name in classes]
    items: list[Item] = []
    for one in sources:
        if isinstance(one, str) and one == "furniture":
            items += _furniture_items(count, test_share)
        else:
            items += _folder_items(Path(one), rotations, test_share, up)
    if wanted is not None:
        _check_classes(wanted, {item.class_name for item in items}, sources)
        items = [item for item in items if item.class_name in wanted]
    if limit is not None:
        seen: dict[tuple[str, str], int] = {}
        kept = []
        for item in items:
            key = (item.class_name, item.split)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] <= limit:
                kept.append(item)
        items = kept
    return _named_apart(items)


def _check_classes(wanted: Iterable[str], known: set[str], sources: Sequence[str | Path]) -> None:
    for name in wanted:
        if name not in known and list(sources) == ["furniture"]:
            raise UsageError(f"no furniture class {name!r}; {nearest(name, known)}")
        if name not in known:
            raise DatasetError(f"{', '.join(map(str, sources))}: no class {name!r}; {nearest(name, known)}")


def _named_apart(items: list[Item]) -> list[Item]:
    """Number the names that came before."""
    used: set[str] = set()
    apart = []
    for item in items:
        name, number = item.name, 1
        while name in used:
            number += 1
            name = f"{item.name} ({number})"
        used.add(name)
        apart.append(replace(item, name=name))
    return apart


def _furniture_items(count: int, test_share: float) -> list[Item]:
    from data_prep.furniture import CLASSES

    return [
        Item(
            "furniture",
            f"furniture_{name}_{i:05d}",
            name,
            _share(i, count, test_share),
            f"furniture:{name}:{i}",
        )
        for name in CLASSES
        for i in range(count)
    ]


def _share(index: int, count: int, test_share: float) -> str:
    """Return the split of shape `index` of `count`: the last ones are the test."""
    tests = max(int(count * test_share), 1) if test_share > 0 and count > 1 else 0
    return "test" if index >= count - tests else "train"


def _folder_items(root: Path, rotations: int, test_share: float, up: str) -> list[Item]:
    if not root.exists():
        raise StorageError(f"no such folder or file: {root}; expected meshes, ModelNet volumes, or the word furniture")
    if root.is_file():
        item = _file_item(root, root.parent, up)
        if item is None:
            known = ", ".join((*MESH_SUFFIXES, *VOLUME_SUFFIXES))
            raise DatasetError(f"{root}: no mesh or volume; expected a folder or one of {known}")
        return _split_items([item], test_share)
    if (root / "volumetric_data").is_dir():
        root = root / "volumetric_data"
    modelnet = _modelnet_items(root, rotations)
    if modelnet:
        return modelnet
    found = [_file_item(path, root, up) for path in sorted(root.rglob("*")) if path.is_file()]
    items = [item for item in found if item is not None]
    if not items:
        known = " ".join((*MESH_SUFFIXES, *VOLUME_SUFFIXES))
        raise DatasetError(f"{root}: no shapes in it; expected files {known}, or ModelNet's <class>/30/<split>/*.mat")
    return _split_items(items, test_share)


def _split_items(items: list[Item], test_share: float) -> list[Item]:
    """Give a split to the items whose folders name none, class by class."""
    split: list[Item] = []
    for name in dict.fromkeys(item.class_name for item in items):
        group = [item for item in items if item.class_name == name]
        unnamed = [item for item in group if not item.split]
        order = {item.source: i for i, item in enumerate(unnamed)}
        for item in group:
            part = item.split or _share(order[item.source], len(unnamed), test_share)
            split.append(Item(item.kind, item.name, item.class_name, part, item.source, item.up))
    return split


def _file_item(path: Path, root: Path, up: str) -> Item | None:
    suffix = path.suffix.lower()
    if suffix not in (*MESH_SUFFIXES, *VOLUME_SUFFIXES):
        return None
    folders = path.relative_to(root).parts[:-1]
    split = next((f.lower() for f in folders if f.lower() in ("train", "test")), "")
    named = [f for f in folders if f.lower() not in ("train", "test")]
    class_name = named[0] if named else (root.name or "shape")
    name = path.relative_to(root).with_suffix("").as_posix()
    return Item("volume" if suffix in VOLUME_SUFFIXES else "mesh", name, class_name, split, str(path), up)


def _modelnet_items(root: Path, rotations: int) -> list[Item]:
    items = []
    for path in sorted(root.glob("*/30/*/*.mat")):
        match = _MODELNET_FILE.match(path.name)
        if match and int(match["rotation"]) <= rotations and path.parent.name in ("train", "test"):
            class_name = path.parents[2].name
            items.append(Item("modelnet", path.stem, class_name, path.parent.name, str(path)))
    return items


def _read_modelnet(path: Path, class_name: str) -> np.ndarray:
    """Return one ModelNet volume (30, 30, 30), z up, turned to face −y where its class's facing is known."""
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
    return np.rot90(volume, MODELNET_TURNS.get(class_name, 0), axes=(0, 1))
