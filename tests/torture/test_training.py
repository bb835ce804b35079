"""R1–R4 and R10 for training: kills, full disks, numbers that are not finite, Ctrl-C, two at once, odd folders.

Whatever happens to a run, going on gives the files of a run to which nothing happened, bit for bit: states (weights,
moving average, optimisers, the gate's memory), weights for use, class latents, figures of every step, pictures.
"""

from __future__ import annotations

import collections
import errno
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import Ended, ForkServer, assert_same_run, check_whole, files_of, log_of, table_of
from safetensors.torch import load_file, save_file
from trial import FULL

NUM_KILLS = {"gan3d": 300, "vae_gan3d": 200} if FULL else {"gan3d": 36, "vae_gan3d": 24}
STRIDE = 1 if FULL else 20
NUM_LIMITS = 20 if FULL else 3
NUM_SIGNALS = 60 if FULL else 4
NARROW = ["width=4", "latent=8", "device=cpu"]
OPTIONS = {
    "gan3d": [*NARROW, "batch=4"],
    "vae_gan3d": [*NARROW, "batch=2", "encoder_width=2", "discriminator_width=4", "gate=0.6"],
}
SHORT = ["steps=4", "save_every=2", "sample_every=0", "augment=false"]
PICTURES = ["steps=2", "save_every=2", "sample_every=2", "augment=false"]
LINE = "write log.jsonl"
MODELS = tuple(OPTIONS)
EVERY = pytest.mark.parametrize("model", MODELS)
_SKIPPED = 3  # a fault struck so many times without a step of progress: let the run be for once


class Trainings:
    """Runs of tiny models, and of each kind one to which nothing happens."""

    def __init__(self, server: ForkServer, data: Path, folder: Path) -> None:
        self.server, self.data, self.folder = server, data, folder
        self.count = 0
        self._whole: dict[tuple[str, ...], tuple[Path, Ended]] = {}

    def new(self, name: str = "run") -> Path:
        self.count += 1
        return self.folder / f"{self.count:05d}" / name

    def words(self, run: Path, model: str, options: list[str]) -> list[object]:
        merged = {option.partition("=")[0]: option for option in (*OPTIONS[model], *options)}
        return ["train", model, self.data, "--out", run, *merged.values()]

    def train(self, run: Path, model: str, options: list[str], **faults: Any) -> Ended:
        return self.server.run(*self.words(run, model, options), folder=str(run), **faults)

    def resume(self, run: Path, *options: str, **faults: Any) -> Ended:
        return self.server.run("resume", run, *options, folder=str(run), **faults)

    def go_on(self, run: Path, model: str, options: list[str], **faults: Any) -> Ended:
        """Do what a user does after a crash."""
        if (run / "config.json").exists():
            return self.resume(run, **faults)
        return self.train(run, model, options, **faults)

    def whole(self, model: str, options: list[str]) -> tuple[Path, Ended]:
        """The run to which nothing happened, and how it went."""
        key = (model, *options)
        if key not in self._whole:
            run = self.new()
            ended = self.train(run, model, options)
            assert ended.status == 0, ended.err
            self._whole[key] = run, ended
        return self._whole[key]

    def assert_goes_on(self, run: Path, model: str, options: list[str]) -> None:
        """Nothing is torn; going on gives the whole run."""
        check_whole(run)
        ended = self.go_on(run, model, options)
        assert ended.status == 0, ended.err
        assert_same_run(run, self.whole(model, options)[0])
        shutil.rmtree(run.parent)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Iterator[Trainings]:
    server = ForkServer()
    try:
        yield Trainings(server, tiny_data, tmp_path_factory.mktemp("trainings"))
    finally:
        server.close()


def complaint(ended: Ended) -> str:
    """The one line that ``voxgan`` said; no traceback, and nothing after it."""
    said = [line for line in ended.err.splitlines() if line and not line.startswith(("training:", "step ", "warning"))]
    assert len(said) == 1 and said[0].startswith("voxgan: "), ended.err
    assert "unexpected" not in said[0], ended.err
    return said[0]


def newest_step(run: Path) -> int:
    return json.loads((run / "resume.json").read_text())["states"][0]["step"] if (run / "resume.json").exists() else 0


def writes(ended: Ended) -> list[int]:
    """The events after which a file is written: a line of the log, an event, the last opening of a temporary."""
    pairs = zip(ended.events, [*ended.events[1:], ""], strict=True)
    return [
        i
        for i, (event, following) in enumerate(pairs, 1)
        if event in (LINE, "open events.jsonl") or (event.startswith("open .partial") and following != event)
    ]


def lines(ended: Ended) -> list[int]:
    """The events that write a step's line into the log."""
    return [i for i, event in enumerate(ended.events, 1) if event == LINE]


# ---------------------------------------------------------------------------------------------- the harness itself
@pytest.mark.skipif(not FULL, reason="in the full tier: it takes two starts of Python with torch")
def test_a_forked_child_trains_as_a_process_of_its_own(trainings: Trainings) -> None:
    expected, _ = trainings.whole("gan3d", SHORT)
    run = trainings.new()
    done = subprocess.run(
        [sys.executable, "-m", "voxgan", *map(str, trainings.words(run, "gan3d", SHORT))],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=trainings.folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert_same_run(run, expected)


# ------------------------------------------------------------------------------------------------ R1: at random times
KINDS = (["save_every=1"], ["save_every=2", "accumulate=2"], ["save_every=3", "checkpointing=true", "retries=1"])


@EVERY
def test_killed_at_random_times_again_and_again(
    model: str, trainings: Trainings, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(f"kill {model}")
    steps = 10 if model == "gan3d" else 6
    fell: collections.Counter[str] = collections.Counter()
    while fell.total() < NUM_KILLS[model]:
        options = [f"steps={steps}", "sample_every=0", *chance.choice(KINDS)]
        expected, ended = trainings.whole(model, options)
        run, stuck, history = trainings.new(), 0, []
        while True:
            before = newest_step(run)
            longest = ended.seconds * (0.15 if chance.random() < 0.2 else 0.6)
            spared = stuck >= _SKIPPED or fell.total() >= NUM_KILLS[model]
            found = trainings.go_on(run, model, options, kill_after=None if spared else chance.uniform(0, longest))
            assert found.status in (0, -signal.SIGKILL), (history, found)
            if found.status == 0:
                break
            when = "before the first state" if before == newest_step(run) == 0 else "later"
            torn = run.exists() and any(run.rglob(".voxgan-*"))
            fell[f"{when}, in {'a write' if torn else found.place}"] += 1
            history.append((round(found.seconds, 4), found.place, newest_step(run)))
            stuck = stuck + 1 if newest_step(run) == before else 0
            check_whole(run)
        try:
            assert_same_run(run, expected)
        except AssertionError as error:
            raise AssertionError(f"after kills at {history}, {options}: {error}") from error
        shutil.rmtree(run.parent)
    record_property("kills", dict(fell))
    print(f"\n{model}: {fell.total()} kills; " + ", ".join(f"{n} {where}" for where, n in sorted(fell.items())))


@pytest.mark.skipif(not FULL, reason="in the full tier: the readers look every 5 s")
def test_readers_end_with_the_training_that_is_killed(trainings: Trainings) -> None:
    """Processes that read batches ahead do not outlive the training by more than their watch takes, 5 s."""
    run = trainings.new()
    options = ["steps=5000", "save_every=2", "sample_every=0", "loaders=2"]
    child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run))
    wait_until(lambda: newest_step(run) > 0)
    readers = children_of(child.pid)
    child.send(signal.SIGKILL)
    assert child.wait().status == -signal.SIGKILL
    check_whole(run)
    assert len(readers) >= 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in readers), 15)


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("no /proc here that says which processes are whose")
    return [int(word) for word in path.read_text().split()]


def wait_until(what: Callable[[], bool], limit: float = 10.0) -> None:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < limit, "did not happen in time"
        time.sleep(0.002)


# ------------------------------------------------------------------------------------------- R2: at each kind of write
@EVERY
def test_killed_before_each_thing_that_happens_to_a_file(model: str, trainings: Trainings) -> None:
    events = trainings.whole(model, SHORT)[1].events
    assert len(events) > 40
    faults = []
    for number in chosen(range(1, len(events) + 1), f"die {model}", STRIDE if model == "gan3d" else STRIDE * 2):
        run = trainings.new()
        ended = trainings.train(run, model, SHORT, die_at=number)
        assert ended.status in (-signal.SIGKILL, 0)  # 0: at the very end, where the page may be drawn or not
        faults += tried(lambda run=run: trainings.assert_goes_on(run, model, SHORT), f"{number} {events[number - 1]}")
    assert not faults, "\n".join(faults)


def test_killed_while_it_draws_samples(trainings: Trainings) -> None:
    events = trainings.whole("gan3d", PICTURES)[1].events
    drawing = [i for i, event in enumerate(events, 1) if event.endswith(".png")]
    faults = []
    for number in chosen(range(drawing[0] - 1, drawing[-1] + 2), "draw", 8):
        run = trainings.new()
        assert trainings.train(run, "gan3d", PICTURES, die_at=number).status == -signal.SIGKILL
        faults += tried(lambda run=run: trainings.assert_goes_on(run, "gan3d", PICTURES), f"{events[number - 1]}")
    for number in drawing[-1:] if FULL else ():
        run = trainings.new()
        found = trainings.train(run, "gan3d", PICTURES, error_at=[number, errno.ENOSPC])
        assert found.status == 4, found
        complaint(found)
        faults += tried(lambda run=run: trainings.assert_goes_on(run, "gan3d", PICTURES), f"{events[number - 1]} full")
    assert not faults, "\n".join(faults)


@EVERY
def test_killed_within_each_write(model: str, trainings: Trainings) -> None:
    """The file is cut after 0, 1, 30 or 3,000 bytes: the kernel ends the process there."""
    ended = trainings.whole(model, SHORT)[1]
    faults = []
    for number in chosen(writes(ended), f"tear {model}", 4):
        for size in (0, 1, 30, 3000) if FULL else (random.Random(number).choice((0, 1, 30, 3000)),):
            run = trainings.new()
            torn = trainings.train(run, model, SHORT, tear_at=[number, size])
            assert torn.status in (-signal.SIGXFSZ, 4, 0), torn  # 4: it saw that a line was cut
            what = f"{number} {ended.events[number - 1]} after {size} bytes"
            faults += tried(lambda run=run: trainings.assert_goes_on(run, model, SHORT), what)
    assert not faults, "\n".join(faults)


@EVERY
def test_killed_while_it_goes_on(model: str, trainings: Trainings) -> None:
    """A run that was killed between its second state and its second weights is killed again, while it goes on."""
    events = trainings.whole(model, SHORT)[1].events
    number = [i for i, event in enumerate(events, 1) if event == "rename resume.json"][-1] + 3
    begun = trainings.new()
    trainings.train(begun, model, SHORT, die_at=number)
    again = trainings.new()
    shutil.copytree(begun, again)
    total = len(trainings.resume(again).events)
    faults = []
    for number in chosen(range(1, total + 1), f"again {model}", STRIDE // 2 or 1):
        run = trainings.new()
        shutil.copytree(begun, run)
        assert trainings.resume(run, die_at=number).status in (-signal.SIGKILL, 0)
        faults += tried(lambda run=run: trainings.assert_goes_on(run, model, SHORT), str(number))
    assert not faults, "\n".join(faults)


def chosen(numbers: Any, seed: str, stride: int = STRIDE) -> list[int]:
    """Every `stride`-th of the numbers; the first one by chance, but always the same. All in the full tier."""
    stride = 1 if FULL else stride
    return list(numbers)[random.Random(seed).randrange(stride) :: stride]


def tried(what: Callable[[], None], name: str) -> list[str]:
    """Go through all cases before failing: which ones fail says more than that one does."""
    try:
        what()
    except AssertionError as error:
        return [f"{name}: {' '.join(str(error).split())[:400]}"]
    return []


# --------------------------------------------------------------------------------------------------- R3: a full disk
@EVERY
def test_files_that_may_not_grow(model: str, trainings: Trainings) -> None:
    whole, _ = trainings.whole(model, SHORT)
    largest = max(path.stat().st_size for path in whole.iterdir())
    limits = [0, 1, 100, 900, *(largest * i // (NUM_LIMITS - 5) for i in range(1, NUM_LIMITS - 5)), largest - 1]
    for limit in limits if FULL else (0, 900, largest - 1):
        run = trainings.new()
        ended = trainings.train(run, model, SHORT, file_size=limit)
        assert ended.status == 4, (limit, ended)
        assert "free space" in complaint(ended) or "cannot write" in complaint(ended)
        assert not any(run.rglob(".voxgan-*")), limit
        trainings.assert_goes_on(run, model, SHORT)


@EVERY
def test_each_write_fails_once(model: str, trainings: Trainings) -> None:
    """From one write on no file may grow by more than some bytes: also the log's lines, pictures, class latents."""
    ended = trainings.whole(model, SHORT)[1]
    faults = []
    for number in chosen(writes(ended), f"full {model}", 5):
        for size in (0, 30) if FULL else (number % 2 * 30,):
            run = trainings.new()

            def case(run: Path = run, number: int = number, size: int = size) -> None:
                found = trainings.train(run, model, SHORT, full_at=[number, size])
                if ended.events[number - 1] == "open .partial.html" and found.status == 0:
                    return  # the page is for looking at: it never ends a run
                assert found.status == 4, found
                complaint(found)
                assert not any(run.rglob(".voxgan-*"))
                trainings.assert_goes_on(run, model, SHORT)

            faults += tried(case, f"{number} {ended.events[number - 1]} after {size} bytes")
    assert not faults, "\n".join(faults)


@EVERY
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_each_thing_that_happens_to_a_file_fails(model: str, number: int, trainings: Trainings) -> None:
    """An error of the disk in any place ends the run with status 4, or does not matter; never with a traceback."""
    events = trainings.whole(model, SHORT)[1].events
    faults = []
    for event in chosen(range(1, len(events) + 1), f"error {model} {number}", STRIDE * 2):
        run = trainings.new()

        def case(run: Path = run, event: int = event) -> None:
            found = trainings.train(run, model, SHORT, error_at=[event, number])
            assert found.status in (0, 4), found
            if found.status:
                complaint(found)
            trainings.assert_goes_on(run, model, SHORT)

        faults += tried(case, f"{event} {events[event - 1]}")
    assert not faults, "\n".join(faults)


@EVERY
def test_a_small_disk(model: str, trainings: Trainings, tmp_path: Path) -> None:
    whole, _ = trainings.whole(model, SHORT)
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()) // 1024
    disk = tmp_path / "disk"
    disk.mkdir()
    for share in [i / 20 for i in range(1, 20)] if FULL else (0.3, 0.7):
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={int(needed * share)}k", "tmpfs", str(disk)], capture_output=True
        )
        if made.returncode:
            pytest.skip("a disk cannot be mounted here")
        try:
            run = disk / "a" / "run"
            ended = trainings.train(run, model, SHORT)
            assert ended.status == 4 and "No space left" in complaint(ended), (share, ended)
            check_whole(run)
            assert not any(run.rglob(".voxgan-*"))
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            trainings.assert_goes_on(run, model, SHORT)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


# --------------------------------------------------------------------------------------------------- R4: not finite
PHASES = {"gan3d": ("discriminator", "generator"), "vae_gan3d": ("discriminator", "autoencoder")}
PLACES = [
    (model, where)
    for model in MODELS
    for where in ("data", *(f"{phase} {what}" for phase in PHASES[model] for what in ("loss", "gradient")))
    if FULL or not (model == "vae_gan3d" and where.startswith("discriminator"))
]
BAD = [
    (model, where, value)
    for model, where in PLACES
    for value in ("nan", "inf", "-inf")
    if FULL or (value == "nan" and model == "vae_gan3d") or (value == "inf" and model == "gan3d")
]


def poison(model: str, where: str, value: str, first: int, last: int) -> dict[str, Any]:
    return {"model": model, "where": where, "value": value, "first": first, "last": last}


def states_of(run: Path) -> dict[int, dict[str, torch.Tensor]]:
    states = json.loads((run / "resume.json").read_text())["states"]
    return {state["step"]: load_file(run / state["file"]) for state in states}


def differing(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [key for key in a if not torch.equal(a[key], b[key])]


@pytest.mark.parametrize(("model", "where", "value"), BAD)
def test_a_bad_step_moves_nothing(model: str, where: str, value: str, trainings: Trainings) -> None:
    """Weights, buffers, moments and average after it are those before it, and the gate remembers the last good step.

    Where the second phase is bad, the discriminator has learned already, from a loss and gradients that were finite.
    """
    run = trainings.new()
    options = ["steps=3", "save_every=1", "sample_every=0", "gate=1"]
    ended = trainings.train(run, model, options, poison=poison(model, where, value, 2, 2))
    assert ended.status == 0, ended.err
    states = json.loads((run / "resume.json").read_text())["states"]
    assert [state["step"] for state in states] == [3, 2]
    found = states_of(run)
    learned = where.startswith(PHASES[model][1])
    free = ("model/discriminator", "optimizer/discriminator") if learned else ()
    moved = differing(found[2], found[3])
    assert [key for key in moved if not key.startswith(free) or "running" in key or "num_batches" in key] == []
    assert all(torch.isfinite(value).all() for state in found.values() for value in state.values())
    for state in states:  # how many bad steps came last is remembered, too
        state["figures"].pop("bad_steps", None)
    assert states[0]["figures"] == states[1]["figures"]
    assert [line["step"] for line in log_of(run)] == [1, 2, 3]


@pytest.mark.parametrize(("model", "where"), PLACES)
def test_bad_steps_in_a_row_end_the_run(model: str, where: str, trainings: Trainings) -> None:
    """Status 5, one line; the last state is whole, finite, and what it would be had nothing happened yet."""
    options = ["steps=40", "save_every=2", "sample_every=0", "gate=1", "cosine=false"]
    run = trainings.new()
    ended = trainings.train(run, model, options, poison=poison(model, where, "nan", 5, 99))
    assert ended.status == 5, ended
    assert "not finite" in complaint(ended)
    check_whole(run)
    step = newest_step(run)
    assert step >= 4 and len(log_of(run)) <= 15
    expected, _ = trainings.whole(model, ["steps=4", *options[1:]])
    found = states_of(run)
    assert all(torch.isfinite(value).all() for state in found.values() for value in state.values())
    assert 4 in found and differing(found[4], states_of(expected)[4]) == []
    again = trainings.resume(run, "steps=12")  # what made it bad is gone
    assert again.status == 0, again.err
    assert [line["step"] for line in log_of(run)] == list(range(1, 13))


@EVERY
def test_bad_steps_here_and_there_do_not_end_the_run(model: str, trainings: Trainings) -> None:
    options = ["steps=8", "save_every=1", "sample_every=0"]
    run = trainings.new()
    ended = trainings.train(run, model, options, poison=poison(model, f"{PHASES[model][1]} loss", "nan", 1, 4))
    assert ended.status == 0, ended.err
    assert [line["step"] for line in log_of(run)] == list(range(1, 9))
    check_whole(run)


def edited(run: Path, change: Callable[[dict[str, torch.Tensor]], None], index: int = 0) -> None:
    """Edit a saved state by hand, with its SHA-256."""
    resume = json.loads((run / "resume.json").read_text())
    entry = resume["states"][index]
    tensors = load_file(run / entry["file"])
    change(tensors)
    save_file(tensors, run / entry["file"])
    entry["sha256"] = hashlib.sha256((run / entry["file"]).read_bytes()).hexdigest()
    (run / "resume.json").write_text(json.dumps(resume))


@pytest.fixture(scope="module")
def half_way(trainings: Trainings) -> Path:
    """A run of eight steps that was killed in the seventh: the states of steps 6 and 4 are there."""
    run = trainings.new()
    number = lines(trainings.whole("gan3d", LONG)[1])[6]
    assert trainings.train(run, "gan3d", LONG, die_at=number).status == -signal.SIGKILL
    assert newest_step(run) == 6
    return run


LONG = ["steps=8", "save_every=2", "sample_every=0"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["model/generator", "model/discriminator", "average/", "optimizer/"])
def test_a_saved_state_that_is_not_finite(part: str, value: float, trainings: Trainings, half_way: Path) -> None:
    """It is no whole state: the one before it is taken."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        name = next(key for key in sorted(tensors) if key.startswith(part) and tensors[key].ndim > 1)
        tensors[name].view(-1)[0] = value

    run = trainings.new()
    shutil.copytree(half_way, run)
    edited(run, change)
    trainings.assert_goes_on(run, "gan3d", LONG)


def test_all_saved_states_that_are_not_finite(trainings: Trainings, half_way: Path) -> None:
    run = trainings.new()
    shutil.copytree(half_way, run)
    for index in (0, 1):
        edited(run, lambda tensors: tensors["model/generator.layers.0.weight"].fill_(float("nan")), index)
    ended = trainings.resume(run)
    assert ended.status == 3, ended
    assert "state" in complaint(ended)


# ------------------------------------------------------------------------------------------- R4: going back (retries)
RETRIES = ["steps=12", "save_every=2", "sample_every=0", "gate=1", "retries=2"]


def test_a_divergence_goes_back_to_the_last_state_with_lower_rates(trainings: Trainings) -> None:
    """Bad from the sixth step on, five times: back to the state before, and on to the end."""
    run = trainings.new()
    ended = trainings.train(run, "gan3d", RETRIES, poison=poison("gan3d", "generator loss", "nan", 5, 9))
    assert ended.status == 0, ended
    check_whole(run)
    assert [line["step"] for line in log_of(run)] == list(range(1, 13))
    assert all(torch.isfinite(value).all() for state in states_of(run).values() for value in state.values())
    plain = trainings.whole("gan3d", RETRIES)[0]
    assert log_of(run)[:5] == log_of(plain)[:5]
    assert all(a != b for a, b in zip(log_of(run)[6:], log_of(plain)[6:], strict=True))  # other rates, other noise


def test_going_back_ends_after_so_many_times(trainings: Trainings) -> None:
    run = trainings.new()
    ended = trainings.train(run, "gan3d", RETRIES, poison=poison("gan3d", "generator loss", "nan", 5, 9999))
    assert ended.status == 5, ended
    complaint(ended)
    check_whole(run)
    assert newest_step(run) >= 4
    assert all(torch.isfinite(value).all() for state in states_of(run).values() for value in state.values())


def test_a_divergence_before_the_first_state_ends_the_run_or_starts_anew(trainings: Trainings) -> None:
    run = trainings.new()
    ended = trainings.train(run, "gan3d", RETRIES, poison=poison("gan3d", "generator loss", "nan", 0, 4))
    assert ended.status in (0, 5), ended
    if ended.status == 5:
        complaint(ended)
    else:
        assert [line["step"] for line in log_of(run)] == list(range(1, 13))


def test_killed_after_going_back_the_lower_rates_stay(trainings: Trainings) -> None:
    faults = poison("gan3d", "generator loss", "nan", 5, 9)
    expected = trainings.new()
    ended = trainings.train(expected, "gan3d", RETRIES, poison=faults)
    run = trainings.new()
    renames = [i for i, event in enumerate(ended.events, 1) if event == "rename resume.json"]
    killed = trainings.train(run, "gan3d", RETRIES, poison=faults, die_at=renames[-2] + 10)
    assert killed.status == -signal.SIGKILL
    assert trainings.resume(run).status == 0
    assert log_of(run) == log_of(expected)
    found, wanted = states_of(run), states_of(expected)
    assert [differing(found[step], wanted[step]) for step in found] == [[], []]


# -------------------------------------------------------------------------------------------- R10: Ctrl-C and SIGTERM
def assert_left(ended: Ended, run: Path, number: int, in_loop: bool = True) -> None:
    """It left with 130 (or, before and after the loop, by the signal itself), without a word too many."""
    allowed = (130,) if in_loop else (130, 0, -signal.SIGTERM)
    assert ended.status in allowed, ended
    if ended.status == 130:
        complaint(ended)
    assert "Traceback" not in ended.err and "Exception ignored" not in ended.err
    assert not run.exists() or ended.status < 0 or not any(run.rglob(".voxgan-*"))


@EVERY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_in_any_place(model: str, number: signal.Signals, trainings: Trainings) -> None:
    events = trainings.whole(model, SHORT)[1].events
    logs = lines(trainings.whole(model, SHORT)[1])
    faults = []
    for event in chosen(range(1, len(events) + 1), f"signal {model} {number}", STRIDE * 2):
        run = trainings.new()

        def case(run: Path = run, event: int = event) -> None:
            ended = trainings.train(run, model, SHORT, signal_at=[[event, number]])
            assert_left(ended, run, number, in_loop=logs[0] <= event <= logs[-2])
            if logs[0] <= event <= logs[-2]:  # saved after the step in hand, or the one after it
                step = sum(log <= event for log in logs)
                assert step <= newest_step(run) <= step + 1 and newest_step(run) == log_of(run)[-1]["step"]
            check_whole(run)
            if (run / "config.json").exists():
                again = trainings.resume(run)
                assert again.status == 0, again.err
                same_end(run, trainings.whole(model, SHORT)[0])
            shutil.rmtree(run.parent, ignore_errors=True)

        faults += tried(case, f"{event} {events[event - 1]}")
    assert not faults, "\n".join(faults)


def same_end(found: Path, expected: Path) -> None:
    """The same last state, weights and log; which state stands before the last one depends on when it was stopped."""
    check_whole(found)
    assert log_of(found) == log_of(expected)
    assert table_of(found) == table_of(expected)
    states = [json.loads((run / "resume.json").read_text())["states"] for run in (found, expected)]
    assert states[0][0] == states[1][0]
    assert json.loads((found / "config.json").read_text()) == json.loads((expected / "config.json").read_text())
    named = {state["file"] for state in states[0]}
    assert {name for name in files_of(found) if name.startswith("state-")} == named
    others = [[name for name in files_of(run) if not name.startswith("state-")] for run in (found, expected)]
    assert others[0] == others[1]


@EVERY
def test_signals_at_random_times(model: str, trainings: Trainings) -> None:
    chance = random.Random(f"signals {model}")
    options = ["steps=8", "save_every=3", "sample_every=0"]
    expected, whole = trainings.whole(model, options)
    for _ in range(NUM_SIGNALS):
        run = trainings.new()
        number = chance.choice((signal.SIGINT, signal.SIGTERM))
        child = trainings.server.start(*trainings.words(run, model, options), folder=str(run))
        time.sleep(chance.uniform(0, whole.seconds * 0.9))
        child.send(number)
        ended = child.wait()
        begun = (run / "log.jsonl").exists() and len(log_of(run)) < 8
        assert_left(ended, run, number, in_loop=begun)
        if begun:
            assert newest_step(run) == len(log_of(run))
        if (run / "config.json").exists():
            assert trainings.resume(run).status == 0
            same_end(run, expected)
        shutil.rmtree(run.parent, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_to_all_processes(number: signal.Signals, trainings: Trainings) -> None:
    """A terminal's Ctrl-C and a cluster's SIGTERM reach those that read ahead, too: they leave it to the first."""
    run = trainings.new()
    options = ["steps=5000", "save_every=2", "sample_every=0", "loaders=2"]
    child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run))
    wait_until(lambda: newest_step(run) > 0)
    for pid in [*children_of(child.pid), child.pid]:
        os.kill(pid, number)
    assert_left(child.wait(), run, number)
    check_whole(run)
    step = newest_step(run)
    assert step == len(log_of(run))
    assert trainings.resume(run, f"steps={step + 2}", "loaders=0").status == 0
    assert [line["step"] for line in log_of(run)] == list(range(1, step + 3))


def test_a_reader_that_is_killed(trainings: Trainings) -> None:
    """As by a system that is out of memory: status 4, one line, and the run can be gone on with."""
    run = trainings.new()
    options = ["steps=5000", "save_every=2", "sample_every=0", "loaders=2"]
    child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run))
    wait_until(lambda: newest_step(run) > 0)
    os.kill(children_of(child.pid)[0], signal.SIGKILL)
    ended = child.wait()
    assert ended.status == 4, ended
    complaint(ended)
    check_whole(run)
    assert trainings.resume(run, f"steps={newest_step(run) + 2}", "loaders=0").status == 0


@EVERY
def test_a_second_signal_while_it_saves(model: str, trainings: Trainings) -> None:
    """The first comes with step 2's line in the log, so that step 2 or 3 is the last; the second after it."""
    first = lines(trainings.whole(model, SHORT)[1])[1]
    faults = []
    for more in chosen(range(1, 56), f"second {model}", STRIDE):
        run = trainings.new()

        def case(run: Path = run, more: int = more) -> None:
            pairs = [[first, signal.SIGINT], [first + more, signal.SIGINT]]
            assert_left(trainings.train(run, model, SHORT, signal_at=pairs), run, signal.SIGINT)
            check_whole(run)
            assert newest_step(run) == len(log_of(run)) in (2, 3)
            assert trainings.resume(run).status == 0
            same_end(run, trainings.whole(model, SHORT)[0])

        faults += tried(case, f"{first + more}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("pause", [0.02, 0.1])
def test_an_impatient_user(pause: float, trainings: Trainings) -> None:
    """Ctrl-C again and again until it is over."""
    options = ["steps=400", "save_every=100", "sample_every=0"]
    for _ in range(20 if FULL else 2):
        run = trainings.new()
        child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run))
        wait_until(lambda run=run: (run / "log.jsonl").exists() and (run / "log.jsonl").stat().st_size > 0)
        for _ in range(int(0.4 / pause)):
            child.send(signal.SIGINT)
            time.sleep(pause)
        ended = child.wait()
        assert ended.status == 130, ended
        assert ended.err.splitlines()[-1].startswith("voxgan: "), ended.err
        check_whole(run)
        assert newest_step(run) == len(log_of(run))


def test_the_command_that_is_shown_goes_on(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("with blanks", "é 漢字", "-dash", "it's; $HOME", *(("🪑", "--out", "resume", "a=b") if FULL else ())):
        whole = trainings.whole("gan3d", SHORT)[0]
        folder = trainings.new().parent
        folder.mkdir()
        event = lines(trainings.whole("gan3d", SHORT)[1])[1]
        words = ["train", "gan3d", trainings.data, f"--out={name}", *OPTIONS["gan3d"], *SHORT]
        ended = trainings.server.run(*words, cwd=str(folder), folder=name, signal_at=[[event, signal.SIGINT]])
        assert ended.status == 130, (name, ended)
        said = complaint(ended).split("go on with", 1)[1]
        command = shlex.split(said)
        assert command[0] == "voxgan"
        again = trainings.server.run(*command[1:], cwd=str(folder))
        assert again.status == 0, (name, said, again.err)
        same_end(folder / name, whole)


# ----------------------------------------------------------------------------------------- two at once, odd folders
def test_two_trainings_into_one_folder(trainings: Trainings) -> None:
    expected, whole = trainings.whole("gan3d", SHORT)
    chance = random.Random(2)
    for _ in range(20 if FULL else 4):
        run = trainings.new()
        first = trainings.server.start(*trainings.words(run, "gan3d", SHORT))
        time.sleep(chance.uniform(0, whole.seconds / 2))
        second = trainings.server.start(*trainings.words(run, "gan3d", SHORT))
        ends = sorted((first.wait(), second.wait()), key=lambda ended: ended.status)
        assert ends[0].status == 0, ends
        assert ends[1].status in (2, 4), ends
        complaint(ends[1])
        assert_same_run(run, expected)


def test_two_that_both_found_the_folder_empty(trainings: Trainings) -> None:
    """The second looked before the first began, and goes on when the first is done: it destroys nothing."""
    expected, _ = trainings.whole("gan3d", SHORT)
    run = trainings.new()
    late = trainings.server.start(*trainings.words(run, "gan3d", [*SHORT, "seed=7"]), folder=str(run), stop_at=".lock")
    wait_until(late.stopped)
    assert trainings.train(run, "gan3d", SHORT).status == 0
    late.send(signal.SIGCONT)
    ended = late.wait()
    assert ended.status in (2, 4), ended
    complaint(ended)
    assert_same_run(run, expected)


def test_going_on_with_a_run_that_is_under_way(trainings: Trainings) -> None:
    run = trainings.new()
    options = ["steps=5000", "save_every=1", "sample_every=0"]
    child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run))
    wait_until(lambda: newest_step(run) > 0)
    for _ in range(3):
        ended = trainings.resume(run)
        assert ended.status == 4 and "another process" in complaint(ended), ended
    child.send(signal.SIGINT)
    assert child.wait().status == 130
    check_whole(run)
    assert [line["step"] for line in log_of(run)] == list(range(1, newest_step(run) + 1))


@EVERY
def test_a_read_only_folder(model: str, trainings: Trainings) -> None:
    parent = trainings.new().parent
    parent.mkdir()
    parent.chmod(0o555)
    ended = trainings.train(parent / "run", model, SHORT, unprivileged=True)
    assert ended.status == 4 and "Permission denied" in complaint(ended), ended
    assert list(parent.iterdir()) == []
    parent.chmod(0o755)
    events = trainings.whole(model, SHORT)[1].events
    run = trainings.new()
    trainings.train(run, model, SHORT, die_at=len(events) // 2)
    before = {name: (run / name).read_bytes() for name in files_of(run) if name != "events.jsonl"}
    run.chmod(0o555)
    ended = trainings.resume(run, unprivileged=True)
    assert ended.status == 4 and "Permission denied" in complaint(ended), ended
    run.chmod(0o755)
    assert {name: (run / name).read_bytes() for name in before} == before  # told before a step is taken
    assert set(files_of(run)) == {*before, "events.jsonl"}
    trainings.assert_goes_on(run, model, SHORT)


def test_a_folder_that_becomes_read_only_under_way(trainings: Trainings) -> None:
    run = trainings.new()
    options = ["steps=5000", "save_every=1", "sample_every=0"]
    child = trainings.server.start(*trainings.words(run, "gan3d", options), folder=str(run), unprivileged=True)
    wait_until(lambda: newest_step(run) > 1)
    run.chmod(0o555)
    ended = child.wait()
    run.chmod(0o755)
    assert ended.status == 4 and "Permission denied" in complaint(ended), ended
    check_whole(run)
    step = newest_step(run)
    assert trainings.resume(run, f"steps={step + 1}").status == 0
    assert [line["step"] for line in log_of(run)] == list(range(1, step + 2))
