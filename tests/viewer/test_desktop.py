"""The window, driven by events as VTK gives them, without a screen."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image

from voxgan.errors import InputError, StorageError, UsageError, VoxganError
from voxgan.graphics import check_graphics
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.vae_gan3d import VAEGAN3D, VAEGANConfig
from voxgan.voxels import Shapes, cell_centres

pyvista = pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
try:
    check_graphics()
except VoxganError as error:
    pytest.skip(str(error), allow_module_level=True)

from vtkmodules.vtkCommonCore import vtkStringArray

from viewer import scene
from viewer.desktop import Desktop, view
from viewer.desktop import files as desktop_files
from viewer.desktop import window as desktop_window
from viewer.desktop.keys import COMMANDS, HELP, WITH_CONTROL
from viewer.session import MAX_ANCHORS, Session
from viewer.stage_strip import shares

SIZE = (640, 400)


class Hand:
    """Presses keys and moves the mouse of a window."""

    def __init__(self, desktop: Desktop) -> None:
        self.desktop = desktop
        self.interactor = desktop.plotter.iren.interactor

    def key(self, name: str, control: bool = False, code: str = "\0") -> None:
        self.interactor.SetKeyEventInformation(control, 0, code, 0, name)
        for event in ("KeyPressEvent", "CharEvent", "KeyReleaseEvent"):
            self.interactor.InvokeEvent(event)
        self.interactor.SetControlKey(0)
        self.desktop.step()

    def keys(self, *names: str) -> None:
        for name in names:
            self.key(name)

    def mouse(self, event: str, x: float, y: float, shift: bool = False) -> None:
        self.interactor.SetEventInformation(round(x), round(y), 0, int(shift))
        self.interactor.InvokeEvent(event)

    def drag(self, start: tuple[float, float], end: tuple[float, float], moves: int = 5, shift: bool = False) -> None:
        self.mouse("LeftButtonPressEvent", *start, shift)
        for i in range(1, moves + 1):
            self.mouse("MouseMoveEvent", *(a + (b - a) * i / moves for a, b in zip(start, end, strict=True)), shift)
            self.desktop.step()
        self.mouse("LeftButtonReleaseEvent", *end, shift)
        self.desktop.step()

    def drop(self, *paths: Path) -> None:
        names = vtkStringArray()
        for path in paths:
            names.InsertNextValue(str(path))
        self.interactor.InvokeEvent("DropFilesEvent", names)

    def picture(self) -> NDArray[np.int64]:
        self.desktop.step()
        self.desktop.plotter.render_window.Render()
        return np.array(self.desktop.plotter.screenshot(return_img=True))[..., :3].astype(int)


def block(z: torch.Tensor | NDArray[np.float32]) -> Shapes:
    """A block whose sides follow from three numbers of z, soft enough that the level counts."""
    centres = np.abs(cell_centres(16))
    grids = []
    for numbers in np.atleast_2d(np.asarray(z)):
        sides = 0.28 + 0.12 * np.sin(6 * numbers[[0, 17, 100]])
        grids.append(np.clip(0.5 + 3 * (sides - centres).min(-1), 0, 1))
    return Shapes(np.stack(grids))


@pytest.fixture
def gan() -> GAN3D:
    torch.manual_seed(0)
    model = GAN3D(Config(resolution=16, width=4))
    model.decode = block  # type: ignore[method-assign, assignment]
    return model


@pytest.fixture
def desktop(gan: GAN3D, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Desktop]:
    session = Session(gan, "small", seed=3)
    session.walk(2)
    session.forget()
    window = Desktop(session, off_screen=True, size=SIZE, folder=tmp_path)
    window.step()
    yield window
    window.close()
    assert "Traceback" not in capfd.readouterr().err  # VTK prints what its callbacks raise, and goes on


@pytest.fixture
def hand(desktop: Desktop) -> Hand:
    return Hand(desktop)


def anchors(desktop: Desktop) -> str:
    return "".join(anchor.name for anchor in desktop.session.state.anchors)


def differ(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    return bool((np.abs(one - other) > 30).any(2).sum() > 40)


# The mouse


def test_a_slider_is_followed_while_it_is_dragged(desktop: Desktop, hand: Hand) -> None:
    start, pictures = desktop.panel.knob("level", 0.5), [hand.picture()[:, :400]]
    hand.mouse("LeftButtonPressEvent", *start)
    for level in (0.4, 0.3, 0.15):
        hand.mouse("MouseMoveEvent", *desktop.panel.knob("level", level))
        desktop.step()
        pictures.append(hand.picture()[:, :400])
        assert desktop.session.state.level == pytest.approx(level, abs=0.006)
        assert desktop.plotter.render_window.GetMultiSamples() == 0
    for one, other in itertools.pairwise(pictures):
        assert differ(one, other)
    hand.mouse("LeftButtonReleaseEvent", *desktop.panel.knob("level", 0.15))
    desktop.step()
    assert desktop.plotter.render_window.GetMultiSamples() > 0
    hand.mouse("MouseMoveEvent", *desktop.panel.knob("level", 0.8))
    desktop.step()
    assert desktop.session.state.level == pytest.approx(0.15, abs=0.006)
    hand.key("z")
    assert desktop.session.state.level == 0.5 and not desktop.session.can_undo


def test_only_the_newest_of_many_moves_is_drawn(desktop: Desktop, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, decode = [], desktop.session.model.decode
    monkeypatch.setattr(desktop.session.model, "decode", lambda z: (drawn.append(1), decode(z))[1])
    strip = desktop.stage.strip
    assert strip is not None
    y = strip._path.place[1] + 5
    hand.mouse("LeftButtonPressEvent", strip.x_of(2), y)
    for i in range(100):
        hand.mouse("MouseMoveEvent", strip.x_of(1.9 - 0.006 * i), y)
    assert not drawn
    desktop.step()
    assert len(drawn) == 1
    assert desktop.session.state.position == pytest.approx(1.306, abs=0.02)
    hand.mouse("MouseMoveEvent", strip.x_of(0.5), y)
    hand.mouse("LeftButtonReleaseEvent", strip.x_of(0.5), y)  # the last move counts, though no step came between
    assert desktop.session.state.position == pytest.approx(0.5, abs=0.02)
    hand.mouse("MouseMoveEvent", -500, y)
    desktop.step()
    assert desktop.session.state.position == pytest.approx(0.5, abs=0.02)


def test_the_knob_on_the_path_stops_at_its_ends_and_at_anchors(desktop: Desktop, hand: Hand) -> None:
    strip = desktop.stage.strip
    assert strip is not None
    y = strip._path.place[1] + 5
    for place, expected in ((-3, 0.0), (0.99, 1.0), (9, 2.0)):
        hand.drag((strip.x_of(1.5), y), (strip.x_of(place), y))
        assert desktop.session.state.position == expected


def test_a_click_on_an_anchor_goes_there(desktop: Desktop, hand: Hand) -> None:
    strip = desktop.stage.strip
    assert strip is not None
    for place, name in enumerate("ABC"):
        x, y = strip.x_of(place), strip._cards[place].place[1] + 20
        assert strip.anchor_at(x, y) == name
        hand.mouse("LeftButtonPressEvent", x, y)
        hand.mouse("LeftButtonReleaseEvent", x, y)
        assert desktop.session.state.position == place
    assert strip.anchor_at(2, 2) is None


def test_every_slider_moves_its_number(desktop: Desktop, hand: Hand) -> None:
    hand.drag(desktop.panel.knob("direction 1", 0), desktop.panel.knob("direction 1", -4))
    hand.keys("bracketright")
    hand.drag(desktop.panel.knob("direction 6", 0), desktop.panel.knob("direction 6", 3))
    hand.keys("minus")
    reach = desktop.session.dimension_reach
    hand.drag(desktop.panel.knob("dimension", 0), desktop.panel.knob("dimension", reach / 2))
    state, last = desktop.session.state, desktop.session.model.config.latent - 1
    assert dict(state.directions) == {1: pytest.approx(-4, abs=0.15), 6: pytest.approx(3, abs=0.15)}
    assert dict(state.dimensions) == {last: pytest.approx(reach / 2, abs=0.02)}
    hand.drag(desktop.panel.knob("direction 6", 3), desktop.panel.knob("direction 6", 0.05))  # sticks to 0
    assert list(desktop.session.state.directions) == [1]
    hand.keys("0")
    assert not desktop.session.state.directions and not desktop.session.state.dimensions


def test_the_mouse_turns_moves_and_zooms(desktop: Desktop, hand: Hand) -> None:
    stage, session = desktop.stage, desktop.session.state
    views = [stage.camera()]
    hand.drag((200, 250), (260, 250))
    views.append(stage.camera())
    assert views[1]["position"][2] == pytest.approx(views[0]["position"][2])
    assert views[1]["position"][0] < views[0]["position"][0]  # what is in front goes along with the mouse
    hand.drag((200, 250), (200, 300))
    views.append(stage.camera())
    assert views[2]["position"][2] < views[1]["position"][2]
    hand.drag((200, 250), (230, 250), shift=True)
    views.append(stage.camera())
    assert views[3]["focal_point"] != views[2]["focal_point"]
    hand.mouse("MouseWheelForwardEvent", 200, 250)
    desktop.step()
    assert stage.camera()["scale"][0] < views[3]["scale"][0]
    hand.keys("r")
    assert stage.camera() == views[0] and desktop.session.state is session


# The keyboard


def test_anchors_come_and_go_by_keys(desktop: Desktop, hand: Hand) -> None:
    hand.keys("n", "n")
    assert anchors(desktop) == "ABCDE" and desktop.session.state.position == 4
    hand.keys("2", "x")
    assert anchors(desktop) == "ACDE" and "B" in desktop.status
    hand.keys("z")
    assert anchors(desktop) == "ABCDE"
    hand.key("y")
    hand.key("z", control=True)
    assert anchors(desktop) == "ABCDE"
    hand.key("y", control=True)
    assert anchors(desktop) == "ACDE"
    hand.keys("E")
    assert desktop.session.state.position == 3
    hand.keys("less", "less")
    assert anchors(desktop) == "AECD" and desktop.session.state.position == 1
    hand.keys("greater", "Right", "Right", "k")
    assert anchors(desktop) == "ACEDB" and desktop.session.anchor("B").origin["kind"] == "kept"
    for missing in ("9", "Q"):
        hand.keys(missing)
        assert desktop.wrong and f"no anchor {missing}" in desktop.status


def test_the_last_anchor_stays(desktop: Desktop, hand: Hand) -> None:
    hand.keys("x", "x", "x")
    assert len(anchors(desktop)) == 1 and desktop.wrong
    hand.keys("space")
    assert desktop.wrong and "no path" in desktop.status and not desktop.playing


def test_classes_are_cycled_or_it_is_said_that_there_are_none(desktop: Desktop, hand: Hand, tmp_path: Path) -> None:
    hand.keys("c")
    assert desktop.wrong and "knows no classes" in desktop.status and anchors(desktop) == "ABC"
    torch.manual_seed(0)
    one = Session(GAN3D(Config(resolution=16, width=4, classes=("chair",))), "chairs", anchors=1)
    other = Desktop(one, off_screen=True, size=SIZE, folder=tmp_path)
    try:
        Hand(other).keys("c", "c")
        assert [a.origin.get("class_name") for a in one.state.anchors][1:] == ["chair", "chair"]
        assert "chair" in other.status
    finally:
        other.close()


def test_displays_and_ways_are_cycled(desktop: Desktop, hand: Hand) -> None:
    pictures = []
    for display in ("voxels", "points", "mesh"):
        hand.keys("m")
        assert desktop.session.state.display == display
        pictures.append(hand.picture())
    assert differ(pictures[0], pictures[1]) and differ(pictures[1], pictures[2]) and differ(pictures[2], pictures[0])
    hand.keys("l")
    assert desktop.session.state.interpolation == "spherical"
    hand.keys("l")
    assert desktop.session.state.interpolation == "linear"
    hand.keys("f")
    assert not desktop.session.state.clean


def test_an_expression_is_typed(desktop: Desktop, hand: Hand) -> None:
    before = hand.picture()
    hand.keys("e")
    assert differ(before, hand.picture())
    hand.keys("A", "minus", "2", "asterisk", "x", "BackSpace", "b")
    hand.key("plus", code="+")
    hand.keys("c")
    assert desktop.entry is not None and desktop.entry[1] == "A-2*b+c"
    hand.keys("Return")
    assert desktop.entry is None and desktop.session.state.expression == "A-2*B+C"
    assert desktop.session.state.mode == "expression"
    assert set(shares(desktop.session.state)) == {"A", "B", "C"}
    hand.keys("x")
    assert desktop.wrong and anchors(desktop) == "ABC"


@pytest.mark.parametrize("text", ["A minus", "A period", "period", "Q", "A asterisk B", "A A"])
def test_an_expression_that_cannot_be_read_stays_to_be_corrected(desktop: Desktop, hand: Hand, text: str) -> None:
    state = desktop.session.state
    hand.keys("e", *text.split(), "Return")
    assert desktop.wrong and "\n" not in desktop.status
    assert desktop.entry is not None and desktop.session.state is state
    hand.keys("Escape")
    assert desktop.entry is None
    hand.keys("e", "q", "Escape", "e", "Return")  # what was typed is forgotten
    assert desktop.wrong and desktop.session.state is state and not desktop.closed


def test_one_number_of_z_is_chosen_and_turned(desktop: Desktop, hand: Hand) -> None:
    hand.keys("d", "1", "7", "Return", "Up", "Up", "Down")
    assert desktop.dimension == 17
    assert desktop.session.state.dimensions[17] == pytest.approx(desktop.session.dimension_reach / 20)
    hand.keys("d", "9", "9", "9", "Return")
    assert desktop.wrong and "expected 0 to 199" in desktop.status and desktop.dimension == 17
    hand.keys("Escape", "plus")
    assert desktop.dimension == 18
    hand.keys(*["Down"] * 25)
    assert desktop.session.state.dimensions[18] == -desktop.session.dimension_reach


def test_help_is_shown_until_the_next_key(desktop: Desktop, hand: Hand) -> None:
    before = hand.picture()
    hand.keys("h")
    helped = hand.picture()
    assert (np.abs(helped - before) > 30).any(2).mean() > 0.03
    hand.keys("h")
    assert np.array_equal(hand.picture(), before)
    hand.keys("question", "Escape")
    assert not desktop.help
    hand.keys("F1", "n")
    assert not desktop.help and anchors(desktop) == "ABCD"
    hand.keys("h")
    hand.mouse("LeftButtonPressEvent", 300, 200)
    assert not desktop.help and not desktop._held


def test_every_key_has_a_command_and_help_tells_all() -> None:
    for command in (*COMMANDS.values(), *WITH_CONTROL.values()):
        assert callable(getattr(Desktop, command))
    told = " ".join(keys for _, lines in HELP for keys, _ in lines)
    signs = {"less": "<", "greater": ">", "Left": "←", "Right": "→", "Up": "↑", "Down": "↓", "bracketleft": "[",
             "bracketright": "]", "plus": "+", "minus": "-", "Escape": "Esc"}  # fmt: skip
    told_of = {command for key, command in COMMANDS.items() if signs.get(key, key) in told.split()}
    assert told_of == set(COMMANDS.values()) - {"show_help"}  # of which the window speaks anyway


def test_keys_of_vtk_do_nothing_of_their_own(desktop: Desktop, hand: Hand) -> None:
    actor = desktop.stage._bodies["mesh"].actor
    for name in ("3", "p", "j", "a", "b", "w", "C", "V", "p"):
        hand.key(name, code=name)
    hand.keys("Escape")
    assert not desktop.closed
    assert actor.GetProperty().GetRepresentationAsString() == "Surface"
    assert not desktop.plotter.render_window.GetStereoRender()
    assert desktop.plotter.iren.interactor.GetInteractorStyle() is None


def test_two_quick_clicks_are_two_clicks(desktop: Desktop, hand: Hand) -> None:
    for _ in range(3):  # PyVista would take the second one for itself, and the mouse away
        hand.drag(desktop.panel.knob("level", 0.5), desktop.panel.knob("level", 0.5))
    hand.drag(desktop.panel.knob("level", 0.5), desktop.panel.knob("level", 0.7))
    assert desktop.session.state.level == pytest.approx(0.7, abs=0.01)


def test_no_row_of_keys_and_clicks_breaks_it(desktop: Desktop, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop_files, "_TURNTABLES", {".gif": (2, (32, 32)), ".mp4": (2, (32, 32))})
    rng = np.random.default_rng(7)
    keys = [key for key in (*COMMANDS, *"123ABCZ", "Return", "BackSpace", "F5", "") if key != "q"]
    events = ("LeftButtonPressEvent", "RightButtonPressEvent", "MouseMoveEvent", "MouseMoveEvent",
              "LeftButtonReleaseEvent", "MouseWheelBackwardEvent", "ExposeEvent")  # fmt: skip
    for _ in range(250):
        if rng.random() < 0.5:
            hand.key(str(rng.choice(keys)), control=rng.random() < 0.1)
        else:
            hand.mouse(str(rng.choice(events)), *rng.integers(-20, 660, 2), shift=rng.random() < 0.2)
        assert not desktop.closed and "\n" not in desktop.status
    desktop.pause()
    desktop.finish()
    assert anchors(desktop) and np.isfinite(desktop.session.latent()).all()


def test_playing_walks_to_and_fro_and_is_one_step(desktop: Desktop, hand: Hand) -> None:
    hand.keys("1", "space")
    places = []
    for _ in range(12):
        desktop._last_frame -= 0.2
        desktop.played += 0.3
        desktop.step()
        places.append(desktop.session.state.position)
    steps = np.diff(places)
    assert (steps > 0).any() and (steps < 0).any() and max(places) <= 2
    hand.keys("space")
    assert not desktop.playing
    hand.keys("z")
    assert desktop.session.state.position == 0
    hand.keys("space", "n")
    assert not desktop.playing and anchors(desktop) == "ABCD"


# What is seen


def test_no_surface_is_said_and_nothing_breaks(desktop: Desktop, hand: Hand) -> None:
    hand.drag(desktop.panel.knob("level", 0.5), desktop.panel.knob("level", 0.98))
    assert desktop.stage.message.startswith("no surface at this level")
    empty = hand.picture()
    hand.keys("m", "m", "o", "s")
    assert (desktop.folder / "voxgan_001.png").exists()
    hand.keys("o")
    assert desktop.wrong and not (desktop.folder / "voxgan_001.obj").exists()
    hand.keys("z", "z", "z")
    assert desktop.stage.message == "" and differ(hand.picture(), empty)


def test_all_anchors_have_their_place(desktop: Desktop, hand: Hand) -> None:
    for _ in range(MAX_ANCHORS - 3):
        desktop.do("add_random")
    hand.keys("n")
    assert desktop.wrong and f"{MAX_ANCHORS} anchors" in desktop.status
    strip = desktop.stage.strip
    assert strip is not None
    places = [card.place for card in strip._cards]
    assert len(places) == MAX_ANCHORS and places[0][0] >= 0 and places[-1][2] <= SIZE[0]
    assert all(one[2] <= other[0] + 1 for one, other in itertools.pairwise(places))


def test_the_anchors_on_the_way_stand_out(desktop: Desktop, hand: Hand) -> None:
    strip = desktop.stage.strip
    assert strip is not None
    hand.keys("1")
    one = hand.picture()
    hand.keys("2")
    other = hand.picture()
    for place, changes in enumerate((True, True, False)):
        left, bottom, right, top = strip._cards[place].place
        rows = slice(SIZE[1] - top, SIZE[1] - bottom)
        assert (np.abs(one - other)[rows, left:right] > 30).any() == changes


@pytest.mark.parametrize("size", [(480, 320), (1280, 800), (900, 1200)])
def test_everything_fits_whatever_the_size_of_the_window(desktop: Desktop, hand: Hand, size: tuple[int, int]) -> None:
    desktop.plotter.render_window.SetSize(*size)
    hand.keys("h")
    strip, words = desktop.stage.strip, desktop._words
    assert strip is not None
    cards = [desktop.panel._paper, strip._path, *strip._cards, words._title, words._status, words._help]
    for card in cards:
        left, bottom, right, top = card.place
        assert 0 <= left < right <= size[0] + 1 and 0 <= bottom < top <= size[1] + 1
    assert desktop.panel._paper.place[1] > strip._path.place[3]
    assert words._title.place[2] <= desktop.panel._paper.place[0]


# Files


def test_what_is_seen_is_written_and_nothing_is_written_over(desktop: Desktop, hand: Hand, tmp_path: Path) -> None:
    hand.keys("s", "s", "o", "i", "g", "w", "w")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "voxgan_001.glb", "voxgan_001.json", "voxgan_001.obj", "voxgan_001.png", "voxgan_001.stl",
        "voxgan_002.json", "voxgan_002.png",
    ]  # fmt: skip
    assert "voxgan_002.json" in desktop.status and not desktop.wrong
    with Image.open(tmp_path / "voxgan_001.png") as image:
        assert image.size == SIZE
    for name in ("voxgan_001.obj", "voxgan_001.stl", "voxgan_001.glb"):
        mesh = trimesh.load_mesh(tmp_path / name)
        assert mesh.is_watertight and len(mesh.faces) > 100
    content = json.loads((tmp_path / "voxgan_001.json").read_text())
    assert content["camera"] == desktop.stage.camera()


def test_turntables_are_written_while_the_window_goes_on(
    desktop: Desktop, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop_files, "_TURNTABLES", {".gif": (5, (64, 48)), ".mp4": (5, (64, 48))})
    hand.keys("t")
    assert "picture 1 of 5" in desktop.progress
    hand.keys("n")
    assert anchors(desktop) == "ABCD"
    hand.keys("v")
    assert desktop.wrong and "busy" in desktop.status
    desktop.finish()
    assert "voxgan_001.gif" in desktop.status
    with Image.open(tmp_path / "voxgan_001.gif") as image:
        assert (image.size, image.n_frames) == ((64, 48), 5)
    hand.keys("t")
    desktop.step()
    hand.keys("Escape")
    assert desktop.task is None and desktop.status == "stopped"
    assert [path.name for path in tmp_path.iterdir()] == ["voxgan_001.gif"]
    pytest.importorskip("imageio_ffmpeg")
    hand.keys("v")
    desktop.finish()
    assert (tmp_path / "voxgan_001.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_folder_that_cannot_be_written_to_is_said(desktop: Desktop, hand: Hand, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    desktop.folder = tmp_path / "file"
    state = desktop.session.state
    for key in ("s", "o", "w"):
        hand.keys(key)
        assert desktop.wrong and "\n" not in desktop.status and "file" in desktop.status
    assert desktop.session.state is state


def test_a_saved_session_comes_back_when_it_is_dropped(
    desktop: Desktop, hand: Hand, gan: GAN3D, tmp_path: Path
) -> None:
    hand.keys("n", "Left", "Left", "m")
    hand.drag((200, 250), (260, 280))
    hand.keys("w")
    saved, camera, picture = desktop.session.state, desktop.stage.camera(), hand.picture()
    other = Desktop(Session(gan, "small", seed=99), off_screen=True, size=SIZE, folder=tmp_path)
    try:
        other_hand = Hand(other)
        other_hand.drop(tmp_path / "voxgan_001.json")
        other.finish()
        assert other.session.state == saved and other.stage.camera() == camera
        assert "voxgan_001.json" in other.status
        seen = other_hand.picture()[:-20]  # but for the status line
        assert (np.abs(seen - picture[:-20]) > 30).any(2).mean() < 0.001
        other_hand.keys("z")
        assert other.session.state.anchors[0].origin["seed"] == 99
    finally:
        other.close()


def test_files_that_cannot_be_used_are_said_and_the_session_stays(desktop: Desktop, hand: Hand, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "faceless.obj").write_text("v 0 0 0\nv 1 0 0\n")
    (tmp_path / "notes.txt").write_text("what is this")
    (tmp_path / "other.json").write_text("{}")
    state = desktop.session.state
    for name, words in (
        ("photo.png", "no image encoder"),
        ("broken.png", "broken.png"),
        ("faceless.obj", "faceless.obj"),
        ("notes.txt", "notes.txt"),
        ("other.json", "no session"),
        ("missing.stl", "missing.stl"),
    ):
        hand.drop(tmp_path / name)
        desktop.finish()
        assert desktop.wrong and words in desktop.status and "\n" not in desktop.status
        assert desktop.session.state is state and desktop.task is None


def test_a_photo_becomes_an_anchor_where_the_model_can(tmp_path: Path) -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[20:50, 20:44] = (150, 90, 40)
    Image.fromarray(picture).save(tmp_path / "stool.png")
    torch.manual_seed(0)
    session = Session(VAEGAN3D(VAEGANConfig(resolution=16, width=4)), "small")
    desktop = Desktop(session, off_screen=True, size=SIZE, folder=tmp_path)
    try:
        desktop.open([tmp_path / "stool.png"])
        desktop.finish()
        assert [a.label for a in session.state.anchors][3:] == ["stool.png"] and not desktop.wrong
    finally:
        desktop.close()


def test_a_mesh_is_looked_for_beside_the_window_and_escape_stops_it(
    desktop: Desktop, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimesh.creation.box((1, 1, 2)).export(tmp_path / "box.stl")
    found = np.full(desktop.session.model.config.latent, 0.25, np.float32)
    wait = {"seconds": 0.02}

    def fit(occupancy: NDArray[Any], report: Callable[[int, int], None]) -> tuple[NDArray[np.float32], float]:
        assert occupancy.shape == (16, 16, 16)
        for i in range(50):
            report(i, 50)
            time.sleep(wait["seconds"])
        return found, 0.75

    monkeypatch.setattr(desktop.session, "fit", fit)
    state = desktop.session.state
    wait["seconds"] = 0.5
    hand.drop(tmp_path / "box.stl")
    while "latent space, " not in desktop.progress:
        desktop.step()
    assert desktop.session.state is state
    hand.keys("2")  # the window listens
    assert desktop.session.state.position == 1
    began = time.monotonic()
    hand.keys("Escape")
    assert time.monotonic() - began < 1 and desktop.task is None and anchors(desktop) == "ABC"
    wait["seconds"] = 0.001
    hand.drop(tmp_path / "box.stl")
    desktop.finish()
    assert anchors(desktop) == "ABCD" and "IoU 0.75" in desktop.status
    assert np.array_equal(desktop.session.latent(), found)


def test_a_mesh_becomes_the_nearest_shape(desktop: Desktop, tmp_path: Path) -> None:
    trimesh.creation.box((1, 1, 2)).export(tmp_path / "box.stl")
    desktop.open([tmp_path / "box.stl"])
    desktop.finish()
    assert not desktop.wrong, desktop.status
    assert desktop.session.anchor("D").label == "box.stl" and "IoU" in desktop.status


# The window itself


def test_view_opens_one_window_and_closes_it(gan: GAN3D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Desktop] = []

    def off_screen(session: Session) -> Desktop:
        made.append(Desktop(session, off_screen=True, size=SIZE, folder=tmp_path))
        return made[-1]

    def one_step(self: Desktop) -> bool:
        step(self)
        self.do("quit")
        return True

    step = Desktop.step
    monkeypatch.setattr(Desktop, "step", one_step)
    monkeypatch.setattr(scene, "has_screen", lambda: True)
    monkeypatch.setattr(desktop_window, "Desktop", off_screen)
    view(gan, seed=4, level=0.4)
    assert made[0].closed and made[0].plotter._closed
    assert made[0].session.state.level == 0.4 and made[0].session.seed == 4
    path = made[0].session.save(tmp_path / "session.json")
    monkeypatch.setattr("voxgan.load", lambda name: gan)
    view(session=path)
    assert made[1].session.state == made[0].session.state and made[1].closed
    with pytest.raises(StorageError):
        view(session=tmp_path / "none.json")


def test_the_window_is_closed_even_after_an_error(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desktop, "step", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        desktop.run()
    assert desktop.closed and desktop.plotter._closed


def test_without_a_screen_the_page_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "has_screen", lambda: False)
    with pytest.raises(UsageError, match=r"voxgan view --web") as caught:
        view("furniture")
    assert "\n" not in str(caught.value)


def test_an_error_of_the_network_does_not_end_the_window(
    desktop: Desktop, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(z: torch.Tensor) -> None:
        raise InputError("occupancy holds NaN or infinity")

    monkeypatch.setattr(desktop.session.model, "decode", fails)
    hand.keys("Left", "s")
    assert desktop.stage.message.startswith("occupancy holds NaN") and list(desktop.folder.iterdir())
