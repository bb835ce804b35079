"""Trainings on many processes: two ranks are one, a lost rank is told, any number of ranks goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from on_ranks import STEPS, VARIANTS, both

from voxgan.checkpoint import load, load_state
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, RankError, UsageError
from voxgan.models.gan3d import GAN3D
from voxgan.models.model import Config
from voxgan.networks.sync_batch_norm import SyncBatchNorm, synchronised
from voxgan.training.options import Training, check_data, check_options
from voxgan.training.ranks import ALONE, Ranks, joined

HERE = Path(__file__).parent
CPU = torch.device("cpu")
SMALL = ["width=4", "latent=8", "batch=8", "sample_every=0"]


def on_ranks(count: int, *arguments: object) -> subprocess.Popen[str]:
    """Start `count` processes of a script or module, as torchrun does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Return exit status, standard output, and the lines of ours on standard error."""
    out, errors = process.communicate(timeout=120)
    return process.returncode, out, [line for line in errors.splitlines() if line.startswith("voxgan: ")]


def children(process: subprocess.Popen[str]) -> list[int]:
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in found.read_text().split()] if found.exists() else []


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------ two are one
@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process finds, and each of two."""
    folder = tmp_path_factory.mktemp("ranks")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    both(ALONE, folder)
    torch.set_num_threads(threads)
    status, _, errors = finished(on_ranks(2, HERE / "on_ranks.py", "both", folder))
    assert (status, errors) == (0, [])
    return {path.stem: torch.load(path, weights_only=False) for path in folder.glob("*.pt")}


def differences(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], only: str) -> torch.Tensor:
    keys = [key for key in one if only in key and one[key].is_floating_point() and "running" not in key]
    assert keys
    return torch.cat([(one[key] - other[key]).abs().flatten() for key in keys])


NOT_COMPARED = ("spread", "stop")  # neighbours in the batch; one rank is asked to stop


def figures_of(found: dict[str, Any], variant: str) -> dict[str, float]:
    """Return the first step's figures that do not depend on how a batch is divided."""
    # The midpoint at which a critic's accuracy is taken is that of the shapes which are computed together.
    own = ("accuracy",) if "penalty" in variant else ()
    return {key: value for key, value in found["figures"][0].items() if key not in (*NOT_COMPARED, *own)}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_ranks_of_four_are_one_of_eight(found: dict[str, Any], variant: str) -> None:
    """Losses and gradients (as Adam's first moments keep them) of the first step, weights after three steps."""
    alone, first = found["1-0d"][variant], found["2-0d"][variant]
    for key, value in figures_of(alone, variant).items():
        assert first["figures"][0][key] == pytest.approx(value, rel=1e-12, abs=1e-12), key
    assert differences(alone["first"], first["first"], "exp_avg").max() < 1e-12
    assert differences(alone["state"], first["state"], "model/").mean() < 1e-9
    assert differences(alone["state"], first["state"], "average/").mean() < 1e-9


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_single_precision_only_rounding_is_added(found: dict[str, Any], variant: str) -> None:
    alone, first = found["1-0"][variant], found["2-0"][variant]
    for key, value in figures_of(alone, variant).items():
        assert first["figures"][0][key] == pytest.approx(value, rel=1e-4, abs=1e-6), key
    # The encoder's batch norms enlarge what is rounded.
    for key, moment in alone["first"].items():
        if key.endswith("/exp_avg"):
            assert (moment - first["first"][key]).abs().mean() <= 5e-3 * moment.abs().mean(), key
    # Adam divides a gradient by its size: where it is all but zero, rounding decides.
    assert (differences(alone["first"], first["first"], "model/") < 1e-6).float().mean() > 0.99


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_ranks_decide_alike(found: dict[str, Any], variant: str) -> None:
    first, second = found["2-0"][variant], found["2-1"][variant]
    assert first["figures"] == second["figures"]
    weights = [key for key in first["state"] if key.startswith("model/") and "running" not in key]
    assert all(torch.equal(first["state"][key], second["state"][key]) for key in weights)
    assert [figures["stop"] > 0 for figures in first["figures"]] == [False, True, False]
    assert len(first["figures"]) == STEPS
    assert not any(key.startswith("average/") for key in second["state"])  # the first rank keeps it


def test_the_gate_looks_at_all_ranks(found: dict[str, Any]) -> None:
    """With a threshold of 0 it closes as soon as any rank was right once."""
    moved = [figures["discriminator.moved"] for figures in found["2-1"]["gan3d wide"]["figures"]]
    right = [figures["accuracy"] for figures in found["2-1"]["gan3d wide"]["figures"]]
    assert moved == [1.0] + [float(value == 0) for value in right[:-1]]


def test_an_error_of_one_rank_is_told_by_the_first(tmp_path: Path) -> None:
    status, _, _ = finished(on_ranks(2, HERE / "on_ranks.py", "together", tmp_path))
    assert status == 0
    first, second = (json.loads((tmp_path / f"together-{n}.json").read_text()) for n in (0, 1))
    bad = DatasetError.exit_status
    assert first == [["rank 1: shapes of rank 1", bad, False], ["shapes of rank 0", bad, False], None]
    assert second == [["rank 1: shapes of rank 1", bad, True], ["rank 0: shapes of rank 0", bad, True], None]


# ---------------------------------------------------------------------------------------------- the command
def test_a_killed_rank_ends_the_run_and_any_number_goes_on(tmp_path: Path, tiny_data: Path) -> None:
    run = tmp_path / "run"
    arguments = [*SMALL, "steps=100000", "save_every=10"]
    process = on_ranks(2, "-m", "voxgan", "train", "gan3d", tiny_data, "--out", run, *arguments)
    wait_for(lambda: (run / "resume.json").exists() and load_state(run)[0] >= 20)
    os.kill(children(process)[1], signal.SIGKILL)
    status, _, errors = finished(process)
    assert status != 0 and len(errors) == 1
    assert "one of the 2 ranks is gone (connection" in errors[0] and f"go on with resume {run}" in errors[0]
    step = load_state(run)[0]
    assert f"step {step} is saved" in errors[0]

    # On one process; then on two, which a scheduler's SIGTERM to torchrun ends.
    alone = subprocess.run(
        [sys.executable, "-m", "voxgan", "resume", str(run), f"steps={step + 5}"], capture_output=True, text=True
    )
    assert alone.returncode == 0, alone.stderr
    process = on_ranks(2, "-m", "voxgan", "resume", run, "steps=100000")
    wait_for(lambda: load_state(run)[0] >= step + 20)
    process.terminate()
    _, _, errors = finished(process)
    stopped = load_state(run)[0]
    assert errors == [
        f"voxgan: stopped after step {stopped}; step {stopped} is saved; go on with  resume {run}  in place of train"
    ]
    lines = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines == list(range(1, stopped + 1))
    assert load(run).generate(1).occupancy.shape == (1, 16, 16, 16)


def test_wrong_options_are_told_once(tmp_path: Path, tiny_data: Path) -> None:
    train = ("-m", "voxgan", "train", "gan3d", tiny_data, "--out", tmp_path / "run", "width=4")
    for option, says in (("batch=7", "batch=7 is no multiple of 2 ranks; take batch=6"), ("widht=4", "unknown option")):
        status, _, errors = finished(on_ranks(2, *train, option))
        assert status != 0 and len(errors) == 1 and errors[0].startswith(f"voxgan: {says}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("variables", [{"WORLD_SIZE": "2"}, {"WORLD_SIZE": "x"}, {"WORLD_SIZE": "0", "RANK": "0"}])
def test_variables_that_torchrun_has_not_set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    monkeypatch.delenv("RANK", raising=False)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UsageError, match=r"is set, but not by torchrun .* unset it"), joined("cpu"):
        pass


# --------------------------------------------------------------------------------------- refused before work
@pytest.mark.parametrize(
    ("options", "pack", "ranks", "says"),
    [
        ({"batch": 10}, 4, 1, "batch=10 is no multiple of pack=4; take batch=8"),
        ({"batch": 12, "accumulate": 5}, 1, 1, r"no multiple of 5 parts \(accumulate\); take batch=10"),
        ({"batch": 12, "accumulate": 2}, 2, 4, r"4 ranks × 2 parts \(accumulate\) × pack=2; take batch=16"),
        ({"precision": "tf32"}, 1, 1, "precision=tf32 needs an NVIDIA GPU of 2020 or later, this is cpu"),
    ],
)
def test_options_that_cannot_work_together(options: dict[str, Any], pack: int, ranks: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_options(Config(resolution=16, pack=pack), Training(**options), Ranks(0, ranks, CPU))


def test_a_processor_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxgan.training.options.has_bfloat16", lambda device: True)
    check_options(Config(), Training(precision="bf16"), ALONE)
    assert Training(precision="auto").on(CPU).precision == "bf16"
    monkeypatch.setattr("voxgan.training.options.has_bfloat16", lambda device: False)
    with pytest.raises(UsageError, match=r"precision=bf16: this cpu does not .* take precision=fp32, or auto"):
        check_options(Config(), Training(precision="bf16"), ALONE)
    assert Training(precision="auto").on(CPU).precision == "fp32"
    assert Training(precision="tf32").on(CPU).precision == "tf32"


def test_more_ranks_than_shapes(tiny_data: Path) -> None:
    with Dataset(tiny_data) as data, pytest.raises(UsageError, match=r"9 ranks for 8 shapes .* at most as many ranks"):
        check_data(GAN3D, Config(resolution=16), Training(), data, Ranks(0, 9, CPU))


def test_other_errors_are_not_taken_for_a_lost_rank() -> None:
    two = Ranks(0, 2, CPU)
    with pytest.raises(RuntimeError, match="shape mismatch"), two.watched():
        raise RuntimeError("shape mismatch")
    with pytest.raises(RankError, match="connection closed by peer"), two.watched():
        raise RuntimeError("[pair.cc:537] Connection closed by peer [10.0.0.2]:4711")
    with pytest.raises(RuntimeError, match="Connection closed"), ALONE.watched():
        raise RuntimeError("Connection closed by peer")


# ------------------------------------------------------------------------------------- synchronised batch norm
@pytest.mark.parametrize("pictures", [False, True])
def test_synchronised_batch_norm_without_ranks_is_batch_norm(pictures: bool) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.BatchNorm2d(3) if pictures else torch.nn.BatchNorm3d(3))
    plain[0].running_mean.normal_()
    other = synchronised(torch.nn.Sequential(type(plain[0])(3)), CPU)
    other.load_state_dict(plain.state_dict())
    assert isinstance(next(other.children()), SyncBatchNorm)
    x = torch.randn(4, 3, *[5] * (2 if pictures else 3))
    assert torch.equal(plain(x), other(x))
    assert torch.equal(plain.eval()(x), other.eval()(x))
