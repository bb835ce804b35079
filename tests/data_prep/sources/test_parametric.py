"""The parametric furniture as a source."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from data_prep.furniture import CLASSES
from data_prep.sources import find_items
from voxgan.errors import UsageError
from voxgan.voxels import FILL


def test_furniture():
    items = find_items("furniture", count=10, test_share=0.2)
    assert Counter((item.class_name, item.split) for item in items) == {
        (name, split): n for name in CLASSES for split, n in (("train", 8), ("test", 2))
    }
    assert len({item.name for item in items}) == len(items)
    assert find_items("furniture", ["bed"], count=3)[2].source == "furniture:bed:2"
    assert len(find_items("furniture", ["bed", "sofa"], count=5, limit=2, test_share=0)) == 4
    with pytest.raises(UsageError, match="did you mean 'chair'"):
        find_items("furniture", ["chiar"])


def test_furniture_loads_as_its_generator_makes_it():
    item = find_items("furniture", ["table"], count=8)[7]
    loaded = item.load(16)
    assert loaded.shapes.occupancy.any() and loaded.mesh.extents.max() == pytest.approx(FILL)
    np.testing.assert_array_equal(loaded.shapes.occupancy, item.load(16).shapes.occupancy)
    np.testing.assert_allclose(loaded.transform[:, :3], np.eye(3) * loaded.shapes.scale[0])
    np.testing.assert_allclose(loaded.transform[:, 3], loaded.shapes.centre[0])


def test_furniture_stands_as_it_is_made_whatever_is_said_of_files():
    for axes in ({"up": "y"}, {"front": "x"}):
        assert find_items("furniture", count=1, **axes) == find_items("furniture", count=1)
