"""What an evaluation found: tables whose every row says what it is, plots, sheets; as text, JSON and pictures."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.files import write_bytes

__all__ = ["KINDS", "Column", "Evaluation", "Plot", "Row", "Sheet", "Suite", "Table", "class_table"]

KINDS = ("model", "oracle", "floor", "noise", "published")
"""What a row is: what is judged; real shapes in its place; what costs nothing to know; chance; figures of others."""


_ARROWS = {"": "", "high": "↑", "low": "↓", "half": "→50"}
_STORED = {100: " (here as a share of 1)", 1e3: " (here as it is)"}


@dataclass(frozen=True)
class Column:
    """One figure of a table.

    Attributes
    ----------
    name : str
        In JSON.
    title : str
        On paper.
    better : {"", "high", "low", "half"}
        Where a good value lies, or that there is none.
    digits : int
        Behind the point.
    scale : float
        What a value is multiplied with before it is shown; JSON has it as it is.
    note : str
        What it is, in one line.
    """

    name: str
    title: str
    better: str = ""
    digits: int = 3
    scale: float = 1.0
    note: str = ""

    @property
    def heading(self) -> str:
        """The title with the unit in which values are shown."""
        return self.title + {100: " %", 1e3: " ×10³"}.get(self.scale, "")

    def show(self, value: float | None) -> str:
        """Return a value as it stands in a table.

        Examples
        --------
        >>> column = Column("ap", "AP", digits=1, scale=100)
        >>> column.show(0.4567), column.show(None)
        ('45.7', '–')
        """
        if value is None or not math.isfinite(value):
            return "–"
        return f"{value * self.scale:,.{self.digits}f}"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    name : str
    kind : str
        One of `KINDS`.
    values : mapping of str to float or None
        By the columns' names; None where it cannot be had, which a note explains.
    """

    name: str
    kind: str
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Table:
    """Figures of a model beside those of oracles and floors.

    Attributes
    ----------
    name : str
        In JSON.
    title : str
    columns : sequence of Column
    rows : sequence of Row
    notes : sequence of str
        What one must know to read it.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table as plain lines."""
        head = ["", *(f"{c.heading} {_ARROWS[c.better]}".strip() for c in self.columns)]
        lines = [[row.name, *(c.show(row.values.get(c.name)) for c in self.columns)] for row in self.rows]
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
        told = [self.title]
        for line in [head, *lines]:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            told.append("  " + "  ".join(cells).rstrip())
        return "\n".join([*told, *(f"  {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {
            "title": self.title,
            "columns": {c.name: (c.note or c.title) + _STORED.get(c.scale, "") for c in self.columns},
            "rows": [
                {"name": row.name, "kind": row.kind} | {c.name: _plain(row.values.get(c.name)) for c in self.columns}
                for row in self.rows
            ],
            "notes": list(self.notes),
        }


def class_table(
    name: str,
    title: str,
    column: Column,
    classes: Sequence[str],
    groups: Sequence[NDArray[np.int64]],
    scores: Mapping[str, NDArray[np.float64]],
    kinds: Mapping[str, str],
    notes: Sequence[str],
) -> Table:
    """Return a table of one figure: a column for each class, and their mean.

    Parameters
    ----------
    name, title, notes
        The table's.
    column : Column
        The figure, whose way to be shown the columns take.
    classes : sequence of str
    groups : sequence of array
        Which shapes are of each class.
    scores : mapping of str to array, (N,)
        The figure of each shape, by the name of the row.
    kinds : mapping of str to str
        What each row is; the rows stand in this order.
    """
    columns = [Column(own, own, column.better, column.digits, column.scale) for own in (*classes, "mean")]
    rows = []
    for row, kind in kinds.items():
        means = [float(scores[row][group].mean()) for group in groups]
        rows.append(Row(row, kind, {**dict(zip(classes, means, strict=True)), "mean": float(np.mean(means))}))
    return Table(name, title, columns, rows, notes)


@dataclass(frozen=True)
class Plot:
    """Lines over numbers.

    Attributes
    ----------
    title, x_title, y_title : str
    lines : mapping of str to (xs, ys)
        By the names in the legend.
    """

    title: str
    x_title: str
    y_title: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]


@dataclass(frozen=True)
class Sheet:
    """A picture of shapes.

    Attributes
    ----------
    name : str
        Of its file, without the suffix.
    title : str
        What is seen, in words.
    draw : callable
        Draws it; asked only if somebody wants to see it.
    """

    name: str
    title: str
    draw: Callable[[], NDArray[np.uint8]]

    @functools.cached_property
    def picture(self) -> NDArray[np.uint8]:
        """The picture, (H, W, 3), uint8."""
        return self.draw()


@dataclass(frozen=True)
class Suite:
    """What one experiment found.

    Attributes
    ----------
    name, title : str
    tables : sequence of Table
    plots : sequence of Plot
    sheets : sequence of Sheet
    facts : mapping of str to value
        How it was done: counts, levels, seeds, whatever the tables rest on.
    seconds : float
        How long it took.
    """

    name: str
    title: str
    tables: Sequence[Table]
    plots: Sequence[Plot] = ()
    sheets: Sequence[Sheet] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """All that `voxgan.evaluate` found of one model.

    Attributes
    ----------
    model, data : str
        Their names.
    facts : mapping
        Model, data set, seed, versions, processor.
    suites : sequence of Suite
    """

    model: str
    data: str
    facts: Mapping[str, Any]
    suites: Sequence[Suite]

    def __str__(self) -> str:
        """All tables as plain text."""
        quick = " (quick: few shapes, rough figures)" if self.facts.get("quick") else ""
        parts = [f"{self.model} on {self.data}{quick}"]
        for suite in self.suites:
            parts += [table.text() for table in suite.tables]
        parts += [f"Left out: {name}, for {why}." for name, why in self.facts.get("left_out", {}).items()]
        return "\n\n".join(parts)

    __repr__ = __str__

    def __getitem__(self, name: str) -> Suite:
        """Return a suite by its name."""
        for suite in self.suites:
            if suite.name == name:
                return suite
        raise KeyError(f"no suite {name!r} here; it has {', '.join(suite.name for suite in self.suites)}")

    def score(self, suite: str, table: str, column: str, row: str | None = None) -> float | None:
        """Return one figure: the model's, or that of a row by its name.

        Shares are numbers from 0 to 1 here, which tables show in per cent. None where a figure cannot be had.

        Raises
        ------
        KeyError
            If there is no such suite, table, row or column.

        Examples
        --------
        >>> column = Column("ap", "AP", "high", 1, 100)
        >>> table = Table("whole", "From renderings", [column], [Row("mine", "model", {"ap": 0.5})])
        >>> found = Evaluation("mine", "data.h5", {}, [Suite("reconstruction", "", [table])])
        >>> found.score("reconstruction", "whole", "ap")
        0.5
        """
        tables = {found.name: found for found in self[suite].tables}
        if table not in tables:
            raise KeyError(f"no table {table!r} in {suite!r}; it has {', '.join(tables)}")
        columns = [one.name for one in tables[table].columns]
        if column not in columns:
            raise KeyError(f"no column {column!r} in {table!r}; it has {', '.join(columns)}")
        for line in tables[table].rows:
            if line.name == row if row is not None else line.kind == "model":
                return line.values.get(column)
        raise KeyError(f"no row {row!r} in {table!r}; it has {', '.join(line.name for line in tables[table].rows)}")

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON holds: the same at each run with the same seed, but for ``seconds``."""
        return {
            "format": "voxgan-evaluation",
            "version": 1,
            "model": self.model,
            "data": self.data,
            "facts": dict(self.facts),
            "suites": {
                suite.name: {
                    "title": suite.title,
                    "facts": dict(suite.facts),
                    "tables": {table.name: table.as_dict() for table in suite.tables},
                }
                for suite in self.suites
            },
            "seconds": {suite.name: round(suite.seconds, 1) for suite in self.suites},
        }

    def write_json(self, path: str | Path) -> None:
        """Write all tables as JSON, whole or not at all.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        write_bytes(Path(path), (json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n").encode())

    def write_html(self, path: str | Path) -> None:
        """Write one page with tables, plots and pictures, which opens anywhere, offline.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        from voxgan.evaluation.page import page

        write_bytes(Path(path), page(self).encode())

    def write_sheets(self, folder: str | Path) -> list[Path]:
        """Write every sheet as a PNG into a folder, and return their names.

        Raises
        ------
        StorageError
            If a file cannot be written.
        """
        from voxgan.preview import write_png

        paths = []
        for suite in self.suites:
            for sheet in suite.sheets:
                path = Path(folder) / f"{sheet.name}.png"
                write_png(path, sheet.picture)
                paths.append(path)
        return paths


def _plain(value: float | None) -> float | None:
    """Return a number that JSON has, rounded to where it is the same on every run."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
