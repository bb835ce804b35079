"""The session: anchors, paths, expressions, sliders, undo, files; no screen."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from viewer.session import MAX_ANCHORS, Session, State, read_json
from voxgan.errors import InputError, StorageError, UsageError, VoxganError
from voxgan.latent import interpolate
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.vae_gan3d import VAEGAN3D, VAEGANConfig


@pytest.fixture(scope="module")
def gan() -> GAN3D:
    torch.manual_seed(0)
    return GAN3D(Config(resolution=16, width=4))


@pytest.fixture(scope="module")
def vae() -> VAEGAN3D:
    torch.manual_seed(0)
    return VAEGAN3D(VAEGANConfig(resolution=16, width=4))


@pytest.fixture
def session(gan: GAN3D) -> Session:
    return Session(gan, "small", seed=5)


def latent_of(session: Session, name: str) -> np.ndarray:
    return np.array(session.anchor(name).latent, np.float32)


def test_needs_no_pyvista_and_no_trame() -> None:
    code = "import sys, viewer.session; print(sorted(m for m in sys.modules if m in ('pyvista', 'trame', 'vtk')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_begins_with_three_random_anchors_that_follow_from_the_seed(session: Session, gan: GAN3D) -> None:
    assert [a.name for a in session.state.anchors] == ["A", "B", "C"]
    assert not session.can_undo
    for i, name in enumerate("ABC"):
        assert np.array_equal(latent_of(session, name), gan.sample_latents(1, 5 + i)[0].numpy())


def test_the_latent_of_a_path_is_that_of_interpolate(session: Session) -> None:
    for kind in ("linear", "spherical"):
        session.walk(1.25, kind)
        ends = [torch.from_numpy(latent_of(session, name)) for name in "BC"]
        expected = interpolate(*ends, steps=5, kind=kind)[1].numpy()
        assert np.allclose(session.latent(), expected, atol=1e-6)


def test_at_an_anchor_the_shape_is_its_own(session: Session) -> None:
    session.walk(1.0)
    assert np.array_equal(session.latent(), latent_of(session, "B"))
    assert np.array_equal(session.shape().occupancy, session.anchor_shape("B").occupancy)


def test_arithmetic(session: Session) -> None:
    session.calculate("A - B + 0.5*C")
    a, b, c = (latent_of(session, name) for name in "ABC")
    assert np.allclose(session.latent(), a - b + 0.5 * c, atol=1e-6)


def test_an_expression_that_does_not_parse_changes_nothing(session: Session) -> None:
    before = session.state
    for wrong in ("A -", "A - Q", "A B", "", "__import__('os')", "A" * 600):
        with pytest.raises(UsageError):
            session.calculate(wrong)
    assert session.state == before
    assert not session.can_undo


def test_sliders_move_the_latent(session: Session) -> None:
    session.walk(0)
    start = session.latent()
    session.set_dimension(7, 0.5)
    assert session.latent()[7] == pytest.approx(start[7] + 0.5)
    session.set_direction(2, -3.0)
    moved = start - 3 * session.directions[2]
    moved[7] += 0.5
    assert np.allclose(session.latent(), moved, atol=1e-6)
    session.reset_sliders()
    assert np.array_equal(session.latent(), start)


def test_a_direction_is_one_deviation_of_the_prior_long(session: Session, vae: VAEGAN3D) -> None:
    assert np.allclose(np.linalg.norm(session.directions, axis=1), np.sqrt(1 / 12), atol=1e-5)
    assert np.allclose(np.linalg.norm(Session(vae, "v").directions, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s.walk(2.5),
        lambda s: s.walk(-0.1),
        lambda s: s.walk(float("nan")),
        lambda s: s.walk(0, "cubic"),
        lambda s: s.set_level(0),
        lambda s: s.set_level(float("nan")),
        lambda s: s.set_dimension(200, 0.1),
        lambda s: s.set_dimension(-1, 0.1),
        lambda s: s.set_dimension(0, 1e9),
        lambda s: s.set_dimension(0, float("nan")),
        lambda s: s.set_direction(99, 1),
        lambda s: s.set_display("hologram"),
        lambda s: s.remove("Z"),
        lambda s: s.move("Z", 1),
        lambda s: s.add_class("chair"),
        lambda s: s.add_photo(np.zeros((3, 256, 256), np.float32), "photo"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(session: Session, wrong) -> None:
    before = session.state
    with pytest.raises(VoxganError) as error:
        wrong(session)
    assert "\n" not in str(error.value)
    assert session.state == before


def test_undo_and_redo(session: Session) -> None:
    states = [session.state]
    for change in (
        lambda: session.walk(0.5),
        lambda: session.set_level(0.3),
        lambda: session.calculate("A - B"),
        lambda: session.add_random(),
        lambda: session.set_display("voxels"),
        lambda: session.remove("B"),
        lambda: session.move("A", 2),
        lambda: session.set_clean(False),
    ):
        change()
        states.append(session.state)
    for state in reversed(states[:-1]):
        session.undo()
        assert session.state == state
    session.undo()
    assert session.state == states[0]
    for state in states[1:]:
        session.redo()
        assert session.state == state
    session.undo()
    session.walk(0)
    assert not session.can_redo


def test_a_drag_is_one_step(session: Session) -> None:
    session.walk(0)
    session.settle()
    for position in np.linspace(0, 2, 30):
        session.walk(float(position))
    for level in np.linspace(0.2, 0.8, 30):
        session.set_level(float(level))
    session.undo()
    assert session.state.level == 0.5 and session.state.position == 2
    session.undo()
    assert session.state.position == 0


def test_after_settle_the_same_slider_is_a_new_step(session: Session) -> None:
    session.walk(0.2)
    session.settle()
    session.walk(0.7)
    session.undo()
    assert session.state.position == 0.2


def test_no_change_is_no_step(session: Session) -> None:
    session.set_level(0.5)
    session.set_display("mesh")
    session.reset_sliders()
    assert not session.can_undo


def test_removed_names_are_used_again_and_the_last_anchor_stays(session: Session) -> None:
    session.remove("B")
    assert session.add_random().name == "B"
    assert [a.name for a in session.state.anchors] == ["A", "C", "B"]
    session.remove("A")
    session.remove("C")
    with pytest.raises(UsageError, match="only anchor"):
        session.remove("B")


def test_an_anchor_that_the_expression_needs_stays(session: Session) -> None:
    session.calculate("A - B")
    with pytest.raises(UsageError, match="A - B"):
        session.remove("B")
    session.remove("C")


def test_there_is_room_for_so_many(session: Session) -> None:
    for _ in range(MAX_ANCHORS - 3):
        session.add_random()
    with pytest.raises(UsageError, match="remove one"):
        session.add_random()


def test_keep_makes_an_anchor_of_what_is_on_show(session: Session) -> None:
    session.calculate("A - B + C")
    expected = session.latent()
    anchor = session.keep()
    assert anchor.label == "A - B + C"
    assert np.array_equal(session.latent(), expected)


def test_a_photo_becomes_an_anchor(vae: VAEGAN3D) -> None:
    session = Session(vae, "v")
    image = np.random.default_rng(0).random((3, 256, 256)).astype(np.float32)
    anchor = session.add_photo(image, "<b>my\nphoto</b>\x00.png")
    assert np.allclose(anchor.latent, vae.encode(image[None])[0].numpy())
    assert anchor.label == "<b>my photo</b> .png"


def test_a_grid_becomes_an_anchor_by_optimising_z(session: Session, gan: GAN3D) -> None:
    target = gan.generate(1, seed=99).occupancy[0] > 0.5
    seen = []
    before = session.state
    z, iou = session.fit(target, report=lambda done, total: seen.append((done, total)))
    assert session.state == before
    assert seen and all(0 < done <= total for done, total in seen)
    anchor = session.add_fitted(z, iou, "target.obj")
    found = session.anchor_shape(anchor.name).occupancy[0] > 0.5
    assert anchor.origin["iou"] == pytest.approx(iou, abs=1e-3)
    assert found.shape == target.shape


def test_the_gallery_is_what_add_random_gives(session: Session) -> None:
    picks = session.gallery(4, page=2)
    assert len({pick["seed"] for pick, _ in picks}) == 4
    assert {pick["seed"] for pick, _ in picks}.isdisjoint(pick["seed"] for pick, _ in session.gallery(4, page=1))
    pick, shape = picks[1]
    anchor = session.add_random(**pick)
    assert np.allclose(session.anchor_shape(anchor.name).occupancy, shape.occupancy, atol=1e-5)


def everything(session: Session) -> None:
    session.set_dimension(3, -0.25)
    session.set_direction(1, 1.5)
    session.set_level(0.4)
    session.set_display("points")
    session.set_clean(False)
    session.calculate("A - B + 2*C")
    session.keep()
    session.walk(2.5, "spherical")
    session.camera = {"position": [1.0, 2.0, 3.0], "scale": [0.7]}


def test_a_saved_session_is_the_same_again(tmp_path, session: Session, gan: GAN3D) -> None:
    everything(session)
    path = session.save(tmp_path / "walk.json")
    assert path.stat().st_size < 10_000
    again = Session.load(path, lambda name: gan)
    assert again.state == session.state
    assert again.camera == session.camera
    assert np.array_equal(again.latent(), session.latent())
    assert again.add_random().latent == session.add_random().latent
    assert again.to_json() == session.to_json()
    assert not Session.load(path, lambda name: gan).can_undo


def test_restoring_is_one_step(session: Session, gan: GAN3D) -> None:
    other = Session(gan, "small", seed=77)
    everything(other)
    before = session.state
    assert session.restore(other.to_json()) == ""
    assert session.state == other.state
    session.undo()
    assert session.state == before


def test_other_weights_are_told(session: Session) -> None:
    torch.manual_seed(9)
    retrained = Session(GAN3D(Config(resolution=16, width=4)), "small")
    assert "other weights" in retrained.restore(session.to_json())


def test_anchors_of_another_session_are_added(session: Session, gan: GAN3D) -> None:
    other = Session(gan, "small", seed=77, anchors=2)
    added = session.add_saved(other.to_json())
    assert [a.name for a in added] == ["D", "E"]
    assert [a.latent for a in added] == [a.latent for a in other.state.anchors]
    session.undo()
    assert len(session.state.anchors) == 3


def damaged() -> list[tuple[str, object]]:
    model = GAN3D(Config(resolution=16, width=4))
    content = Session(model, "small").to_json()
    cases: list[tuple[str, object]] = [("list", []), ("none", None), ("text", "x"), ("empty", {})]
    for key in content:
        cases.append((f"without {key}", {k: v for k, v in content.items() if k != key}))
        if key != "camera":
            cases.append((f"{key} null", {**content, key: None}))
        cases.append((f"{key} object", {**content, key: {"a": "b"}}))
    anchor = content["anchors"][0]
    for name, change in {
        "position": {"position": 7},
        "level": {"level": float("nan")},
        "display": {"display": "x"},
        "clean": {"clean": "yes"},
        "expression": {"mode": "expression", "expression": "A - Z"},
        "dimensions": {"dimensions": {"999": 1.0}},
        "other model": {"model": {"name": "../../etc"}},
        "version": {"version": 2},
        "no anchors": {"anchors": []},
        "many anchors": {"anchors": [anchor] * 30},
        "twice": {"anchors": [anchor, anchor]},
        "long name": {"anchors": [{**anchor, "name": "AA"}]},
        "kind": {"anchors": [{**anchor, "origin": {"kind": "magic", "label": "x"}}]},
        "seed": {"anchors": [{**anchor, "origin": {"kind": "random", "seed": 2**70, "label": "x"}}]},
        "few numbers": {"anchors": [{**anchor, "latent": [0.0]}]},
        "nan": {"anchors": [{**anchor, "latent": [float("nan")] * 200}]},
        "texts": {"anchors": [{**anchor, "latent": ["x"] * 200}]},
        "camera": {"camera": {"position": [float("inf")]}},
    }.items():
        cases.append((name, {**content, **change}))
    return cases


@pytest.mark.parametrize(("name", "content"), damaged(), ids=[name for name, _ in damaged()])
def test_a_damaged_session_is_one_line_and_changes_nothing(session: Session, name: str, content: object) -> None:
    before, json_before = session.state, session.to_json()
    if name in ("camera object",):
        content = {**content, "camera": {"a": ["b"]}}  # type: ignore[dict-item]
    with pytest.raises(InputError) as error:
        session.restore(content)
    assert "\n" not in str(error.value)
    assert session.state == before and session.to_json() == json_before


def test_files_that_are_none(tmp_path) -> None:
    path = tmp_path / "s.json"
    with pytest.raises(StorageError):
        read_json(path)
    path.write_bytes(b"\xff\xfe nothing")
    with pytest.raises(InputError, match="not JSON"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        read_json(path)
    path.write_text(" " * (2 << 20))
    with pytest.raises(InputError, match="1 MiB"):
        read_json(path)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("walk"), st.floats(-1, 6)),
            st.tuples(st.just("set_level"), st.floats(-1, 2)),
            st.tuples(st.just("calculate"), st.text("ABCD+-*0.5 ", max_size=12)),
            st.tuples(st.just("add_random")),
            st.tuples(st.just("remove"), st.sampled_from("ABCDE")),
            st.tuples(st.just("move"), st.sampled_from("ABC"), st.integers(-3, 3)),
            st.tuples(st.just("set_dimension"), st.integers(-2, 205), st.floats(-2, 2)),
            st.tuples(st.just("keep")),
            st.tuples(st.just("undo")),
            st.tuples(st.just("redo")),
            st.tuples(st.just("settle")),
        ),
        max_size=25,
    )
)
def test_whatever_is_done_there_is_a_latent_and_the_file_holds_it(commands) -> None:
    torch.manual_seed(0)
    session = Session(GAN3D(Config(resolution=16, width=2)), "tiny")
    first = session.state
    for name, *arguments in commands:
        with contextlib.suppress(VoxganError):
            getattr(session, name)(*arguments)
        assert np.isfinite(session.latent()).all()
    saved = json.loads(json.dumps(session.to_json()))
    again = Session(session.model, "tiny", seed=3)
    again.restore(saved)
    assert again.state == session.state
    while session.can_undo:
        session.undo()
    assert session.state == first


def test_the_state_cannot_be_changed_in_place(session: Session) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        session.state.level = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        session.state.dimensions[0] = 1.0  # type: ignore[index]
    assert isinstance(session.state, State)


def test_what_is_kept_says_where_it_lay(session: Session) -> None:
    session.walk(1.0)
    assert session.keep().label == "copy of B"
    session.walk(0.25)
    assert session.keep().label == "A → B, 25 %"
    session.calculate("2a - b")
    assert session.keep().label == "2A - B"


def test_a_sheet_one_cell_thick_is_a_shape(session: Session) -> None:
    sheet = np.zeros((16, 16, 16), bool)
    sheet[2:14, 2:14, 8] = True
    assert session.fit(sheet, report=lambda done, total: None)[1] >= 0


def test_an_unknown_class_in_a_session_is_told_once(session: Session) -> None:
    content = session.to_json()
    content["anchors"][0]["origin"] = {"kind": "class", "class_name": "boat", "seed": 1, "label": "boat 1"}
    with pytest.raises(InputError) as error:
        session.restore(content)
    assert str(error.value).count("damaged") == 1


def test_a_file_that_is_no_session_is_named(tmp_path, gan: GAN3D) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"other\.json: this is no session"):
        Session.load(tmp_path / "other.json", lambda name: gan)
