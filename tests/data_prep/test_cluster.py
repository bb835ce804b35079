"""The same preparation on a dask cluster: a real scheduler, two workers, one of them killed midway."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep.build import prepare
from voxgan.dataset import Dataset
from voxgan.errors import MissingExtraError, StorageError, UsageError

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
pytestmark = pytest.mark.filterwarnings("default")  # the libraries' own


def columns(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as made:
        yield made


def test_a_worker_is_killed_midway_and_nothing_is_lost_or_double(tmp_path, cluster):
    seen: list[int] = []

    def kill(done: int, _: int) -> None:
        seen.append(done)
        if done == 5:
            with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
                pids = client.run(os.getpid)
            assert len(pids) == 2
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    report = prepare(
        "furniture", tmp_path / "a.h5", 16, count=3, cluster=cluster.scheduler_address, report=kill, workers=2
    )
    prepare("furniture", tmp_path / "b.h5", 16, count=3, workers=2)
    assert seen == list(range(1, report.num_shapes + 1)) and not report.set_aside
    one, two = columns(tmp_path / "a.h5"), columns(tmp_path / "b.h5")
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_broken_file_is_set_aside_there_too(tmp_path, cluster):
    for name, content in {"good.off": "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n",
                          "bad.off": "nonsense"}.items():  # fmt: skip
        (tmp_path / "meshes").mkdir(exist_ok=True)
        (tmp_path / "meshes" / name).write_text(content)
    report = prepare(tmp_path / "meshes", tmp_path / "a.h5", 16, cluster=cluster.scheduler_address)
    assert report.num_shapes == 1 and "bad.off" in report.set_aside[0][1]


def test_begun_here_and_gone_on_with_there(tmp_path, cluster):
    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("furniture", tmp_path / "a.h5", 16, count=1, workers=2, report=stop)
    prepare("furniture", tmp_path / "a.h5", 16, count=1, cluster=cluster.scheduler_address)
    prepare("furniture", tmp_path / "b.h5", 16, count=1, workers=2)
    with Dataset(tmp_path / "a.h5", "all") as one, Dataset(tmp_path / "b.h5", "all") as two:
        assert one.names() == two.names()
        np.testing.assert_array_equal(one.packed(range(len(one))), two.packed(range(len(two))))


def test_no_scheduler_there(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.cluster._PATIENCE", 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StorageError, match=r"no dask scheduler answers at 'tcp://127"):
        prepare("furniture", tmp_path / "a.h5", 16, count=1, cluster=f"tcp://127.0.0.1:{port}")
    assert not (tmp_path / "a.h5").exists()


def test_an_address_that_is_none(tmp_path):
    for address in ("nonsense", "tcp://", "host:port", "tcp://host"):
        with pytest.raises(UsageError, match="expected local, or an address such as tcp://host:8786"):
            prepare("furniture", tmp_path / "a.h5", 16, count=1, cluster=address)
    assert not list(tmp_path.iterdir())


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"voxgan-3d\[cluster\]"):
        prepare("furniture", tmp_path / "a.h5", 16, count=1, cluster="local")
