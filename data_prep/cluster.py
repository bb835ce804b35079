"""The same work on many machines: shapes are built by the workers of a dask.distributed cluster (extra ``cluster``).

A worker that is lost loses nothing: its shapes are given to another. Results come back to this process, in order, so
that only it writes, and nothing is written twice.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import voxgan
from data_prep.pool import Limits, Worker, in_order
from data_prep.sources import Item
from data_prep.worker import Built, Recipe
from voxgan.errors import MissingExtraError, StorageError, UsageError

__all__ = ["build_on_cluster", "check_address"]

_ADDRESS = re.compile(r"^((?P<kind>[a-z]+)://)?(?P<host>[^/:]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5})$")
_PATIENCE = 10  # seconds for the scheduler to answer
_mine = threading.local()  # a cluster's worker keeps one process for each of its threads


def build_on_cluster(
    address: str, items: Sequence[Item], recipe: Recipe, workers: int, limits: Limits
) -> Iterator[Built]:
    """Build every item on a cluster; yield them in order.

    Parameters
    ----------
    address : str
        Of the scheduler (``tcp://host:8786``), or ``local`` for one that is started here, with so many workers.
    items, recipe, workers, limits
        As for `data_prep.pool.build_all`. The sources must be readable under the same paths on every worker.

    Raises
    ------
    StorageError
        If the scheduler does not answer, or has no workers.
    UsageError
        If its workers run another version of voxgan.
    MissingExtraError
        If dask.distributed is not installed.
    """
    try:
        from distributed import KilledWorker
    except ImportError as error:
        raise MissingExtraError("distributed", "cluster", "preparing on a cluster") from error

    with _client(address, workers) as client:
        _check_version(client)
        threads = sum(client.nthreads().values()) or 1

        def submit(item: Item) -> Any:
            return client.submit(_build, item, recipe, limits, pure=False)

        with contextlib.closing(in_order(items, submit, threads)) as walk:
            for item, future in walk:
                try:
                    built = future.result()
                except KilledWorker:
                    built = Built(item.source, reason="every worker of the cluster that took it was lost")
                except OSError as error:
                    raise StorageError(
                        f"the cluster at {address} is gone ({error}); run the same command again"
                    ) from error
                future.release()
                yield built


def check_address(address: str) -> None:
    """Refuse what is no address of a scheduler, and one where nobody listens, before dask waits for it.

    Raises
    ------
    UsageError
        If it is no address.
    StorageError
        If nobody listens there.
    """
    if address == "local":
        return
    match = _ADDRESS.match(address)
    if match is None:
        raise UsageError(f"cluster {address!r}: expected local, or an address such as tcp://host:8786")
    if match["kind"] in (None, "tcp", "tls"):
        try:
            socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=_PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise StorageError(f"no dask scheduler answers at {address!r}; start one with  dask scheduler") from error


@contextlib.contextmanager
def _client(address: str, workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)  # what it warns of is said by our own messages
    cluster = None
    try:
        if address == "local":
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=40)
        client = Client(cluster or address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        if cluster is not None:
            cluster.close()
        raise StorageError(f"no dask scheduler answers at {address!r}; start one with  dask scheduler") from error
    try:
        if not client.nthreads():
            with contextlib.suppress(TimeoutError):
                client.wait_for_workers(1, timeout=3 * _PATIENCE)
        if not client.nthreads():
            raise StorageError(f"the scheduler at {address} has no workers; start some with  dask worker {address}")
        yield client
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _check_version(client: Any) -> None:
    try:
        versions = client.run(_version)
    except Exception as error:
        raise UsageError(f"the cluster's workers cannot import voxgan ({error}); install voxgan-3d there") from error
    for worker, version in versions.items():
        if version != voxgan.__version__:
            raise UsageError(f"worker {worker} has voxgan {version}, here is {voxgan.__version__}; install the same")


def _version() -> str:
    return voxgan.__version__


def _build(item: Item, recipe: Recipe, limits: Limits) -> Built:
    """Build one shape in a process of this worker's own, so that what kills it does not kill the worker."""
    worker = getattr(_mine, "worker", None)
    if worker is None or worker.limits != limits:
        worker = _mine.worker = Worker(limits)
    built: Built = worker.build(item, recipe)
    return built
