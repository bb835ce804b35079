"""The page end to end, in headless Chromium."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browsing import Opened
from PIL import Image

from voxgan.models.model import Model

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from viewer.web import Running


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.full((120, 100, 3), 255, np.uint8)
    pixels[30:100, 25:75] = (150, 90, 40)
    Image.fromarray(pixels).save(tmp_path / "my <b>photo.png")
    return tmp_path / "my <b>photo.png"


def drop(opened: Opened, path: Path) -> None:
    """Drag a file over the page and let it go."""
    transfer = opened.page.evaluate_handle(
        "([bytes, name]) => { const all = new DataTransfer();"
        " all.items.add(new File([new Uint8Array(bytes)], name)); return all; }",
        [list(path.read_bytes()), path.name],
    )
    for kind in ("dragenter", "dragover"):
        opened.page.dispatch_event("#shape", kind, {"dataTransfer": transfer})
    assert opened.page.locator(".vx-drop").is_visible()
    opened.page.dispatch_event("#shape", "drop", {"dataTransfer": transfer})
    assert not opened.page.locator(".vx-drop").is_visible()


def move_slider(opened: Opened, name: str, share: float) -> None:
    """Drag a slider's thumb by a share of its track."""
    thumb = opened.page.get_by_role("slider", name=name)
    track = thumb.locator("xpath=ancestor::*[contains(@class, 'v-slider__container')]").bounding_box()
    box = thumb.bounding_box()
    assert track is not None and box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    opened.page.mouse.move(x + 0.5 * share * track["width"], y, steps=4)
    opened.page.mouse.move(x + share * track["width"], y, steps=4)
    opened.page.mouse.up()


def names(opened: Opened) -> list[str]:
    return [anchor["name"] for anchor in opened.state("anchors")]


def test_a_slider_moves_the_shape_and_undo_moves_it_back(opened: Opened) -> None:
    before = opened.picture()
    assert opened.state("position") == 0
    move_slider(opened, "Position on the path", 0.25)
    opened.until("position", "Math.abs(value - 0.5) < 0.05")
    opened.until_other_picture(before)
    assert opened.page.get_by_text("A → B, 5").is_visible()
    opened.page.get_by_label("Undo").click()
    opened.until("position", "value === 0")
    opened.until_same_picture(before)
    assert not opened.state("can_undo")
    opened.page.get_by_label("Redo").click()
    opened.until("position", "Math.abs(value - 0.5) < 0.05")


def test_level_directions_and_single_numbers_have_sliders(opened: Opened) -> None:
    before = opened.picture()
    move_slider(opened, "Level", 0.45)
    opened.until("level", "value > 0.9")
    opened.until_other_picture(before)
    opened.page.get_by_role("tab", name="Explore").click()
    before = opened.picture()
    move_slider(opened, "Direction 1", 0.4)
    opened.until("direction_0", "value > 5")
    opened.until_other_picture(before)
    opened.page.get_by_role("spinbutton", name="Number").fill("17")
    opened.page.keyboard.press("Tab")
    opened.until("dimension_index", "value === 17")
    field = opened.page.get_by_role("spinbutton", name="Number")
    for wrong in ("999", "-3", "1.5", ""):
        field.fill(wrong)
        opened.page.keyboard.press("Tab")
        opened.page.wait_for_function("document.querySelector('.vx-index input').value === '17'")
    move_slider(opened, "Number 17", 0.5)
    opened.until("moved", "value.length === 1 && value[0].index === 17 && value[0].value === 6")
    opened.page.get_by_label("Put all sliders back to 0").click()
    opened.until("sliders_moved", "value === false")
    assert opened.state("direction_0") == opened.state("dimension_value") == 0


def test_a_photo_becomes_an_anchor_and_its_name_stays_text(opened: Opened, photo: Path) -> None:
    before = opened.picture()
    drop(opened, photo)
    opened.until("anchors", "value.length === 4")
    opened.until_other_picture(before)
    anchor = opened.state("anchors")[3]
    assert anchor["kind"] == "photo" and anchor["label"] == "my <b>photo.png"
    assert opened.page.locator(".vx-photo").count() == 1
    assert opened.page.get_by_text("my <b>photo.png").first.is_visible()
    assert opened.page.locator("b", has_text="photo").count() == 0


def test_files_that_come_together_are_taken_one_after_the_other(opened: Opened, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    opened.page.set_input_files("#file", [photo, tmp_path / "bad.png", photo])
    opened.until("anchors", "value.length === 5")
    opened.until("alert", "value.includes('bad.png')")
    opened.page.set_input_files("#file", [tmp_path / "bad.png"] * 9)
    opened.until("alert", "value.includes('9 files came; only the first 8 were taken')")
    assert len(names(opened)) == 5


def test_the_knob_stays_in_sight_among_many_anchors(opened: Opened) -> None:
    def is_seen(name: str) -> None:
        opened.page.wait_for_function(
            """name => [`[data-anchor=${name}]`, ".v-slider-thumb"].map(one => document.querySelector(one)).every(
              one => { const [box, frame] = [one, one?.closest('.vx-track')].map(x => x?.getBoundingClientRect());
                return box && box.left >= frame.left && box.right <= frame.right; })""",
            arg=name,
        )

    opened.page.set_viewport_size({"width": 900, "height": 700})
    for count in range(4, 13):
        opened.page.get_by_label("Keep what is shown as an anchor").click()
        opened.until("anchors", f"value.length === {count}")
    is_seen("L")
    opened.page.keyboard.press("1")
    opened.until("position", "value === 0")
    is_seen("A")
    opened.page.evaluate("window.trame.trigger('walk', [11])")
    is_seen("L")
    opened.page.reload()
    opened.ready()
    is_seen("L")


def test_sums_of_anchors(opened: Opened) -> None:
    before = opened.picture()
    field = opened.page.get_by_label("Sum of anchors")
    field.fill("A − B + C")
    field.press("Enter")
    opened.until("mode", "value === 'expression'")
    opened.until_other_picture(before)
    opened.page.get_by_label("Keep what is shown as an anchor").click()
    opened.until("anchors", "value.length === 4 && value[3].label === 'A - B + C'")


def test_a_sum_that_does_not_parse_is_said_beside_the_field_and_changes_nothing(opened: Opened) -> None:
    field = opened.page.get_by_label("Sum of anchors")
    field.fill("A +* B")
    opened.until("expression_error", "value.includes('cannot read')")
    assert opened.page.locator(".vx-expression").get_by_text("cannot read").is_visible()
    opened.until("announcement", "value === ''")
    field.press("Enter")
    opened.page.get_by_label("Keep what is shown as an anchor").click()  # it is answered after the sum
    opened.until("anchors", "value.length === 4")
    opened.page.get_by_label("Undo").click()
    opened.until("anchors", "value.length === 3")
    assert "cannot read" in opened.page.locator(".vx-expression [role=alert]").inner_text()
    assert opened.page.locator(".vx-alert [role=alert]").count() == 0
    assert opened.state("mode") == "path" and not opened.state("can_undo")
    field.fill("A - B")
    opened.until("expression_error", "value === ''")


def test_the_gallery_gives_anchors(opened: Opened) -> None:
    opened.page.get_by_role("tab", name="Gallery").click()
    opened.until("gallery", "value.items.length === 12 && !value.loading")
    first = opened.state("gallery")["items"][0]
    opened.page.get_by_label(f"Add {first['label']} as an anchor").click()
    opened.until("anchors", f"value.length === 4 && value[3].label === '{first['label']}'")
    opened.page.get_by_label("Next page").click()
    opened.until("gallery", "value.page === 1 && value.items.length === 12")
    assert first["seed"] not in [item["seed"] for item in opened.state("gallery")["items"]]


def test_anchors_are_shown_moved_and_removed(opened: Opened) -> None:
    opened.page.get_by_label("Anchor A, ").click()
    opened.until("position", "value === 0")
    opened.page.locator(".vx-shown [data-anchor=A]").wait_for()
    opened.page.get_by_label("Anchor A: move").click()
    opened.page.get_by_text("Move right").click()
    opened.until("anchors", "value.map(a => a.name).join('') === 'BAC'")
    opened.page.locator("[data-anchor=C]").focus()
    opened.page.keyboard.press("Delete")
    opened.until("anchors", "value.map(a => a.name).join('') === 'BA'")
    for _ in range(2):
        opened.page.keyboard.press("x")
    opened.until("alert", "value.includes('only anchor')")
    assert len(names(opened)) == 1


def test_other_ways_to_look(opened: Opened) -> None:
    before = opened.picture()
    for kind in ("Voxels", "Points"):
        opened.page.get_by_label(kind).click()
        opened.until("display", f"value === '{kind.lower()}'")
        opened.until("description", f"value.includes('{kind.lower()}')")
    opened.page.get_by_label("Surface", exact=True).click()
    opened.until_same_picture(before)
    box = opened.page.locator("#shape").bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + 300, box["y"] + 200)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 420, box["y"] + 230, steps=5)
    opened.page.mouse.up()
    opened.until_other_picture(before)
    opened.until("description", "!value.includes('the front right')")
    opened.page.get_by_label("First view").click()
    opened.until_same_picture(before)
    opened.page.mouse.wheel(0, -400)
    opened.until_other_picture(before)


def test_downloads_are_what_is_seen(opened: Opened, tmp_path: Path) -> None:
    import trimesh

    with opened.page.expect_download() as download:
        opened.page.get_by_label("Download the shape as STL").click()
    assert download.value.suggested_filename == "small-A.stl"
    download.value.save_as(tmp_path / "shape.stl")
    mesh = trimesh.load_mesh(tmp_path / "shape.stl")
    assert mesh.is_watertight and abs(mesh.extents.max() - 100) < 1e-3 and abs(mesh.bounds[0, 2]) < 1e-3
    opened.page.get_by_role("tab", name="Files").click()
    for label, suffix, start in (("Download a picture (PNG)", "png", b"\x89PNG"), ("Download OBJ", "obj", b"")):
        with opened.page.expect_download() as download:
            opened.page.get_by_label(label).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == f".{suffix}" and path.read_bytes().startswith(start)


def test_a_session_is_saved_and_goes_on_in_another_browser(opened: Opened, another: Opened, tmp_path: Path) -> None:
    opened.page.get_by_label("Add a random anchor").click()
    opened.until("anchors", "value.length === 4")
    opened.page.get_by_label("Show 2*A - B").click()
    opened.until("mode", "value === 'expression'")
    with opened.page.expect_download() as download:
        opened.page.keyboard.press("Control+s")
    path = tmp_path / "session.json"
    download.value.save_as(path)
    assert json.loads(path.read_text())["expression"] == "2*A - B"
    another.page.set_input_files("#file", path)
    another.until("expression", "value === '2*A - B'")
    another.until("anchors", "value.length === 4")
    another.until_same_picture(opened.picture())


@pytest.fixture
def another(opened: Opened) -> Iterator[Opened]:
    """The page in a second browser."""
    browser = opened.page.context.browser
    assert browser is not None
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield Opened(context.new_page(), opened.url).begin()
    context.close()


def test_two_visitors_see_only_their_own(opened: Opened, another: Opened) -> None:
    assert opened.page.url != another.page.url
    opened.page.get_by_label("Keep what is shown").click()
    opened.until("anchors", "value.length === 4")
    before = another.picture()
    another.page.get_by_label("Anchor B, ").click()
    another.until_other_picture(before)
    assert names(another) == ["A", "B", "C"] and opened.state("position") == 3


def test_a_reload_goes_on_with_the_session(opened: Opened) -> None:
    opened.page.get_by_label("Anchor B, ").click()
    opened.until("position", "value === 1")
    opened.page.get_by_label("Voxels").click()
    opened.until("display", "value === 'voxels'")
    opened.until("description", "value.includes('voxels')")
    before = opened.picture()
    opened.page.reload()
    opened.ready()
    assert opened.state("position") == 1 and opened.state("display") == "voxels" and opened.state("can_undo")
    opened.until_same_picture(before)


BAD_FILES = {
    "a text.png": (b"no picture", "no picture that can be read"),
    "no faces.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "faces"),
    "else.json": (b"{}", "no session"),
    "else.exe": (b"MZ", "cannot be read here"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_said_on_the_page(opened: Opened, tmp_path: Path, name: str) -> None:
    content, words = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    opened.page.set_input_files("#file", tmp_path / name)
    opened.until("alert", "value !== ''")
    said = opened.page.locator(".vx-alert [role=alert]").inner_text()
    assert opened.page.get_by_label("Close the message").is_visible()
    assert words in said and len(said) < 300
    assert names(opened) == ["A", "B", "C"] and not opened.state("can_undo") and opened.state("work") is None


def test_a_model_that_takes_no_photos_says_so(opened: Opened, photo: Path) -> None:
    opened.page.locator(".vx-model").click()
    opened.page.get_by_role("option", name="plain").click()
    opened.until("model", "value === 'plain'")
    opened.ready()
    assert opened.page.get_by_label("Add an anchor from a photo").count() == 0
    opened.page.set_input_files("#file", photo)
    opened.until("alert", "value.includes('no image encoder')")
    assert names(opened) == ["A", "B", "C"]


def test_a_phone_shows_all_of_it(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 360, "height": 740})
    page = opened.page
    for tab in ("Shape", "Explore", "Gallery", "Files"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        cut = page.evaluate(
            """() => [...document.querySelectorAll('.vx button, .vx input, .vx output, .vx h2')].filter(one => {
              const box = one.getBoundingClientRect();
              return one.checkVisibility() && box.width > 1 && !one.closest('.vx-track')
                && (box.left < 0 || box.right > innerWidth);
            }).map(one => one.outerHTML.slice(0, 120))"""
        )
        assert not cut
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    box = page.locator("#shape").bounding_box()
    assert box is not None and box["y"] >= 0 and box["height"] >= 220


def test_everything_has_a_name(opened: Opened) -> None:
    page = opened.page
    page.get_by_label("Help and keyboard shortcuts").click()
    page.get_by_label("Close the help").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Gallery").click()
    opened.until("gallery", "value.items.length === 12")
    nameless = []
    for role in ("button", "slider", "textbox", "spinbutton", "combobox", "checkbox", "switch", "tab", "img"):
        for one in page.get_by_role(role, include_hidden=False).all():  # type: ignore[arg-type]
            if not one.get_attribute("aria-label") and not one.inner_text().strip():
                labelled = one.evaluate("one => Boolean(one.labels?.length || one.getAttribute('aria-labelledby'))")
                if not labelled:
                    nameless.append(one.evaluate("one => one.outerHTML.slice(0, 200)"))
    assert not nameless
    assert page.evaluate("document.documentElement.lang") == "en"
    described = page.get_by_role("img", name="Shape at A")
    assert "wide" in (described.get_attribute("aria-label") or "")
    assert page.locator("[aria-live=polite]").count() == 1


def test_everything_can_be_done_with_keys(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "vx-skip"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    opened.until("anchors", "value.length === 4")
    page.keyboard.press("1")
    opened.until("position", "value === 0")
    page.keyboard.press("ArrowRight")
    opened.until("position", "value === 0.05")
    page.keyboard.press("k")
    opened.until("anchors", "value.length === 5")
    opened.until("announcement", "value.startsWith('E added')")
    page.keyboard.press("Control+z")
    opened.until("anchors", "value.length === 4")
    page.keyboard.press("m")
    opened.until("display", "value === 'voxels'")
    before = opened.picture()
    page.locator("#shape").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    opened.until_other_picture(before)
    page.get_by_role("slider", name="Level").focus()
    page.keyboard.press("ArrowRight")
    opened.until("level", "value > 0.505 && value < 0.515")
    page.keyboard.press("Shift+?")
    page.get_by_label("Close the help").wait_for()
    page.get_by_label("Single letters are shortcuts").uncheck()
    page.get_by_label("Close the help").click()
    page.keyboard.press("n")
    page.keyboard.press("Control+z")
    opened.until("level", "value === 0.5")
    assert len(names(opened)) == 4


def test_playing_walks_to_and_fro(opened: Opened) -> None:
    opened.page.get_by_label("Play the path").click()
    opened.until("position", "value > 0.3")
    opened.page.get_by_label("Pause").click()
    opened.until("playing", "value === false")
    opened.page.get_by_label("Undo").click()
    opened.until("position", "value === 0")
    assert not opened.state("can_undo")


def test_two_tabs_of_a_visitor_show_the_same(opened: Opened) -> None:
    second = Opened(opened.page.context.new_page(), opened.page.url).begin()
    move_slider(second, "Position on the path", 0.5)
    opened.until("position", "Math.abs(value - 1) < 0.05")
    opened.page.get_by_label("Voxels").click()
    second.until("display", "value === 'voxels'")
    second.page.close()
    opened.page.get_by_label("Points").click()
    opened.until("description", "value.includes('points')")
    assert not second.faults


def test_fingers_turn_and_pinch(browser: Browser, page_server: Running) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    opened = Opened(context.new_page(), page_server.url).begin()
    device = context.new_cdp_session(opened.page)

    def touch(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for way in ([(180, 200)], [(240, 210)]), ([(150, 200), (210, 200)], [(110, 200), (250, 200)]):
        before = opened.picture()
        touch("touchStart", *way[0])
        touch("touchMove", *way[0])
        touch("touchMove", *way[1])
        touch("touchEnd")
        opened.until_other_picture(before)
        opened.until("description", "value !== ''")
    assert opened.page.evaluate("[window.scrollY, visualViewport.scale]") == [0, 1]
    assert not opened.faults
    context.close()


def test_it_comes_back_after_the_connection_was_gone(browser: Browser, models: dict[str, Model]) -> None:
    from viewer.web import start_in_background

    running = start_in_background(models)
    page = browser.new_page()
    opened = Opened(page, running.url).begin()
    running.stop()
    page.get_by_text("The connection is gone").wait_for()
    again = start_in_background(models, port=int(running.url.rstrip("/").rpartition(":")[2]))
    try:
        page.get_by_text("Begin a new session").click()
        opened.ready()
    finally:
        page.close()
        again.stop()
