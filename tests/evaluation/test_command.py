"""``voxgan evaluate``: what it prints and writes, and what it refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voxgan.checkpoint import save_model
from voxgan.cli import _run
from voxgan.evaluation import Evaluation, suites
from voxgan.models.model import Model


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*tokens: str | Path) -> tuple[int, str, str]:
        status = _run(["evaluate", *map(str, tokens)], False)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def model(gan: Model, tmp_path: Path) -> Path:
    save_model(gan, tmp_path / "mine")
    return tmp_path / "mine"


def test_prints_tables_and_writes_all(run: Any, model: Path, data: Path, tmp_path: Path) -> None:
    files = tmp_path / "new" / "scores.json", tmp_path / "new" / "scores.html", tmp_path / "sheets"
    status, out, err = run(
        model,
        data,
        "--suite",
        "generation",
        "--quick",
        "-n",
        "4",
        "--json",
        files[0],
        "--html",
        files[1],
        "--sheets",
        files[2],
    )
    assert status == 0, err
    assert "mine on shapes.h5" in out
    assert "1-NNA-IoU" in out
    assert "points of test shapes: 4/4" in err
    assert json.loads(files[0].read_text())["suites"]["generation"]["facts"]["samples"] == 4
    assert files[1].read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in files[2].iterdir()) == [
        "generation_nearest.png",
        "generation_pieces.png",
        "generation_real.png",
        "generation_samples.png",
    ]


def test_several_suites(run: Any, model: Path, data: Path) -> None:
    status, out, err = run(model, data, "--suite", "generation", "latent", "--quick", "-n", "2")
    assert status == 0, err
    assert "Sets of samples" in out
    assert "walks" in out


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (("--suite", "generatoin"), 2, "no suite 'generatoin'; did you mean 'generation'?"),
        (("--suite", "reconstruction"), 2, "cannot reconstruct from a photo; use a vae_gan3d model"),
        (("--json", "scores.txt"), 2, "--json scores.txt: expected a name that ends in .json"),
        (("--html", "scores"), 2, "--html scores: expected a name that ends in .html"),
        (("-n", "1"), 2, "count=1: expected 2 or more"),
        (("-n", "few"), 2, "'few' is no whole number"),
        (("--seed", "-1"), 2, "seed=-1: expected a whole number from 0"),
        (("--train", "nowhere.h5"), 4, "no data set at nowhere.h5"),
        (("--sheets", ""), 2, "--sheets is given an empty name"),
        (("--suite",), 2, "--suite names none"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], status: int, says: str, run: Any, model: Path, data: Path) -> None:
    found, out, err = run(model, data, *options)
    assert found == status, err
    assert not out
    assert says in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_no_model_no_data(run: Any, model: Path, data: Path, tmp_path: Path) -> None:
    for tokens, status in (
        ((tmp_path / "none", data), 4),
        ((model, tmp_path / "none.h5"), 4),
        (("", data), 2),
        ((model,), 2),
    ):
        found, _, err = run(*tokens)
        assert found == status, (tokens, err)
        assert err.startswith("voxgan: ")
        assert err.count("\n") == 1


def test_what_cannot_be_written_is_told_before_the_work(
    run: Any, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(name: str) -> Any:
        raise AssertionError("work was begun")

    monkeypatch.setattr(suites, "find", never)
    (tmp_path / "file").write_text("")
    for option, path in (("--json", "file/a.json"), ("--html", "file/a.html"), ("--sheets", "file/sheets")):
        status, _, err = run(model, data, option, tmp_path / path)
        assert status == 4, err
        assert "cannot write" in err


def test_nothing_is_written_when_it_fails(
    run: Any, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Evaluation, path: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(Evaluation, "write_json", fails)
    (tmp_path / "a.html").write_text("before")
    status, _, err = run(
        model,
        data,
        "--suite",
        "latent",
        "-n",
        "2",
        "--quick",
        "--json",
        tmp_path / "a.json",
        "--html",
        tmp_path / "a.html",
    )
    assert status == 4
    assert "out of memory" in err
    assert (tmp_path / "a.html").read_text() == "before"


def test_a_file_in_place_of_the_sheets_folder(run: Any, model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = run(model, data, "--sheets", tmp_path / "file")
    assert status == 4
    assert "there is a file of this name; expected a folder" in err


def test_a_full_disk_behind_standard_output_is_no_bug(
    run: Any, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Evaluation) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Evaluation, "__str__", fails)
    status, _, err = run(model, data, "--suite", "latent", "-n", "2", "--quick")
    assert status == 4
    assert "No space left on device" in err.splitlines()[-1]
