"""What comes from a page is anybody's: a value is taken only when it is of the kind that is expected."""

from __future__ import annotations

import math
from typing import Any

from voxgan.errors import UsageError

__all__ = ["flag", "number", "optional_text", "text", "whole"]

_LONGEST = 1000


def number(value: Any) -> float:
    """Return a finite number.

    Examples
    --------
    >>> number(1)
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{_shown(value)} came where a number was expected")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise UsageError(f"{_shown(value)} came where a finite number was expected")
    return found


def whole(value: Any) -> int:
    """Return a whole number."""
    found = number(value)
    if found != int(found) or abs(found) > 2**53:
        raise UsageError(f"{_shown(value)} came where a whole number was expected")
    return int(found)


def flag(value: Any) -> bool:
    """Return yes or no."""
    if not isinstance(value, bool):
        raise UsageError(f"{_shown(value)} came where yes or no was expected")
    return value


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise UsageError(f"{_shown(value)} came where a text was expected")
    if len(value) > _LONGEST:
        raise UsageError(f"a text of {len(value)} characters; expected at most {_LONGEST}")
    return value


def optional_text(value: Any) -> str | None:
    """Return a text, or None for none."""
    return None if value is None or value == "" else text(value)


def _shown(value: Any) -> str:
    """Return a value for a message: short, on one line, without anything that a terminal obeys."""
    if isinstance(value, str | int | float | bool | None):
        shown = repr(value if not isinstance(value, str) else value[:60])
        return shown if len(shown) <= 60 else shown[:59] + "…"
    return f"a {type(value).__name__}"
