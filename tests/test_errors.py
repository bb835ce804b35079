"""The tree of errors: drawn as it is, exit statuses, and the built-in kinds that callers may catch."""

from __future__ import annotations

import re

import pytest

import voxgan
from voxgan import errors

STATUS = {
    "VoxganError": 1,
    "UsageError": 2,
    "MissingExtraError": 2,
    "InputError": 3,
    "ImageError": 3,
    "MeshError": 3,
    "SurfaceError": 3,
    "DatasetError": 3,
    "CheckpointError": 3,
    "StorageError": 4,
    "RankError": 4,
    "DivergedError": 5,
}
BUILT_IN = {
    "UsageError": ValueError,
    "InputError": ValueError,
    "StorageError": OSError,
    "RankError": RuntimeError,
    "DivergedError": ArithmeticError,
}
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
}


def test_exit_statuses():
    assert {name: kind.exit_status for name, kind in CLASSES.items()} == STATUS


def test_all_are_exported():
    assert set(errors.__all__) == set(CLASSES) | {"nearest"}


@pytest.mark.parametrize("name", STATUS)
def test_one_base_and_the_built_in_kind(name):
    kind = CLASSES[name]
    assert issubclass(kind, errors.VoxganError)
    for ours, built_in in BUILT_IN.items():
        if issubclass(kind, CLASSES[ours]):
            assert issubclass(kind, built_in)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn: dict[str, tuple[str, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^([ │├└─]+)(\w+Error)\b\s*(\d)?", line)
        if match is None:
            continue
        depth, name = len(match[1]), match[2]
        while above and above[-1][0] >= depth:
            above.pop()
        drawn[name] = above[-1][1] if above else "Exception", int(match[3]) if match[3] else None
        above.append((depth, name))
    assert {name: base for name, (base, _) in drawn.items()} == {
        name: kind.__bases__[0].__name__ for name, kind in CLASSES.items()
    }
    for name, (_, status) in drawn.items():
        assert status is None or status == STATUS[name]


def test_a_storage_error_shows_its_message_alone():
    assert str(errors.StorageError("cannot write a: no space")) == "cannot write a: no space"


def test_a_missing_extra_names_its_install_line():
    error = errors.MissingExtraError("pyvista", "viewer", "the window")
    assert str(error) == "the window needs the package pyvista: run  pip install 'voxgan-3d[viewer]'"


def test_what_the_package_offers_is_the_same_class():
    assert voxgan.VoxganError is errors.VoxganError


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("chiar", ["sofa", "chair"], "did you mean 'chair'? known: chair, sofa"),
        ("", ["a"], "known: a"),
        ("x", [], "known: "),
    ],
)
def test_nearest(name, known, text):
    assert errors.nearest(name, known) == text
