"""The tables of `docs/scaling.md` are those that `benchmarks/scaling.py` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def computed(*options: str) -> Any:
    command = [sys.executable, str(ROOT / "benchmarks" / "scaling.py"), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_the_document_has_the_figures_of_the_script() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    for name, row in computed()["least_batch"].items():
        for part in (row[:3], row[3:]):
            assert f"| {name} | {' | '.join(f'{value:,}' for value in part)} |" in text


@pytest.mark.parametrize("option", ["--no-overlap", "--sync-batch-norm", "--bytes 2"])
def test_the_variations(option: str) -> None:
    figure = next(iter(computed(*option.split())["least_batch"].values()))[-1]
    (line,) = (line for line in (ROOT / "docs" / "scaling.md").read_text().splitlines() if f"(`{option}`)" in line)
    assert line.startswith(f"- {figure} ")


def test_more_shapes_and_faster_networks_are_more_efficient() -> None:
    found = computed()
    for row in found["least_batch"].values():
        assert row[0] <= row[1] <= row[2] and row[3] <= row[4] <= row[5] and row[0] < row[3]
    few, many = (computed("--total", total)["efficiency"] for total in ("512", "51200"))
    for name in few:
        assert all(a <= b for a, b in zip(few[name], many[name], strict=True))
