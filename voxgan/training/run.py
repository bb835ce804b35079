"""A whole run: its folder, its loop, its end; going on where it stopped."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import math
import os
import platform
import resource
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from voxgan import __version__, checkpoint, models
from voxgan.batches import step_seed
from voxgan.checkpoint import (
    describe,
    load_state,
    newest_step,
    require_finite,
    save_class_latents,
    save_model,
    save_state,
    sweep_states,
)
from voxgan.class_latents import fit_class_latents
from voxgan.dataset import Dataset
from voxgan.diversity import Diversity
from voxgan.errors import (
    CheckpointError,
    DatasetError,
    DivergedError,
    InputError,
    MissingExtraError,
    RankError,
    StorageError,
    UsageError,
    VoxganError,
)
from voxgan.files import check_output, exclusive, sweep_temporaries, write_json
from voxgan.loader import load_batches, readers_watched
from voxgan.models.model import Model, make_config
from voxgan.samples import samples
from voxgan.training.options import (
    Training,
    asked_resolution,
    check_data,
    check_options,
    matrix_precision,
    resolve,
    split_options,
)
from voxgan.training.ranks import Ranks, joined, told_once
from voxgan.training.record import Record, read_log
from voxgan.training.report import write_report
from voxgan.training.signs import TrainingWarning, Watch
from voxgan.training.start import take_over
from voxgan.training.step import Figures, Stepper

__all__ = ["Report", "resume", "train"]

Report = Callable[[int, int, Mapping[str, float]], None]

_MAX_BAD_STEPS = 5
_FILES = ("log.jsonl", "log.csv", "events.jsonl", "resume.json", "report.html")


def train(
    model: str,
    data: str | Path,
    out: str | Path,
    report: Report | None = None,
    **options: Any,
) -> Model:
    """Train a model on a data set, into a new run folder.

    A model with an image encoder gets class latents at the end (`voxgan.class_latents`), so that it can be sampled.

    Parameters
    ----------
    model : str
        Name of a preset (``voxgan list`` shows them) or of a model.
    data : path
        HDF5 file made by `voxgan.prepare`.
    out : path
        Run folder: ``config.json``, weights, ``log.jsonl`` and ``log.csv``, ``events.jsonl``, ``report.html``,
        ``samples/``, training states. Must not hold a run. Under torchrun, all processes must see it.
    report : callable, optional
        Called after every step with the step, the number of steps, and the step's figures. Warnings go to its method
        ``say``, where it has one; else to Python's warnings, as `voxgan.training.TrainingWarning`.
    **options
        Fields of `Training` or of the model's ``Config``; they override the preset's.

    Returns
    -------
    Model
        With averaged weights, in evaluation mode. Under torchrun only the first process has these; the others' model
        has the weights of the last step.

    Raises
    ------
    UsageError
        For an unknown model, option, or combination.
    DatasetError, StorageError
        If the data cannot be used, or the folder not be written.
    DivergedError
        If the loss leaves the finite numbers more often than `retries`; the last checkpoint is whole.
    RankError
        Under torchrun, if another process is lost.
    """
    with told_once():
        if not str(out):
            raise UsageError("no run folder given: out is empty")
        kind, merged, wanted = resolve(model, options)  # unknown keys are told before anything is opened
        device = split_options(kind, merged)[1].device
    out = Path(out)
    with joined(device) as ranks, contextlib.ExitStack() as held:
        with ranks.together():
            if ranks.first:
                _refuse_former(out)
            check_options(*split_options(kind, merged), ranks)
            dataset = held.enter_context(Dataset(data, "train", wanted or None, resolution=asked_resolution(merged)))
            merged.setdefault("resolution", dataset.resolution)
            merged["classes"] = wanted or tuple(dataset.classes)
            config, training = split_options(kind, merged)
            training = training.on(ranks.device)
            check_data(kind, config, training, dataset, ranks)
            torch.manual_seed(step_seed(training.seed, -1))
            network = kind(config)
            taken = take_over(network, training.start) if training.start else ()
            if "encoder" not in taken:
                network.begin()
            facts = {
                "preset": model,
                "data": str(Path(data).resolve()),
                "fingerprint": dataset.fingerprint(),
                "options": dataclasses.asdict(training),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "ranks": ranks.count,
                "machine": _machine(ranks),
                "shapes": len(dataset),
                "voxgan": __version__,
            }
            if ranks.first:
                check_output(out / "config.json")
                held.enter_context(exclusive(out))
                _refuse_former(out)  # of a run that began, and ended, since
                sweep_temporaries(out)
                if (out / "config.json").exists():
                    for leftover in _FILES:
                        (out / leftover).unlink(missing_ok=True)
                write_json(out / "config.json", describe(network) | {"weights": None, "training": facts})
        held.enter_context(matrix_precision(training.precision))
        run = _Run(network, dataset, training, out, facts, report, ranks)
        held.enter_context(run.signals())
        held.enter_context(run)
        with ranks.together():
            run.open_record(0)
            begins = f", with {' and '.join(taken)} of {training.start}" if taken else ""
            run.tell(0, "started", f"{training.steps} steps of {training.batch} shapes on {_where(ranks)}{begins}")
        return run.go(0)


def resume(run: str | Path, report: Report | None = None, data: str | Path | None = None, **changes: Any) -> Model:
    """Continue a run from its last training state, bit for bit as if it had not stopped.

    The promise holds for the same number of threads and of ranks, on the same kind of device; any number of ranks can
    go on from any state.

    Parameters
    ----------
    run : path
        The run folder.
    report : callable, optional
        As for `train`.
    data : path, optional
        Where the data set is now, if it was moved.
    **changes
        Fields of `Training` to change from here on, such as ``steps``. The promise above holds without them.

    Returns
    -------
    Model
        With averaged weights, in evaluation mode. Under torchrun only the first process has these; the others' model
        has the weights of the last step.

    Raises
    ------
    CheckpointError, StorageError
        If the folder holds no run that can be continued.
    UsageError
        For an unknown field, or a value that cannot be.
    RankError
        Under torchrun, if another process is lost.
    """
    with told_once():
        folder, content = checkpoint.read_config(run)
        facts = content.get("training")
        if not isinstance(facts, dict) or not isinstance(facts.get("options"), dict) or not facts.get("data"):
            raise CheckpointError(f"{folder}: holds a model, but no run that could be continued")
        check_changes(content, changes)
        former = dict(facts["options"])
        facts["options"].update(changes)
        training = make_config(Training, facts["options"])
        if data is not None:
            facts["data"] = str(Path(data).resolve())
    with joined(training.device) as ranks, contextlib.ExitStack() as held:
        with ranks.together():
            training = training.on(ranks.device)
            facts["options"] = dataclasses.asdict(training)
            torch.manual_seed(step_seed(training.seed, -1))
            network = checkpoint.build(content)
            check_options(network.config, training, ranks, fresh=False)
            if ranks.first:
                held.enter_context(exclusive(folder))
                check_output(folder / "config.json")
            if facts.get("ranks", 1) == ranks.count:
                held.enter_context(_threads(facts.get("threads")))
            facts |= {"ranks": ranks.count, "threads": torch.get_num_threads(), "machine": _machine(ranks)}
            dataset = held.enter_context(
                Dataset(facts["data"], "train", network.config.classes or None, resolution=network.config.resolution)
            )
            check_data(type(network), network.config, training, dataset, ranks)
            if facts.setdefault("fingerprint", dataset.fingerprint()) != dataset.fingerprint():
                raise DatasetError(
                    f"{dataset.path}: not the shapes that this run was trained on; name the data set with data=PATH"
                )
            step, tensors, figures = 0, None, dict[str, float]()
            if (folder / "resume.json").is_file():
                step, tensors, figures = load_state(folder)
            elif content.get("weights") is not None:
                raise CheckpointError(
                    f"{folder}: its resume.json is gone, which names the states; put it back, or start a new run"
                )
            if step > training.steps:
                raise UsageError(f"steps={training.steps}: {folder} is at step {step} already; give more, or none")
        with ranks.together():
            if ranks.first:
                sweep_states(folder)
        held.enter_context(matrix_precision(training.precision))
        run_ = _Run(network, dataset, training, folder, facts, report, ranks)
        held.enter_context(run_.signals())
        held.enter_context(run_)
        with ranks.together():
            if tensors is not None:
                run_.restore(step, tensors, figures)
            run_.open_record(step)
            changed = [f"{k} {former.get(k)} → {v}" for k, v in facts["options"].items() if former.get(k, v) != v]
            if data is not None:
                changed.append(f"data {facts['data']}")
            run_.tell(step, "resumed", f"from step {step} on {', '.join([_where(ranks), *changed])}")
            newest = newest_step(folder)
            if newest is not None and newest != step:
                run_.tell(step, "warning", f"the state of step {newest} is damaged; going on from that of step {step}")
        return run_.go(step)


def _refuse_former(out: Path) -> None:
    """Refuse a folder with a run that has taken a step, or with files of others that a run would replace."""
    try:
        found = [name for name in _FILES if (out / name).exists()]
        begun = (out / "config.json").exists()
        ran = "resume.json" in found or ("log.jsonl" in found and (out / "log.jsonl").stat().st_size > 0)
    except OSError as error:
        raise StorageError(f"cannot use {out} as run folder: {error.strerror or error}; choose another") from error
    if begun and (ran or checkpoint.read_config(out)[1].get("weights") is not None):
        name = shlex.quote(str(out))
        raise UsageError(f"{out} holds a run already; continue it with  voxgan resume {name}  or choose another --out")
    if found and not begun:
        raise UsageError(f"{out} holds {', '.join(found)}, which a run would replace; choose another --out")


def check_changes(content: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse changes of a run that are not of the training but of the model, or that cannot be.

    Parameters
    ----------
    content : mapping
        The run's ``config.json``.
    changes : mapping
        As `resume` takes them.

    Raises
    ------
    UsageError
        In one line.
    """
    known = {field.name for field in dataclasses.fields(Training)}
    kind = models.find(str(content.get("model")))
    fixed = [key for key in changes if key not in known and key in {f.name for f in dataclasses.fields(kind.Config)}]
    if fixed:
        raise UsageError(
            f"{fixed[0]} is the model's, and fixed when a run begins; start a new run with it "
            f"(resume can change {', '.join(sorted(known))})"
        )
    make_config(Training, changes)


@contextlib.contextmanager
def _threads(count: Any) -> Iterator[None]:
    """Compute with so many threads, on which bit-exactness depends, for the block."""
    former = torch.get_num_threads()
    torch.set_num_threads(count if isinstance(count, int) and count > 0 else former)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def _machine(ranks: Ranks) -> str:
    """Name the device in words."""
    if ranks.device.type == "cuda":
        return torch.cuda.get_device_name(ranks.device)
    return f"{platform.machine()} processor"


def _where(ranks: Ranks) -> str:
    many = f"{ranks.count} ranks of " if ranks.count > 1 else ""
    threads = torch.get_num_threads()
    return f"{many}{_machine(ranks)}, {threads} thread" + ("s" if threads > 1 else "")


def keep_freed_memory() -> None:
    """Let the C library keep what is freed (Linux, glibc).

    It gives every block above 32 MB back to the system at once, whose pages are then made again, one fault each, in
    the next step: a fifth of a step's time on a CPU. It holds for the whole process, and costs nothing but the memory
    that the largest step has needed.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)


def _lag(device: torch.device) -> int:
    """Return how many steps may be under way: a GPU gets the next one before the figures of the last are read."""
    return 1 if device.type == "cuda" else 0


def _chance(model: Model) -> float | None:
    """Return D's adversarial loss where it says of everything that it does not know; None for critics."""
    loss = model.adversary
    if loss.CRITIC:
        return None
    undecided = torch.full((1,), loss.UNDECIDED)
    return float(loss.discriminator_loss(undecided, undecided))


def _peak_memory(device: torch.device) -> float:
    """Return the most memory that was in use so far, in GB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class _Run:
    """A training under way: what takes the steps, and its folder.

    On all ranks but the first it writes nothing.
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        training: Training,
        folder: Path,
        facts: Mapping[str, Any],
        report: Report | None,
        ranks: Ranks,
    ) -> None:
        self.ranks = ranks
        self.data, self.training, self.folder, self.facts, self.report = data, training, folder, facts, report
        self.plan = training.plan(type(model), model.config)
        self.diversity = Diversity(data, self.plan, training.seed)
        keep_freed_memory()
        with self.ranks.watched():
            self.stepper = Stepper(model, training, self.ranks, self.plan)
        self.model = self.stepper.model
        self.watch = self._watch(0)
        self.record: Record | None = None
        self.last: Mapping[str, float] = {}  # what the gate looks at
        self.sound: Mapping[str, float] = {}  # of the last step that was
        self.done = 0
        self.bad_steps = 0
        self.saved: int | None = None
        self.stop = False
        self._reported = (0.0, 0.0)  # when, and how long it took
        self._settled = time.perf_counter()  # when the last step was done with

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.record is None:
            return
        if isinstance(error, Exception):
            text = " ".join(str(error).split()) or type(error).__name__
            with contextlib.suppress(VoxganError, OSError):  # a full disk holds no event either
                self.record.event(self.done, "failed", text)
                if not isinstance(error, RankError):  # torchrun is about to end this process, too
                    self._write_report()
        self.record.close()

    def open_record(self, step: int) -> None:
        """Take up the record of the run at `step`; the first rank keeps it."""
        if self.ranks.first:
            self.record = Record(self.folder, step, self.training.tensorboard)
            self.watch = self._watch(step)

    def _watch(self, step: int) -> Watch:
        watch = Watch([phase.name for phase in self.stepper.phases], _chance(self.model))
        if step:
            watch.replay(read_log(self.folder))
        return watch

    def tell(self, step: int, kind: str, text: str) -> None:
        """Put into the record what happened; warnings are said at once, too."""
        if self.record is None:
            return
        self.record.event(step, kind, text)
        if kind in ("warning", "retry"):
            say = getattr(self.report, "say", None)
            if say is not None:
                say(f"step {step}: {text}")
            else:
                warnings.warn(f"step {step}: {text}", TrainingWarning, stacklevel=6)

    def go(self, start: int) -> Model:
        """Run steps `start` + 1 to the end; return the averaged model."""
        done = start
        with readers_watched(), self.ranks.watched(self._advice):
            if self.training.retries and not start:
                self.save(0)
            while done < self.training.steps:
                try:
                    done = self._steps(done)
                except DivergedError as error:
                    done = self._go_back(error)
            if done == start or self.saved != done:  # the last stop may have come between its state and its weights
                self.save(done)
            model = self.stepper.snapshot()
            if self.ranks.first and "image" in model.conditions:
                stage = getattr(self.report, "stage", None)
                told = None if stage is None else stage("fitting class latents", "shapes")
                with contextlib.suppress(InputError):  # codes that are not finite: samples are the prior's then
                    model.class_latents = fit_class_latents(model, self.data, told)
                    save_class_latents(model.class_latents, self.folder)
            self.tell(done, "finished", f"all {done} steps done")
            self._write_report()
        return model

    def _steps(self, start: int) -> int:
        """Run steps `start` + 1 to the last; return its number."""
        training, steps = self.training, self.training.steps
        raws = load_batches(
            self.data,
            training.batch,
            training.seed,
            self.plan,
            start,
            steps,
            training.loaders,
            self.ranks.share(training.batch),
        )
        lag = _lag(self.ranks.device)
        waiting: collections.deque[tuple[int, Figures]] = collections.deque()
        leaving = False
        with contextlib.closing(raws):
            self._settled = time.perf_counter()
            for number, raw in zip(range(start, steps), raws, strict=True):
                figures = self.stepper.run(number, raw, self.last, self.stop)
                self.last, done = figures, number + 1
                waiting.append((done, figures))
                pause = self._due(done, training.sample_every) or self._due(done, training.save_every)
                while len(waiting) > (0 if pause or leaving else lag):
                    leaving |= self._settle(*waiting.popleft())
                if leaving and not waiting:
                    if self.saved != done and self.bad_steps < 2:
                        self.save(done)
                    self.tell(done, "stopped", f"stopped after step {done}; {self._whole()}")
                    self._write_report()
                    raise KeyboardInterrupt(f"stopped after step {done}; {self._whole()}")
        return steps

    def _settle(self, done: int, figures: Figures) -> bool:
        """Record a step, as soon as its figures are there; return whether the run is to be left."""
        values = dict(figures)
        self.done = done
        seconds = time.perf_counter() - self._settled
        asked = values.pop("stop") > 0
        self.bad_steps = 0 if values["sound"] else self.bad_steps + 1
        if values["sound"]:
            self.sound = {key: value for key, value in values.items() if math.isfinite(value)}
        if self.last is figures:  # a batch that was not finite tells the gate nothing; on a GPU it may have looked
            self.last = self.sound
        values["shapes_per_s"] = self.training.batch / seconds
        values["memory_gb"] = _peak_memory(self.ranks.device)
        sound = self.bad_steps < 2  # a single bad step was skipped, and has changed nothing
        if self.record is not None:
            if not values["sound"]:
                self.record.event(done, "skipped", "a loss or a gradient was not finite; weights stayed as they were")
            if sound and self._due(done, self.training.sample_every):
                values |= self._sample(done)
            self.record.step(done, values)
            for text in self.watch(done, values):
                self.tell(done, "warning", text)
        self._refuse_divergence(done)
        if sound and self._due(done, self.training.save_every):
            self.save(done)
        if self.report is not None and self.ranks.first:
            self.report(done, self.training.steps, values)
        self._settled = time.perf_counter()
        return asked or (self.stop and self.ranks.count == 1)

    def _due(self, done: int, every: int) -> bool:
        return every > 0 and (done % every == 0 or done == self.training.steps)

    def _whole(self) -> str:
        """Say which step can be gone on from."""
        step = newest_step(self.folder)
        return "nothing is saved yet" if step is None else f"step {step} is saved"

    def _advice(self) -> str:
        return f"{self._whole()}; go on with  resume {self.folder}  in place of train, on any number of ranks"

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the run after the step in hand."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            if not self.stop and hasattr(self.report, "say") and sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\nstopping after this step\n")
            self.stop = True

        former = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except RankError:
            del former[signal.SIGTERM]  # torchrun is about to send it: first the line that says what happened
            raise
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _refuse_divergence(self, done: int) -> None:
        if self.bad_steps >= _MAX_BAD_STEPS or (self.bad_steps > 1 and done == self.training.steps):
            raise self._diverged(f"the loss was not finite in the last {self.bad_steps} of {done} steps")

    def _diverged(self, what: str) -> DivergedError:
        """Return the error of a run that has left the finite numbers, which all ranks meet and one tells."""
        error = DivergedError(
            f"{what}; {self._whole()} in {self.folder}: start anew, in another folder, with lower rates"
        )
        error.told = not self.ranks.first
        return error

    def _go_back(self, error: DivergedError) -> int:
        """Take up the last saved state once more, with lower rates and other noise, if that is left; return its step.

        Raises
        ------
        DivergedError
            `error`, if it is not.
        """
        attempt, most = self.stepper.attempt + 1, self.training.retries
        if attempt > most or newest_step(self.folder) is None:
            raise error
        step, tensors, figures = load_state(self.folder)
        self.restore(step, tensors, figures)
        self.stepper.attempt = attempt
        if self.record is not None:
            self.record.rewind(step)
            self.watch = self._watch(step)
        factor = self.training.retry_rate**attempt
        self.tell(
            step,
            "retry",
            f"{str(error).split(';')[0]}; back to the state of step {step} with all rates × {factor:g} "
            f"(attempt {attempt} of {most})",
        )
        return step

    def save(self, step: int) -> None:
        """Write the training state, then the weights for use."""
        state = self.stepper.state()
        try:
            require_finite(state)  # weights and moments are the same on all ranks, and so is this error
        except CheckpointError as error:
            raise self._diverged(f"step {step}: {error}") from error
        if self.record is not None:
            figures = dict(self.sound)
            figures |= {"attempt": self.stepper.attempt} if self.stepper.attempt else {}
            figures |= {"bad_steps": self.bad_steps} if self.bad_steps else {}
            self.record.flush()
            facts = {**self.facts, "step": step}
            try:
                save_state(self.folder, step, state, figures)
                save_model(self.stepper.snapshot(), self.folder, facts, name=f"weights-{step:08d}.safetensors")
            except StorageError as error:
                what = str(error).rsplit("; ", 1)[0]
                raise StorageError(f"{what}; {self._whole()}; free some space, then resume {self.folder}") from error
        self.saved = step
        self._write_report(last=False)

    def restore(self, step: int, tensors: Mapping[str, torch.Tensor], figures: Mapping[str, float]) -> None:
        """Take up a saved training state."""
        try:
            self.stepper.restore(tensors)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder}: {error}") from error
        self.done = step
        self.stepper.attempt = int(figures.get("attempt", 0))
        self.bad_steps = int(figures.get("bad_steps", 0))
        self.last = self.sound = {k: v for k, v in figures.items() if k not in ("attempt", "bad_steps")}
        self.saved = step

    def _write_report(self, last: bool = True) -> None:
        """Bring the run's page up to date; what cannot be drawn never ends a run.

        Before the `last` time only where the last one took less than a fiftieth of the time since.
        """
        began = time.monotonic()
        if self.record is None or (not last and began - self._reported[0] < 50 * self._reported[1]):
            return
        self.record.flush()
        with contextlib.suppress(VoxganError):
            write_report(self.folder)
        self._reported = (began, time.monotonic() - began)

    def _sample(self, step: int) -> dict[str, float]:
        """Write a picture of samples; return their figures. What cannot be drawn never ends a run."""
        model = self.stepper.snapshot()
        figures, picture = samples(model, self.data, self.training.seed, self.ranks.device, self.diversity)
        if picture is not None and self.record is not None:
            from voxgan.preview import write_png

            with contextlib.suppress(MissingExtraError):
                write_png(self.folder / "samples" / f"{step:08d}.png", picture)
            self.record.pictures(step, picture)
        return figures
