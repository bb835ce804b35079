"""The parametric furniture: seeded, so that every shape can be made again; no file is needed."""

from __future__ import annotations

from pathlib import Path

from data_prep.sources.item import Item, Loaded, Options, load_mesh, with_splits

__all__ = ["WORD", "find", "load"]

WORD = "furniture"


def find(source: str | Path, options: Options) -> list[Item] | None:
    """List ``count`` shapes of each class."""
    if source != WORD or isinstance(source, Path):
        return None
    from data_prep.furniture import CLASSES

    return with_splits(
        [
            Item("parametric", f"furniture_{name}_{i:05d}", name, "", f"{WORD}:{name}:{i}")
            for name in CLASSES
            for i in range(options.count)
        ],
        options.test_share,
    )


def load(item: Item, resolution: int, mode: str, views: int) -> Loaded:
    """Make the shape."""
    from data_prep.furniture import furniture

    return load_mesh(furniture(item.class_name, int(item.source.rsplit(":", 1)[1])), item, resolution, mode)
