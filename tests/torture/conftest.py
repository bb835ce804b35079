"""The process that meets the damaged files, with narrower limits than a user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trial import Trial

from data_prep.pool import Limits, Worker


@pytest.fixture(scope="session")
def child() -> Iterator[Worker]:
    worker = Worker(Limits(seconds=10, gigabytes=2))
    yield worker
    worker.close()


@pytest.fixture
def trial(child: Worker, tmp_path: Path) -> Iterator[Trial]:
    one = Trial(child, tmp_path)
    yield one
    one.check_rows()
