"""Mesh → file, for slicers, Blender and game engines: formats, size, floor, up axis, units."""

from __future__ import annotations

import io
import logging
import math
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import MeshError, UsageError, nearest
from voxgan.files import write_bytes

if TYPE_CHECKING:
    import trimesh

__all__ = ["EXPORT_SUFFIXES", "export"]

_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # (x, y, z) → (x, z, −y)


def export(mesh: trimesh.Trimesh, path: str | Path, size_mm: float | None = None) -> Path:
    """Write a mesh to a file; the suffix of `path` names the format.

    Every format stays z-up but GLB, which is y-up and in metres by its standard. The bytes depend on the mesh
    alone: no date, no random name.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        It is not changed.
    path : path
        Ends in one of `EXPORT_SUFFIXES`.
    size_mm : float, optional
        Length of the longest side of the bounding box, in millimetres. The mesh then stands on the floor
        (its lowest z is 0), centred in x and y. Coordinates are millimetres, in GLB metres. Without it,
        coordinates are written as they are.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    UsageError
        If the suffix is unknown, or `size_mm` is not a positive number.
    MeshError
        If the mesh has no faces, or coordinates that are not finite, or no extent to be scaled.
    StorageError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, trimesh
    >>> path = export(trimesh.creation.box((1, 2, 4)), Path(tempfile.mkdtemp()) / "box.stl", size_mm=80)
    >>> trimesh.load_mesh(path).bounds.tolist()
    [[-10.0, -20.0, 0.0], [10.0, 20.0, 80.0]]
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise UsageError(f"cannot export to {path.name!r}: {nearest(suffix, EXPORT_SUFFIXES)}")
    if size_mm is not None and not (math.isfinite(size_mm) and size_mm > 0):
        raise UsageError(f"the size is {size_mm} mm; a positive number was expected, such as 80")
    vertices = np.array(mesh.vertices, np.float64)
    if len(mesh.faces) == 0:
        raise MeshError("the mesh has no faces: there is nothing to export")
    if not np.isfinite(vertices).all():
        raise MeshError("the mesh has coordinates that are not finite: it cannot be exported")
    if size_mm is not None:
        vertices = _placed(vertices, np.asarray(mesh.faces), size_mm if suffix != ".glb" else size_mm / 1000)
    if suffix == ".glb":
        vertices = vertices @ _Y_UP.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = mesh.copy()
        copy.vertices = vertices
        content = _WRITERS[suffix](copy)
    write_bytes(path, content)
    return path


def _placed(vertices: NDArray[np.float64], faces: NDArray[np.int64], size: float) -> NDArray[np.float64]:
    """Scale the longest side to `size`, centre x and y, put the lowest z on 0."""
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    longest = float((high - low).max())
    if not longest > 0 or not math.isfinite(longest):
        raise MeshError("all points of the mesh coincide: it cannot be scaled to a size")
    middle = (low + high) / 2
    return np.asarray((vertices - [middle[0], middle[1], low[2]]) * (size / longest))


def _by_trimesh(kind: str) -> Callable[[trimesh.Trimesh], bytes]:
    def write(mesh: trimesh.Trimesh) -> bytes:
        logger = logging.getLogger("trimesh")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            content = mesh.export(file_type=kind)
        finally:
            logger.setLevel(level)
        return content.encode() if isinstance(content, str) else bytes(content)

    return write


def _obj(mesh: trimesh.Trimesh) -> bytes:
    """Write vertices and triangles, three times as fast as trimesh's general writer."""
    points, faces = np.array(mesh.vertices), np.array(mesh.faces) + 1
    vertices = "v %.7g %.7g %.7g\n" * len(points) % tuple(points.ravel().tolist())
    triangles = "f %d %d %d\n" * len(faces) % tuple(faces.ravel().tolist())
    return f"# voxgan, z up\n{vertices}{triangles}".encode()


_3MF_PARTS = {
    "[Content_Types].xml": """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
</Types>
""",
    "_rels/.rels": """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Target="/3D/3dmodel.model" Id="rel0" \
Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>
""",
}


def _3mf(mesh: trimesh.Trimesh) -> bytes:
    """Write the core of 3MF: one object, in millimetres. (trimesh's writer draws random names and dates.)"""
    vertices = "".join(f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>\n' for x, y, z in mesh.vertices.tolist())
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>\n' for a, b, c in mesh.faces.tolist())
    model = f"""<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
<resources><object id="1" type="model"><mesh>
<vertices>
{vertices}</vertices>
<triangles>
{faces}</triangles>
</mesh></object></resources>
<build><item objectid="1"/></build>
</model>
"""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in {**_3MF_PARTS, "3D/3dmodel.model": model}.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)  # dated 1980-01-01
    return packed.getvalue()


_WRITERS: dict[str, Callable[[trimesh.Trimesh], bytes]] = {
    ".obj": _obj,
    ".stl": _by_trimesh("stl"),
    ".ply": _by_trimesh("ply"),
    ".glb": _by_trimesh("glb"),
    ".off": _by_trimesh("off"),
    ".3mf": _3mf,
}

EXPORT_SUFFIXES = tuple(_WRITERS)
"""Suffixes that `export` writes."""
