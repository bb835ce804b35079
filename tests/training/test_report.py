from __future__ import annotations

import dataclasses
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from voxgan import models
from voxgan.errors import CheckpointError, StorageError
from voxgan.training.options import resolve, split_options
from voxgan.training.report import write_report
from voxgan.training.report_curves import Curve, Figure, draw, number, thin
from voxgan.training.report_samples import choose, embed

VOID = {"meta", "img", "br", "path", "circle"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def curves(self) -> list[str]:
        return re.findall(r"^(.*?) by step", "\n".join(str(svg["aria-label"]) for svg in self.all("svg")), re.MULTILINE)


def config(**changes: Any) -> dict[str, Any]:
    options = {"steps": 400, "batch": 4, "average": 0.995}
    facts = {
        "preset": "gan3d",
        "data": "/data/chairs.h5",
        "options": options,
        "machine": "a fine GPU",
        "torch": "2.13",
    }
    return {
        "format": "voxgan-model",
        "version": 1,
        "model": "gan3d",
        "config": {"resolution": 16, "width": 4, "gate": 0.8, "classes": ["chair", "table"]},
        "weights": None,
        "training": {**facts, **changes},
    }


def line(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "discriminator.total": 1 + 0.3 * np.sin(step),
        "discriminator.moved": float(step % 3 > 0),
        "discriminator.gradient": 3.0 if step % 3 else None,
        "accuracy": 0.5 + 0.4 * float(np.sin(step) ** 2),
        "generator.total": 1.5,
        "generator.moved": 1.0,
        "generator.gradient": 2.0,
        "occupied": 0.1,
        "real_occupied": 0.12,
        "spread": 0.8,
        "shapes_per_s": 8.0,
        "memory_gb": 1.25,
        "sound": 1.0,
    }


def make_run(
    folder: Path, lines: list[dict[str, Any]], events: list[dict[str, Any]] | None = None, **facts: Any
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(**facts)))
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    if events is not None:
        (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def page(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def event(step: int, kind: str, text: str = "") -> dict[str, Any]:
    return {"step": step, "kind": kind, "text": text, "time": "2026-05-01T10:00:00+00:00"}


def save_picture(path: Path, size: tuple[int, int] = (64, 16)) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)


def test_steps_that_were_skipped_do_not_count_as_gated(tmp_path: Path) -> None:
    lines = [line(step) | {"discriminator.moved": 1.0} for step in range(1, 101)]
    for place in range(40, 90):
        lines[place] |= {"discriminator.moved": 0.0, "sound": 0.0}
    assert "D learned in every step." in page(make_run(tmp_path / "run", lines)).text


def test_what_a_page_of_a_short_or_changed_run_says(tmp_path: Path) -> None:
    lines = [line(step) for step in range(1, 101)]
    events = [event(0, "started"), event(60, "resumed", "from step 60 on a processor, steps 60 → 100")]
    seen = page(make_run(tmp_path / "run", lines, [*events, event(100, "finished")])).text
    assert "options were changed at step 60" in seen and "warnings 0 from step 300 on" in seen
    seen = page(
        make_run(tmp_path / "other", lines, [events[0], event(60, "resumed", "from step 60 on a processor")])
    ).text
    assert "options were changed" not in seen


def test_a_whole_run(tmp_path: Path) -> None:
    events = [event(0, "started"), event(310, "warning", "empty & sad"), event(400, "finished")]
    run = make_run(tmp_path / "chairs", [line(step) for step in range(1, 401)], events)
    for step in range(20, 401, 20):
        save_picture(run / "samples" / f"{step:08d}.png")
    seen = page(run)
    assert "Finished, step 400 of 400" in seen.text
    assert "gan3d at 16³, width 4, trained on chairs.h5: chair, table" in seen.text
    assert seen.curves == [
        "Loss",
        "Accuracy of D",
        "Gate",
        "Gradient norm",
        "Filled voxels",
        "Spread of samples",
        "Speed",
        "Memory",
    ]
    assert (
        "gate at 80%" in seen.text
        and "D learned in 67% of all steps; its gate was shut for at most 1 step." in seen.text
    )
    assert "step 310 warning 2026-05-01 10:00:00 UTC empty & sad" in seen.text
    assert "a fine GPU" in seen.text and "preset: 10000" in seen.text  # steps is another than the preset's
    assert "time in steps 3 min 20 s whole run" in seen.text  # 400 steps of 4 at 8 a second
    again = (
        "voxgan train gan3d /data/chairs.h5 --out chairs-again width=4 gate=0.8 classes=chair,table steps=400 batch=4"
    )
    assert again in seen.text
    pictures = seen.all("img")
    assert len(pictures) == 12 and all(str(p["src"]).startswith("data:image/png;base64,") for p in pictures)
    assert pictures[0]["alt"] == "Step 20: shapes from fixed noise" and str(pictures[-1]["alt"]).startswith("Step 400:")
    assert pictures[0]["width"] == "64" and pictures[0]["height"] == "16"


def test_what_a_loss_brings_along_is_not_in_the_command(tmp_path: Path) -> None:
    kind = models.find("gan3d")
    _, merged, _ = resolve("gan3d_gated", {"adversarial": "wasserstein", "clip": 0.02, "network": "residual"})
    made = dataclasses.asdict(split_options(kind, merged)[0])
    run = make_run(tmp_path / "run", [line(1)])
    content = json.loads((run / "config.json").read_text())
    content["training"]["preset"] = "gan3d_gated"
    (run / "config.json").write_text(json.dumps(content | {"config": made}))
    assert "--out run-again network=residual adversarial=wasserstein clip=0.02 steps=400 batch=4" in page(run).text


def test_nothing_is_fetched_and_nothing_needs_a_script(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line(step) for step in range(1, 50)])
    text = write_report(run).read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|https?://""", text)
    (policy,) = [m["content"] for m in Page(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and "default-src 'none'" in policy
    shown = Page(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert "Accuracy of D" in shown.text and "prefers-color-scheme: dark" in text and "@media print" in text
    for svg in shown.all("svg"):
        assert svg["role"] == "img" and "lowest" in str(svg["aria-label"])


def test_names_are_words_not_tags(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'\x1b[31m"
    run = make_run(
        tmp_path / "<b>run",
        [{**line(1), f"{evil}.total": 1.0, evil: 2.0}],
        [event(1, evil, evil)],
        data=evil,
        machine=evil,
    )
    seen = page(run)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert text.count("<script") == 1 and "\x1b" not in text and not seen.all("b run")
    assert "<script>alert(1)</script>" in seen.text


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_steps(tmp_path: Path, count: int) -> None:
    seen = page(make_run(tmp_path / "run", [line(step) for step in range(1, count + 1)]))
    assert ("The log has no step yet." in seen.text) == (count == 0)
    assert bool(seen.curves) == (count > 0)
    assert "nan" not in (tmp_path / "run" / "report.html").read_text().lower().replace("resonant", "")


def test_no_log_at_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [], step=0)
    (run / "log.jsonl").unlink()
    assert "No figures yet, step 0 of 400" in page(run).text


def test_an_old_log(tmp_path: Path) -> None:
    kept = ("step", "discriminator.total", "accuracy", "discriminator.moved", "generator.total", "generator.moved")
    lines = [{key: value for key, value in line(step).items() if key in kept} for step in range(1, 501)]
    run = make_run(tmp_path / "run", lines)
    seen = page(run)
    assert seen.curves == ["Loss", "Accuracy of D", "Gate"] and "What happened" not in seen.text


def test_signs_are_found_in_a_run_without_events(tmp_path: Path) -> None:
    lines = [{**line(step), "occupied": 0.0001} for step in range(1, 401)]
    seen = page(make_run(tmp_path / "run", lines))
    assert "Found in the log by this report" in seen.text and "step 300 warning the generator makes nearly" in seen.text
    seen = page(make_run(tmp_path / "run", lines, []))
    assert "nearly empty" not in seen.text, "a run that noted its events said nothing of the kind"


def test_damaged_logs(tmp_path: Path) -> None:
    lines = [line(step) for step in range(1, 301)]
    lines[5] = dict.fromkeys(line(6), None) | {"step": 6}
    lines[7]["accuracy"] = "high"
    lines[8]["accuracy"] = [1]
    lines[9]["shapes_per_s"] = 0
    run = make_run(tmp_path / "run", lines)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 301, "generator.to')
    (run / "events.jsonl").write_text('{"step": 3, "kind": 7, "text": null}\n{"step"')
    seen = page(run)
    assert "At step 300 of 400; the last figures are of" in seen.text and len(seen.curves) == 8


def test_stopped_and_diverged(tmp_path: Path) -> None:
    lines = [line(step) for step in range(1, 11)]
    seen = page(make_run(tmp_path / "run", lines, [event(0, "started"), event(10, "stopped", "Ctrl-C")]))
    assert "Stopped at step 10 of 400: Ctrl-C" in seen.text
    bad = [*lines, {**line(11), "generator.total": None, "sound": 0.0}]
    assert "Diverged at step 11 of 400" in page(make_run(tmp_path / "old", bad)).text


@pytest.mark.parametrize(
    ("kinds", "state", "mood"),
    [
        (None, "Finished, step 400 of 400", "good"),
        (["started", "finished"], "Finished, step 400 of 400", "good"),
        (["started", "finished", "warning"], "Finished, step 400 of 400", "good"),
        (["started"], "At step 400 of 400; the last figures are of", "warn"),
        (["started", "stopped"], "Stopped at step 400 of 400: why stopped", "warn"),
        (["started", "stopped", "resumed"], "At step 400 of 400", "warn"),
        (["started", "failed"], "Failed at step 400 of 400: why failed", "bad"),
        (["started", "finished", "resumed", "failed"], "Failed at step 400 of 400: why failed", "bad"),
        (["started", "failed", "resumed", "finished"], "Finished, step 400 of 400", "good"),
    ],
)
def test_the_last_event_decides_how_a_run_stands(
    tmp_path: Path, kinds: list[str] | None, state: str, mood: str
) -> None:
    events = None if kinds is None else [event(400, kind, f"why {kind}") for kind in kinds]
    run = make_run(tmp_path / "run", [line(step) for step in range(1, 401)], events)
    seen = page(run)
    assert state in seen.text and f'class="state {mood}"' in (run / "report.html").read_text(encoding="utf-8")
    assert ("Finished" in seen.text) == state.startswith("Finished")


def test_a_failure_says_its_step_once(tmp_path: Path) -> None:
    seen = page(make_run(tmp_path / "run", [line(1)], [event(1, "failed", "step 1: the losses are not finite")]))
    assert "Failed at step 1 of 400: the losses are not finite" in seen.text


def test_a_failure_is_shown_with_its_text(tmp_path: Path) -> None:
    text = "diverged: " + "what came, what was expected, what to do; " * 20
    run = make_run(tmp_path / "run", [line(1)], [event(0, "started"), event(1, "failed", text)])
    seen = page(run)
    assert seen.text.count(text.strip()) >= 2 and [li for li in seen.all("li") if li.get("class") == "failed"]


@pytest.mark.parametrize(
    ("steps", "which"),
    [
        ([7], "step 7 skipped"),
        ([1, 2, 3, 4, 5], "steps 1–5 skipped"),
        ([1, 2, 3, 5, 1200, 1201], "steps 1–3, 5, 1,200–1,201 skipped"),
        (list(range(1, 60, 2)), "30 steps from 1 to 59 skipped"),
    ],
)
def test_steps_skipped_one_after_the_other_are_one_event(tmp_path: Path, steps: list[int], which: str) -> None:
    events = [event(0, "started"), *(event(step, "skipped", "not finite") for step in steps)]
    seen = page(make_run(tmp_path / "run", [line(step) for step in range(1, 1300)], events))
    assert seen.text.count(" skipped ") == 1 and which in seen.text
    events.insert(2, event(1, "warning", "w"))
    if len(steps) > 1:
        seen = page(make_run(tmp_path / "run", [line(1)], events))
        assert seen.text.count(" skipped ") == 2, "what came between parts them"


def test_a_resume_says_all_that_was_changed(tmp_path: Path) -> None:
    text = "from step 5 on a fine GPU; changed: " + ", ".join(f"option_{i} 1 → 2" for i in range(40))
    seen = page(make_run(tmp_path / "run", [line(1)], [event(5, "resumed", text)]))
    assert text in seen.text


def test_numbers_say_what_they_are_of(tmp_path: Path) -> None:
    lines = [{**line(step), "accuracy": 0.5 if step <= 300 else 0.7} for step in range(1, 401)]
    for step, score in ((100, 0.2), (200, 0.31), (300, 0.25)):
        lines[step - 1]["test_iou"] = score
    seen = page(make_run(tmp_path / "run", lines))
    assert "accuracy of D 70% last 100 steps" in seen.text and "accuracy 70% last 100 steps" in seen.text
    assert "test IoU 0.250 step 300 best test IoU 0.310 step 200" in seen.text and "test IoU 0.25 step 300" in seen.text
    assert "most memory 1.25 GB whole run" in seen.text
    assert "accuracy 50% all 7 steps" in page(make_run(tmp_path / "run", lines[:7])).text


def test_memory_begins_at_zero() -> None:
    for values in (np.linspace(5, 5.2, 50), np.array([0.01, 5.0])):
        figure = Figure("Memory", "n", [Curve("GB", values)], from_zero=True)
        drawn = draw(figure, np.arange(1.0, len(values) + 1))
        assert re.search(r'y="[\d.]+" class="end">0<', drawn)


def test_how_many_shapes_it_was_trained_on(tmp_path: Path) -> None:
    assert "trained on chairs.h5 (1,234 shapes): chair" in page(make_run(tmp_path / "run", [line(1)], shapes=1234)).text


def test_the_command_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "my run", [line(1)], data="/d/a b.h5", ranks=2)
    seen = page(run)
    assert "torchrun --nproc-per-node 2 -m voxgan train gan3d '/d/a b.h5' --out 'my run-again' width=4" in seen.text
    assert "augment" not in seen.text and "Again:" not in page(make_run(tmp_path / "o", [], preset="a_later_one")).text


def sheet_of(columns: int, rows: int = 1) -> Image.Image:
    """Eight places of 32 pixels, on nearly white, the first ones taken."""
    pixels = np.full((32 * rows, 256, 3), 250, np.uint8)
    for column in range(columns):
        pixels[8:24, 32 * column + 8 : 32 * column + 24] = 90
    return Image.fromarray(pixels)


def test_white_margins_are_cut_alike_in_all_sheets(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line(1)])
    (run / "samples").mkdir()
    for step, columns in ((1, 3), (2, 5), (3, 0)):
        sheet_of(columns, 2).save(run / "samples" / f"{step}.png")
    seen = page(run)
    assert [(p["width"], p["height"]) for p in seen.all("img")] == [("160", "32")] * 3, "five columns, one row"
    assert "step 3, empty" in seen.text and "step 1, empty" not in seen.text and "step 2, empty" not in seen.text


def test_sheets_that_are_all_white(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line(1)])
    (run / "samples").mkdir()
    sheet_of(0).save(run / "samples" / "1.png")
    seen = page(run)
    assert "step 1, empty" in seen.text and seen.all("img")[0]["width"] == "256"


def test_pictures_that_are_none_and_many_events(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [line(1)], [event(step, "retry", "x") for step in range(1000)])
    save_picture(run / "samples" / "00000010.png")
    (run / "samples" / "00000020.png").write_bytes(b"\x89PNG torn")
    (run / "samples" / "notes.png").write_bytes(b"")
    seen = page(run)
    assert len(seen.all("img")) == 1 and "1 could not be read" in seen.text
    assert "850 events between the first and the last are left out" in seen.text
    assert seen.text.count(" retry ") == 150


def test_large_pictures_are_drawn_smaller(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    for step in range(1, 31):
        (folder).mkdir(exist_ok=True)
        if step == 1:
            save_picture(folder / "1.png", (1024, 512))  # noise: 1.5 MB each
        else:
            (folder / f"{step}.png").write_bytes((folder / "1.png").read_bytes())
    chosen = choose(folder)
    assert len(chosen) == 12 and (chosen[0].stem, chosen[-1].stem) == ("1", "30")
    found = embed(chosen[:3])
    assert len(found) == 3 and sum(len(s.address) for s in found) < 3.6e6
    assert found[0].address.startswith("data:image/webp;base64,")


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        write_report(tmp_path)
    for name in (tmp_path / "nowhere", "chairs-gan3d"):  # the second is a shipped model
        with pytest.raises(StorageError, match="no such folder"):
            write_report(name)
    (tmp_path / "config.json").write_text(json.dumps(config() | {"training": None}))
    with pytest.raises(CheckpointError, match="holds a model, but no run"):
        write_report(tmp_path)


def test_a_run_of_200_000_steps_stays_small(tmp_path: Path) -> None:
    steps = 200_000
    run = make_run(tmp_path / "run", [])
    text = "".join(f'{{"step": {n}, "generator.total": {n % 7}, "accuracy": 0.{n % 9}}}\n' for n in range(1, steps + 1))
    (run / "log.jsonl").write_text(text)
    began = time.process_time()
    assert write_report(run).stat().st_size < 100_000
    assert time.process_time() - began < 10  # 0.5 s on a quiet machine


# --------------------------------------------------------------------------------------------------------- diversity
OF_DATA = {"pairwise_iou": 0.3, "ms_ssim": 0.2, "nearest_iou": 0.6, "copies": 0.0, "failed": 0.03125}


def sampled(step: int, **changes: float) -> dict[str, Any]:
    """A step with samples much like the data; a double underscore stands for the dot."""
    figures = {f"{of}.{name}": value for of in ("samples", "data") for name, value in OF_DATA.items()}
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return {**line(step), **figures, "samples.empty": 0.0, **changed}


def test_diversity(tmp_path: Path) -> None:
    lines = [sampled(step) if step % 50 == 0 else line(step) for step in range(1, 201)]
    lines[-1]["samples.pairwise_iou"] = 0.41
    run = make_run(tmp_path / "run", lines, shapes=889)
    save_picture(run / "samples" / "00000025.png")
    save_picture(run / "samples" / "00000200.png")
    seen = page(run)
    drawn = ["Alike: IoU of two samples", "Alike: MS-SSIM of two samples", "Nearest training shape"]
    assert seen.curves[-6:] == ["Speed", "Memory", *drawn, "Copies and failures"]
    assert "pairwise_iou" not in seen.text, "it is no term of a loss"
    assert "Two samples have more in common than two training shapes (IoU 0.41, 0.30)." in seen.text
    assert "no nearer to a training shape than training shapes are to each other (IoU 0.60, 0.60)" in seen.text
    assert "samples step 200 training shapes" in seen.text and "training shapes 0.6" in seen.text
    assert "kinds of shapes. 0.41 0.3 MS-SSIM" in seen.text and "10% loose. 3.1% 3.1%" in seen.text
    assert "is sought among" not in seen.text and "copies of others" not in seen.text
    assert "The last row (from step 200 on) is the training shape nearest to each of these, by IoU." in seen.text
    assert [picture["alt"] for picture in seen.all("img")] == [
        "Step 25: shapes from fixed noise",
        "Step 200: shapes from fixed noise; the training shape nearest to each of these",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"samples__pairwise_iou": 0.31}, "have as much in common as two training shapes (IoU 0.31, 0.30)"),
        ({"samples__pairwise_iou": 0.2}, "have less in common than two training shapes"),
        ({"samples__pairwise_iou": 0.8}, "have far more in common than two training shapes"),
        ({"samples__nearest_iou": 0.7}, "Samples are nearer to a training shape than training shapes are to each"),
        ({"samples__nearest_iou": 0.3}, "they are new, or not yet good"),
        ({"samples__copies": 0.25}, "25% of the samples are copies of training shapes; 0% of the training shapes"),
        ({"samples__empty": 0.75}, "75% of the samples are empty; the other figures say little."),
    ],
)
def test_what_diversity_means(tmp_path: Path, changes: dict[str, float], said: str) -> None:
    assert said in page(make_run(tmp_path / "run", [sampled(1, **changes)])).text


def test_diversity_says_what_it_cannot_see(tmp_path: Path) -> None:
    facts = {"shapes": 10_000, "options": {"steps": 400, "shift": 2}}
    seen = page(make_run(tmp_path / "run", [sampled(1)], **facts)).text
    assert "sought among 4,096 of the 10,000 training shapes, spread evenly; one of the others may be nearer" in seen
    assert "shift=2): a copy that stands aside is not found" in seen


def test_diversity_of_one_shape_or_of_nothing(tmp_path: Path) -> None:
    lone = {k: v for k, v in sampled(1).items() if not k.startswith("data.") and not k.endswith("failed")}
    seen = page(make_run(tmp_path / "run", [lone]))
    assert "Copies of a training shape" in seen.text and "in pieces" not in seen.text and "–" in seen.text
    assert "in common" not in seen.text
    nothing = {k: None if k.startswith(("samples.", "data.")) else v for k, v in sampled(1).items()}
    seen = page(make_run(tmp_path / "run", [nothing, line(2)]))
    assert "Diversity" not in seen.text and seen.curves[-1] == "Memory"


# ------------------------------------------------------------------------------------------------------------ curves
def test_thinning_keeps_extremes_and_mean() -> None:
    values = np.random.default_rng(0).normal(size=10_007)
    values[1234], values[9000], values[500:700] = 50.0, -40.0, np.nan
    middle, low, mean, high = thin(np.arange(1.0, 10_008.0), values)
    assert len(middle) == 180 and np.all(np.diff(middle) > 0)
    assert np.nanmax(high) == 50 and np.nanmin(low) == -40
    assert np.isnan(mean[10]), "a gap stays a gap"
    good = np.isfinite(mean)
    assert np.all(low[good] <= mean[good]) and np.all(mean[good] <= high[good])


def test_figures_that_come_now_and_then_have_no_gaps() -> None:
    values = np.full(20_000, np.nan)
    values[499::500] = np.linspace(0, 1, 40)
    middle, _, mean, _ = thin(np.arange(1.0, 20_001.0), values)
    assert middle.tolist() == list(range(500, 20_001, 500)) and mean[-1] == 1


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(5),
        np.full(5, -3.25),
        np.array([1e-12, 1e12, 5.0]),
        np.array([np.nan, 2.0]),
        np.array([1e30]),
        np.array([0.0, 1e5, 2e6]),
        np.linspace(-1, 1, 1000),
    ],
)
def test_curves_stay_in_their_frame(values: Any) -> None:
    drawn = draw(Figure("t", "n", [Curve("c", values)]), np.arange(1.0, len(values) + 1))
    Page(drawn)
    pairs = re.findall(
        r"(-?[\d.]+|nan|inf) (-?[\d.]+|nan|inf)(?=[LMZH\"])", " ".join(re.findall(r' d="([^"]*)"', drawn))
    )
    assert pairs and all(0 <= float(x) <= 460 and 0 <= float(y) <= 210 for x, y in pairs)


def test_a_curve_without_values() -> None:
    assert draw(Figure("t", "n", [Curve("c", np.full(3, np.nan))]), np.arange(3.0)) == ""


@pytest.mark.parametrize(
    ("value", "written"), [(0, "0"), (0.12345, "0.123"), (1234.5, "1,234"), (3.2e9, "3.2e+09"), (float("nan"), "–")]
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written
