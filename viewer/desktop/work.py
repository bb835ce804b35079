"""Work that takes seconds, beside the window: in a thread of its own, stopped when asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Stopped", "Work"]

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818
    """Raised inside of work by its report, once it was stopped."""


class Work(Generic[Result]):
    """A call in a thread.

    Parameters
    ----------
    call : callable
        Takes a function ``report(done, total)``, which it calls now and then; that raises `Stopped` after `stop`.

    Examples
    --------
    >>> work = Work(lambda report: 2 + 3)
    >>> work.wait()
    >>> work.result()
    5
    """

    def __init__(self, call: Callable[[Callable[[int, int], None]], Result]) -> None:
        self.done, self.total = 0, 0
        self._call, self._stopped = call, threading.Event()
        self._results: list[Result] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="voxgan-work")
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether there is no result yet."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end; at its next report it does."""
        self._stopped.set()

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def result(self) -> Result:
        """Return what the call returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._call(self._report))
        except Exception as error:
            self._error = error

    def _report(self, done: int, total: int) -> None:
        if self._stopped.is_set():
            raise Stopped
        self.done, self.total = done, total
