from __future__ import annotations

import json

import pytest

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

from viewer.session import NUM_DIRECTIONS, Session
from viewer.web import mirror
from voxgan.models.model import Model


@pytest.fixture
def session(models: dict[str, Model]) -> Session:
    return Session(models["small"], "small")


def shown(session: Session) -> dict:
    return mirror.page_state(session, 3, lambda anchor: f"picture of {anchor.name}", {})


def test_the_state_is_what_the_session_is(session: Session) -> None:
    session.walk(0.25)
    session.set_dimension(3, 1.5)
    session.set_direction(2, -4)
    state = shown(session)
    assert state["position"] == 0.25 and state["dimension_value"] == 1.5 and state["direction_2"] == -4
    assert state["moved"] == [{"index": 3, "value": 1.5}] and state["sliders_moved"]
    assert [anchor["used"] for anchor in state["anchors"]] == [True, True, False]
    assert [anchor["shown"] for anchor in state["anchors"]] == [False] * 3
    assert state["anchors"][1]["picture"] == "picture of B"
    assert all(f"direction_{index}" in state for index in range(NUM_DIRECTIONS))
    json.dumps(state)  # numbers of Python, none of NumPy's
    session.calculate("A - C")
    assert [anchor["used"] for anchor in shown(session)["anchors"]] == [True, False, True]


def test_a_description_says_what_is_seen(session: Session) -> None:
    session.walk(1)
    words = mirror.description(session, 35, 25)
    assert words.startswith("Shape at B (random 1), drawn as a smooth surface, seen from the front right and above.")
    assert "% wide" in words and words.endswith("%.")
    session.set_display("points")
    session.set_dimension(0, 1.0)
    words = mirror.description(session, 180, 0)
    assert "drawn as points, moved by sliders, seen from the back. Of" in words


def test_a_description_of_nothing(session: Session) -> None:
    session.set_level(0.98)
    session.set_clean(False)
    session.calculate("0*A")
    assert "nothing to see at level 0.98" in mirror.description(session, 0, 0) or session.shape().occupancy.max() > 0.98
