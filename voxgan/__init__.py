"""voxgan: 3-D shapes as voxels, from noise or from one photo, to meshes that print.

The public names, found late so that ``import voxgan`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxgan.checkpoint import load as load
    from voxgan.evaluation import evaluate as evaluate
    from voxgan.latent import arithmetic as arithmetic
    from voxgan.latent import interpolate as interpolate
    from voxgan.mesh import read_mesh as read_mesh
    from voxgan.models.model import Model as Model
    from voxgan.training import resume as resume
    from voxgan.training import train as train
    from voxgan.voxelisation import signed_distance as signed_distance
    from voxgan.voxelisation import voxelise as voxelise
    from voxgan.voxels import Shapes as Shapes

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "voxgan.dataset",
    "Model": "voxgan.models.model",
    "Shapes": "voxgan.voxels",
    "VoxganError": "voxgan.errors",
    "arithmetic": "voxgan.latent",
    "evaluate": "voxgan.evaluation",
    "interpolate": "voxgan.latent",
    "load": "voxgan.checkpoint",
    "prepare": "data_prep.build",
    "read_mesh": "voxgan.mesh",
    "resume": "voxgan.training",
    "shipped": "voxgan.checkpoint",
    "signed_distance": "voxgan.voxelisation",
    "train": "voxgan.training",
    "view": "viewer.notebook",
    "voxelise": "voxgan.voxelisation",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its room when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'voxgan' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
