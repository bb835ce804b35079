"""The SLURM script, as far as it can be checked without SLURM: its grammar, what its nodes start, signals, a real run.

`srun`, `scontrol` and `scancel` are stand-ins which start two "nodes" on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "slurm" / "train.sbatch"
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None, reason="SLURM's scripts are for bash"
)

SRUN = """
import json, os, signal, subprocess, sys
words = sys.argv[1:]
start = words.index("bash")
here = os.environ["STUBS"]
json.dump(words[:start], open(os.path.join(here, "srun.json"), "w"))
signal.signal(signal.SIGTERM, lambda *_: None)
nodes = [subprocess.Popen(words[start:], env={**os.environ, "SLURM_NODEID": str(n)}, start_new_session=True)
         for n in range(int(os.environ["SLURM_JOB_NUM_NODES"]))]
with open(os.path.join(here, "nodes.part"), "w") as file:
    file.write(" ".join(str(node.pid) for node in nodes))
os.replace(os.path.join(here, "nodes.part"), os.path.join(here, "nodes"))
sys.exit(max(abs(node.wait()) for node in nodes))
"""
SCONTROL = """
import os, sys
if sys.argv[1:3] == ["show", "hostnames"]:
    print("localhost\\nlocalhost-2")
else:
    open(os.path.join(os.environ["STUBS"], "scontrol.log"), "a").write(" ".join(sys.argv[1:]) + "\\n")
"""
SCANCEL = """
import os, signal, sys, time
here = os.environ["STUBS"]
open(os.path.join(here, "scancel.log"), "a").write(" ".join(sys.argv[1:]) + "\\n")
for pid in open(os.path.join(here, "nodes")).read().split():
    os.kill(int(pid), signal.SIGTERM)
time.sleep(float(os.environ.get("SCANCEL_SECONDS", "0")))
"""
AGENT = """
import json, os, signal, sys, time
here = os.environ["STUBS"]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
name = os.path.join(here, "agent-" + os.environ["SLURM_NODEID"])
with open(name + ".part", "w") as file:
    json.dump({"words": sys.argv[1:], "threads": os.environ["OMP_NUM_THREADS"]}, file)
os.replace(name + ".part", name)
time.sleep(float(os.environ.get("AGENT_SECONDS", "0")))
sys.exit(int(os.environ.get("AGENT_STATUS", "0")))
"""

Job = Callable[..., contextlib.AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """A folder with what stands in for SLURM, and for Python as `agent`."""
    folder = tmp_path / "stubs"
    folder.mkdir()
    for name, source in (("srun", SRUN), ("scontrol", SCONTROL), ("scancel", SCANCEL), ("agent", AGENT)):
        (folder / name).write_text(f"#!{sys.executable}\n{source}")
        (folder / name).chmod(0o755)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def job(stubs: Path, tmp_path: Path) -> Job:
    """Start the script as SLURM would, on two nodes; whatever is left of it is ended with the block."""

    @contextlib.contextmanager
    def start(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        given = {
            "PATH": f"{stubs}:{os.environ['PATH']}",
            "STUBS": str(stubs),
            "PYTHON": str(stubs / "agent"),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_NODELIST": "localhost,localhost-2",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_GPUS_ON_NODE": "4",
            "SLURM_CPUS_PER_TASK": "32",
        }
        running = subprocess.Popen(
            ["bash", str(SCRIPT), *words],
            env={**os.environ, **given, **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield running
        finally:
            groups = [running.pid]
            if (stubs / "nodes").exists():
                groups += [int(pid) for pid in (stubs / "nodes").read_text().split()]
            for group in groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            running.communicate()

    return start


def wait_for(found: Callable[[], Any], seconds: float = 30) -> Any:
    """Return what `found` finds as soon as it finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def agents(stubs: Path) -> list[dict[str, Any]]:
    """Return what each node's torchrun was given."""
    return [json.loads((stubs / f"agent-{n}").read_text()) for n in range(2)]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


# ----------------------------------------------------------------------------------------------------------- grammar
def test_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_slurm_is_asked_for() -> None:
    lines = SCRIPT.read_text().splitlines()
    asked = [line.split(maxsplit=1)[1] for line in lines if line.startswith("#SBATCH ")]
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(
        n < first_command for n, line in enumerate(lines) if line.startswith("#SBATCH")
    )  # SLURM reads no further
    assert lines[0] == "#!/bin/bash"
    assert {"--ntasks-per-node=1", "--requeue", "--signal=B:USR1@300", "--open-mode=append"} <= set(asked)


def test_too_few_words(job: Job) -> None:
    with job("gan3d", "data.h5") as running:
        said, _ = running.communicate(timeout=30)
    assert running.returncode == 2 and "usage: sbatch" in said


# ---------------------------------------------------------------------------------------------- what the nodes start
def test_two_nodes_meet_and_train(job: Job, stubs: Path) -> None:
    with job("gan3d", "my data.h5", "runs/x", "batch=64", "classes=chair,night stand") as running:
        said, _ = running.communicate(timeout=30)
    assert running.returncode == 0, said
    one, two = (found["words"] for found in agents(stubs))
    for name in ("--rdzv-endpoint", "--rdzv-id", "--rdzv-backend", "--nnodes", "--nproc-per-node"):
        assert option(one, name) == option(two, name)
    assert option(one, "--rdzv-endpoint") == "localhost:24711" and option(one, "--rdzv-backend") == "c10d"
    assert [option(words, "--node-rank") for words in (one, two)] == ["0", "1"]
    assert [option(words, "--rdzv-conf") for words in (one, two)] == ["is_host=1", "is_host=0"]
    assert (option(one, "--nnodes"), option(one, "--nproc-per-node")) == ("2", "4")
    assert one[:2] == ["-m", "torch.distributed.run"]
    command = [
        "-m",
        "voxgan",
        "train",
        "gan3d",
        "my data.h5",
        "--out",
        "runs/x",
        "batch=64",
        "classes=chair,night stand",
    ]
    assert one[-len(command) :] == two[-len(command) :] == command
    assert [found["threads"] for found in agents(stubs)] == ["8", "8"]
    assert "--kill-on-bad-exit=1" in json.loads((stubs / "srun.json").read_text())
    assert not (stubs / "scontrol.log").exists()  # nothing was queued again


def test_torchrun_knows_these_options(job: Job, stubs: Path) -> None:
    from torch.distributed.run import config_from_args, parse_args

    with job("gan3d", "data.h5", "runs/x") as running:
        running.communicate(timeout=30)
    config, _, words = config_from_args(parse_args(agents(stubs)[1]["words"][2:]))
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (2, 2, 4)
    assert (config.rdzv_backend, config.rdzv_endpoint, config.run_id) == ("c10d", "localhost:24711", "4711")
    assert config.rdzv_configs["is_host"] == "0" and config.max_restarts == 0
    assert words[-5:] == ["train", "gan3d", "data.h5", "--out", "runs/x"]


@pytest.mark.parametrize("name", ["resume.json", "config.json"])
def test_a_folder_with_a_run_is_gone_on_with(job: Job, stubs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / name).write_text("{}")
    with job("gan3d", "data.h5", "runs/x", "batch=64") as running:
        assert running.wait(30) == 0
    for found in agents(stubs):
        assert found["words"][-4:] == ["-m", "voxgan", "resume", "runs/x"]


def test_an_error_is_the_jobs_error_and_is_not_tried_again(job: Job, stubs: Path) -> None:
    with job("gan3d", "data.h5", "runs/x", AGENT_STATUS="5") as running:
        assert running.wait(30) == 5
    assert not (stubs / "scontrol.log").exists()


# ----------------------------------------------------------------------------------------------------------- signals
@pytest.mark.parametrize(("number", "status", "queued"), [(signal.SIGUSR1, 0, True), (signal.SIGTERM, 1, False)])
@pytest.mark.parametrize("seconds", ["0", "1"])  # with 1, the step is over before the signal has been dealt with
def test_asked_to_stop(job: Job, stubs: Path, number: signal.Signals, status: int, queued: bool, seconds: str) -> None:
    with job("gan3d", "data.h5", "runs/x", AGENT_SECONDS="60", SCANCEL_SECONDS=seconds) as running:
        wait_for(lambda: (stubs / "nodes").exists() and all((stubs / f"agent-{n}").exists() for n in range(2)))
        os.kill(running.pid, number)
        said, _ = running.communicate(timeout=30)
    assert running.returncode == status, said
    assert (stubs / "scancel.log").read_text() == "--signal=TERM 4711\n"
    assert (stubs / "scontrol.log").exists() is queued
    if queued:
        assert (stubs / "scontrol.log").read_text() == "requeue 4711\n"


# ---------------------------------------------------------------------------------------------------- with real ranks
def test_two_real_nodes_stop_and_go_on(job: Job, stubs: Path, tmp_path: Path, tiny_data: Path) -> None:
    run = tmp_path / "runs" / "x"
    words = ("gan3d", str(tiny_data), "runs/x", "width=4", "batch=4", "steps=100000", "save_every=5", "sample_every=0")
    real = {"PYTHON": sys.executable, "RANKS_PER_NODE": "1", "SLURM_CPUS_PER_TASK": "1", "GLOO_SOCKET_IFNAME": "lo"}
    real |= {"PYTHONPATH": str(SCRIPT.parents[2])}
    with job(*words, "device=cpu", PORT=str(free_port()), **real) as running:
        wait_for(lambda: running.poll() is not None or (run / "resume.json").exists(), 90)
        os.kill(running.pid, signal.SIGUSR1)
        said, _ = running.communicate(timeout=90)
    assert running.returncode == 0 and "requeue 4711" in (stubs / "scontrol.log").read_text(), said
    step = json.loads((run / "resume.json").read_text())["states"][0]["step"]
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, step + 1))  # saved after the step in hand

    facts = json.loads((run / "config.json").read_text())
    assert facts["training"]["ranks"] == 2
    facts["training"]["options"]["steps"] = step + 3
    (run / "config.json").write_text(json.dumps(facts))
    with job(*words, "device=cpu", PORT=str(free_port()), **real) as running:
        said, _ = running.communicate(timeout=90)
    assert running.returncode == 0, said
    assert "resume runs/x" in said
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, step + 4))
