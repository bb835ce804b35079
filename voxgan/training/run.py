"""The one training loop: phases, precision, moving average, log, samples, save, resume.

It knows no model: a `Model` says which phases a step has and what each one's loss is.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voxgan import checkpoint, models, presets
from voxgan.batches import Plan, finish_batch, step_seed
from voxgan.checkpoint import describe, find_device, load_state, save_class_latents, save_model, save_state
from voxgan.class_latents import fit_class_latents
from voxgan.dataset import Dataset
from voxgan.errors import (
    CheckpointError,
    DatasetError,
    DivergedError,
    InputError,
    MissingExtraError,
    StorageError,
    UsageError,
)
from voxgan.files import check_output, exclusive, sweep_temporaries, write_bytes, write_json
from voxgan.loader import load_batches
from voxgan.models.model import Batch, Model, make_config
from voxgan.samples import samples
from voxgan.voxels import FILL

__all__ = ["Training", "resume", "train"]

Report = Callable[[int, int, Mapping[str, float]], None]

_MAX_BAD_STEPS = 5


@dataclass(frozen=True)
class Training:
    """Options of a training that are not the model's.

    Attributes
    ----------
    steps : int
        How many steps in all.
    batch : int
        Shapes a step.
    seed : int
        Of weights, data order, augmentation and noise.
    precision : {"fp32", "bf16"}
        bf16 computes convolutions in bfloat16; weights, losses and batch statistics stay in single precision.
    average : float
        Momentum of the moving average of the weights that sampling uses.
    augment : bool
        Mirror shapes, and vary photos.
    turns : {1, 2, 4}
        In how many positions about z a shape may stand (models from noise alone).
    shift : int
        By how many cells, at most, a shape may stand aside along each axis (models from noise alone).
    views : {"auto", "stored", "drawn"}
        Photos: the data set's views, or drawn from the grids on the training's device, new ones in each step;
        "auto" takes the data set's where it has some.
    loaders : int
        Processes that read batches ahead; 0 reads in the training's own. The batches are the same for any number.
    cosine : bool
        Let the rates fall to a twentieth along a half cosine.
    save_every, sample_every : int
        Steps between checkpoints, and between pictures of samples (0 for none).
    device : str
        "auto" takes a GPU where there is one.
    """

    steps: int = 20_000
    batch: int = 16
    seed: int = 0
    precision: str = "fp32"
    average: float = 0.999
    augment: bool = True
    turns: int = 1
    shift: int = 0
    views: str = "auto"
    loaders: int = 0
    cosine: bool = False
    save_every: int = 500
    sample_every: int = 500
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name, least in (
            ("steps", 1),
            ("batch", 2),
            ("save_every", 1),
            ("sample_every", 0),
            ("shift", 0),
            ("loaders", 0),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}: expected {least} or more")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed={self.seed}: expected a number from 0 to 2⁶³ − 1")
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision={self.precision!r}: expected fp32 or bf16")
        if self.turns not in (1, 2, 4):
            raise UsageError(f"turns={self.turns}: expected 1, 2 or 4")
        if self.views not in ("auto", "stored", "drawn"):
            raise UsageError(f"views={self.views!r}: expected auto, stored or drawn")
        if self.loaders > 256:
            raise UsageError(f"loaders={self.loaders}: expected at most 256 processes")
        if not 0 <= self.average < 1:
            raise UsageError(f"average={self.average}: expected a number from 0 to below 1")


def _split_options(kind: type[Model], options: Mapping[str, Any]) -> tuple[Any, Training]:
    """Sort options into the model's and the training's."""
    own = {field.name for field in dataclasses.fields(Training)}
    training = make_config(Training, {key: value for key, value in options.items() if key in own})
    config = make_config(kind.Config, {k: v for k, v in options.items() if k not in own}, tuple(own))
    return config, training


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
        Run folder: ``config.json``, weights, ``log.jsonl``, ``samples/``, training states. Must not hold a run.
    report : callable, optional
        Called after every step with the step, the number of steps, and the step's figures.
    **options
        Fields of `Training` or of the model's ``Config``; they override the preset's.

    Returns
    -------
    Model
        With averaged weights, in evaluation mode.

    Raises
    ------
    UsageError
        For an unknown model, option, or combination.
    DatasetError, StorageError
        If the data cannot be used, or the folder not be written.
    DivergedError
        If the loss leaves the finite numbers; the last checkpoint is whole.
    """
    name, preset = presets.find(model)
    kind = models.find(name)
    out = Path(out)
    if (out / "config.json").exists():
        raise UsageError(f"{out} holds a run already; continue it with  voxgan resume {out}  or choose another --out")
    merged = {**preset, **options}
    _split_options(kind, merged)  # unknown keys are told before anything is opened
    asked = merged.get("classes") or ()
    wanted = tuple(asked.split(",")) if isinstance(asked, str) else tuple(asked)
    with Dataset(data, "train", wanted or None) as dataset:
        merged.setdefault("resolution", dataset.resolution)
        merged["classes"] = wanted or tuple(dataset.classes)
        config, training = _split_options(kind, merged)
        _check_fit(kind, config, training, dataset)
        find_device(training.device)
        check_output(out / "config.json")
        torch.manual_seed(step_seed(training.seed, -1))
        network = kind(config)
        facts = {
            "preset": model,
            "data": str(Path(data).resolve()),
            "fingerprint": dataset.fingerprint(),
            "options": dataclasses.asdict(training),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        with exclusive(out):
            run = _Run(network, dataset, training, out, facts, report)
            for leftover in ("log.jsonl", "resume.json"):
                (out / leftover).unlink(missing_ok=True)
            write_json(out / "config.json", describe(network) | {"weights": None, "training": facts})
            return run.go(0)


def resume(run: str | Path, report: Report | None = None, data: str | Path | None = None, **changes: Any) -> Model:
    """Continue a run from its last training state, bit for bit as if it had not stopped.

    The promise holds for the same number of threads on the same kind of device.

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
        With averaged weights, in evaluation mode.

    Raises
    ------
    CheckpointError, StorageError
        If the folder holds no run that can be continued.
    UsageError
        For an unknown field, or a value that cannot be.
    """
    folder, content = checkpoint.read_config(run)
    facts = content.get("training")
    if not isinstance(facts, dict) or not isinstance(facts.get("options"), dict) or not facts.get("data"):
        raise CheckpointError(f"{folder}: holds a model, but no run that could be continued")
    make_config(Training, changes)  # tells a field that cannot be changed from one that does not exist
    facts["options"].update(changes)
    training = make_config(Training, facts["options"])
    facts["options"] = dataclasses.asdict(training)
    if data is not None:
        facts["data"] = str(Path(data).resolve())
    torch.manual_seed(step_seed(training.seed, -1))
    network = checkpoint.build(content)
    with (
        exclusive(folder),
        _threads(facts.get("threads")),
        Dataset(facts["data"], "train", network.config.classes or None) as dataset,
    ):
        _check_fit(type(network), network.config, training, dataset)
        if facts.setdefault("fingerprint", dataset.fingerprint()) != dataset.fingerprint():
            raise DatasetError(
                f"{dataset.path}: not the shapes that this run was trained on; name the data set with data=PATH"
            )
        sweep_temporaries(folder)
        run_ = _Run(network, dataset, training, folder, facts, report)
        step = 0
        if (folder / "resume.json").is_file():
            step, tensors, figures = load_state(folder)
            run_.restore(tensors, figures)
            run_.saved = step
        run_.trim_log(step)
        return run_.go(step)


@contextlib.contextmanager
def _threads(count: Any) -> Iterator[None]:
    """Compute with so many threads, on which bit-exactness depends, for the block."""
    former = torch.get_num_threads()
    torch.set_num_threads(count if isinstance(count, int) and count > 0 else former)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def _check_fit(kind: type[Model], config: Any, training: Training, dataset: Dataset) -> None:
    """Refuse, before long work, a model that does not fit its data."""
    if config.resolution != dataset.resolution:
        raise DatasetError(
            f"{dataset.path}: its grids are {dataset.resolution}³, the model's {config.resolution}³; "
            f"drop resolution={config.resolution} or prepare the data at it"
        )
    if training.batch % config.pack:
        raise UsageError(f"batch={training.batch} is no multiple of pack={config.pack}")
    room = int(dataset.resolution * (1 - FILL) / 2)
    if training.shift > room:
        raise UsageError(f"shift={training.shift}: shapes have {room} free cells around them at {dataset.resolution}³")
    if "image" in kind.conditions:
        if training.turns > 1 or training.shift:
            raise UsageError(
                f"turns and shift are for models from noise; in {kind.name} the photo says how a shape stands"
            )
        if training.views == "drawn":
            return
        if not dataset.num_views:
            raise DatasetError(
                f"{dataset.path}: has no rendered views, which {kind.name} learns from; prepare it with --views 24, "
                "or draw them while training with views=drawn"
            )
        if dataset.image_size != 256:
            raise DatasetError(f"{dataset.path}: its views are {dataset.image_size} pixels wide, expected 256")


class _Run:
    """A training under way: networks, optimisers, the moving average, and its folder."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        training: Training,
        folder: Path,
        facts: Mapping[str, Any],
        report: Report | None,
    ) -> None:
        self.device = find_device(training.device)
        self.model = model.to(self.device).train()
        self.data, self.training, self.folder, self.facts, self.report = data, training, folder, facts, report
        self.phases = model.phases
        images = "none"
        if "image" in model.conditions:
            images = "stored" if training.views == "auto" else training.views
        self.plan = Plan(images, training.augment, training.turns, training.shift)
        self.optimizers = {
            phase.name: torch.optim.Adam(
                [{"params": list(getattr(model, name).parameters()), "lr": rate} for name, rate in phase.rates.items()],
                betas=(phase.beta1, 0.999),
            )
            for phase in self.phases
        }
        self.averaged = {
            f"{name}.{key}": value.detach().clone()
            for name in model.averaged
            for key, value in getattr(model, name).state_dict().items()
        }
        self.last: dict[str, float] = {}
        self.bad_steps = 0
        self.saved: int | None = None
        self.stop = False

    def go(self, start: int) -> Model:
        """Run steps `start` + 1 to the end; return the averaged model."""
        steps = self.training.steps
        done = start
        training = self.training
        raws = load_batches(self.data, training.batch, training.seed, self.plan, start, steps, training.loaders)
        with self._signals(), contextlib.closing(raws):
            began = time.perf_counter()
            for step, raw in zip(range(start, steps), raws, strict=True):
                figures = self._step(step, raw)
                done, stop = step + 1, self.stop
                figures["shapes_per_s"] = self.training.batch / (time.perf_counter() - began)
                sound = self.bad_steps < 2  # a single bad step was skipped, and has changed nothing
                if sound and self._due(done, self.training.sample_every):
                    figures |= self._sample(done)
                self._log(done, figures)
                self._refuse_divergence(done)
                if sound and (self._due(done, self.training.save_every) or stop):
                    self.save(done)
                if self.report is not None:
                    self.report(done, steps, figures)
                began = time.perf_counter()
                if stop:
                    raise KeyboardInterrupt(f"stopped after step {done}; {self._whole()}")
        if done == start:  # the last stop may have come between its state and its weights
            self.save(done)
        model = self.snapshot()
        if "image" in model.conditions:
            with contextlib.suppress(InputError):  # codes that are not finite: samples are the prior's then
                model.class_latents = fit_class_latents(model, self.data)
                save_class_latents(model.class_latents, self.folder)
        return model

    def _due(self, done: int, every: int) -> bool:
        return every > 0 and (done % every == 0 or done == self.training.steps)

    def _whole(self) -> str:
        """Say which step can be gone on from."""
        return "nothing is saved yet" if self.saved is None else f"step {self.saved} is saved"

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the run after the step in hand."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            self.stop = True

        former = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _step(self, step: int, raw: Batch) -> dict[str, float]:
        """Run every phase once on one batch; return its figures."""
        training, model = self.training, self.model
        torch.manual_seed(step_seed(training.seed, step))
        batch = finish_batch(raw, self.data.resolution, self.plan, self.device)
        decay = 0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * step / training.steps)) if training.cosine else 1.0
        figures: dict[str, float] = {}
        statistics = {key: value.clone() for key, value in model.named_buffers()}
        sound = True
        for phase in self.phases:
            groups = self.optimizers[phase.name].param_groups
            for group, rate in zip(groups, phase.rates.values(), strict=True):
                group["lr"] = rate * decay
            moves = sound and phase.when(self.last)
            for name, network in model.named_children():
                network.requires_grad_(name in phase.trains)
            terms, finite = self._phase(phase.name, batch, moves)
            sound &= finite
            figures |= {(k if k == "accuracy" else f"{phase.name}.{k}"): v for k, v in terms.items()}
            figures[f"{phase.name}.moved"] = float(moves and sound)
        self.bad_steps = 0 if sound else self.bad_steps + 1
        if sound:
            self._average(step)
            self.last = {key: value for key, value in figures.items() if np.isfinite(value)}
        else:  # batch norms have seen what was not finite, and would keep it
            for key, value in model.named_buffers():
                value.copy_(statistics[key])
        return figures

    def _phase(self, name: str, batch: Batch, moves: bool) -> tuple[dict[str, float], bool]:
        """Compute one phase's loss and, if it `moves`, step its optimiser; say whether all stayed finite."""
        bf16 = self.training.precision == "bf16"
        with torch.set_grad_enabled(moves), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            terms = self.model.loss(name, batch)
        sound = bool(torch.isfinite(terms["total"].detach()))
        if moves and sound:
            optimizer = self.optimizers[name]
            torch.autograd.backward(terms["total"])
            weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            norm = torch.nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
            sound = bool(torch.isfinite(norm))
            if sound:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {key: float(value.detach()) for key, value in terms.items()}, sound

    def _refuse_divergence(self, done: int) -> None:
        if self.bad_steps >= _MAX_BAD_STEPS or (self.bad_steps > 1 and done == self.training.steps):
            raise DivergedError(
                f"the loss was not finite in the last {self.bad_steps} of {done} steps; {self._whole()} "
                f"in {self.folder}: start anew, in another folder, with lower rates"
            )

    @torch.no_grad()
    def _average(self, step: int) -> None:
        momentum = min(self.training.average, (step + 1) / (step + 10))
        state = self.model.state_dict()
        for key, mean in self.averaged.items():
            if mean.is_floating_point():
                mean.lerp_(state[key].to(mean.dtype), 1 - momentum)
            else:
                mean.copy_(state[key])

    def snapshot(self) -> Model:
        """Return a copy of the model with averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict({**self.model.state_dict(), **self.averaged})
        return model.requires_grad_(False).eval()

    def _log(self, step: int, figures: Mapping[str, float]) -> None:
        rounded = {key: float(f"{value:.6g}") if np.isfinite(value) else None for key, value in figures.items()}
        try:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, **rounded}) + "\n")
        except OSError as error:
            raise StorageError(f"cannot write {self.folder / 'log.jsonl'}: {error.strerror or error}") from error

    def trim_log(self, step: int) -> None:
        """Drop the log's lines after `step`, which will be run again."""
        path = self.folder / "log.jsonl"
        if not path.is_file():
            return
        kept = []
        for line in path.read_text(errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                break
        write_bytes(path, "".join(line + "\n" for line in kept).encode())

    def save(self, step: int) -> None:
        """Write the training state, then the weights for use."""
        tensors = {f"model/{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"average/{key}": value for key, value in self.averaged.items()}
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in state.items()}
        try:
            save_state(self.folder, step, tensors, self.last)
            facts = {**self.facts, "step": step}
            save_model(self.snapshot(), self.folder, facts, name=f"weights-{step:08d}.safetensors")
            self.saved = step
        except CheckpointError as error:
            raise DivergedError(f"step {step}: {error}; the checkpoint before it is whole") from error

    def restore(self, tensors: Mapping[str, Tensor], figures: Mapping[str, float]) -> None:
        """Take up a saved training state."""
        try:
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
            for key, value in tensors.items():
                part, name = key.split("/", 1)
                parts[part][name] = value
            self.model.load_state_dict(parts["model"])
            for key, mean in self.averaged.items():
                mean.copy_(parts["average"][key])
            for name, optimizer in self.optimizers.items():
                states: dict[int, dict[str, Tensor]] = {}
                for key, value in parts["optimizer"].items():
                    phase, index, field = key.split("/")
                    if phase == name:
                        states.setdefault(int(index), {})[field] = value
                optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{self.folder}: its training state does not fit its model ({error})") from error
        self.last = dict(figures)

    def _sample(self, step: int) -> dict[str, float]:
        """Write a picture of samples; return the scores. What cannot be drawn never ends a run."""
        model = self.snapshot()
        scores, picture = samples(model, self.data, self.training.seed, self.device)
        if picture is not None:
            from voxgan.preview import write_png

            with contextlib.suppress(MissingExtraError):
                write_png(self.folder / "samples" / f"{step:08d}.png", picture)
        return scores
