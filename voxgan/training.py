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
from numpy.typing import NDArray
from torch import Tensor

from voxgan import checkpoint, models, presets
from voxgan.batches import make_batch, order, step_seed
from voxgan.checkpoint import describe, load_state, save_model, save_state
from voxgan.dataset import Dataset
from voxgan.errors import (
    CheckpointError,
    DatasetError,
    DivergedError,
    MissingExtraError,
    StorageError,
    UsageError,
)
from voxgan.files import check_output, sweep_temporaries, write_bytes, write_json
from voxgan.metrics.iou import iou
from voxgan.models.model import Batch, Model, make_config

__all__ = ["Training", "resume", "train"]

Report = Callable[[int, int, Mapping[str, float]], None]

_MAX_BAD_STEPS = 5
_NUM_SAMPLES = 8
_NUM_SCORED = 64
_TILE = 128


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
    cosine: bool = False
    save_every: int = 500
    sample_every: int = 500
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.steps < 1 or self.batch < 2 or self.save_every < 1 or self.sample_every < 0:
            raise UsageError(
                f"steps={self.steps}, batch={self.batch}, save_every={self.save_every}, "
                f"sample_every={self.sample_every}: expected 1, 2, 1, 0 or more"
            )
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision={self.precision!r}: expected fp32 or bf16")
        if not 0 <= self.average < 1:
            raise UsageError(f"average={self.average}: expected a number from 0 to below 1")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={name!r} is not to be had here; use device=cpu or device=auto") from error
    return device


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
        _device(training.device)
        check_output(out / "config.json")
        torch.manual_seed(step_seed(training.seed, -1))
        network = kind(config)
        facts = {
            "preset": model,
            "data": str(Path(data).resolve()),
            "options": dataclasses.asdict(training),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        write_json(out / "config.json", describe(network) | {"weights": None, "training": facts})
        return _Run(network, dataset, training, out, facts, report).go(0)


def resume(run: str | Path, report: Report | None = None, **changes: Any) -> Model:
    """Continue a run from its last training state, bit for bit as if it had not stopped.

    The promise holds for the same number of threads on the same kind of device.

    Parameters
    ----------
    run : path
        The run folder.
    report : callable, optional
        As for `train`.
    **changes
        Fields of `Training` to change from here on, such as ``steps``; none keeps the promise above.

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
    sweep_temporaries(folder)
    make_config(Training, changes)
    facts["options"].update(changes)
    training = make_config(Training, facts["options"])
    facts["options"] = dataclasses.asdict(training)
    network = checkpoint.build(content)
    if facts.get("threads") and facts["threads"] != torch.get_num_threads() and _device(training.device).type == "cpu":
        torch.set_num_threads(int(facts["threads"]))
    with Dataset(facts["data"], "train", network.config.classes or None) as dataset:
        _check_fit(type(network), network.config, training, dataset)
        run_ = _Run(network, dataset, training, folder, facts, report)
        if not (folder / "resume.json").is_file():
            torch.manual_seed(step_seed(training.seed, -1))
            run_ = _Run(checkpoint.build(content), dataset, training, folder, facts, report)
            run_.trim_log(0)
            return run_.go(0)
        step, tensors, figures = load_state(folder)
        run_.restore(tensors, figures)
        run_.trim_log(step)
        return run_.go(step)


def _check_fit(kind: type[Model], config: Any, training: Training, dataset: Dataset) -> None:
    """Refuse, before long work, a model that does not fit its data."""
    if config.resolution != dataset.resolution:
        raise DatasetError(
            f"{dataset.path}: its grids are {dataset.resolution}³, the model's {config.resolution}³; "
            f"drop resolution={config.resolution} or prepare the data at it"
        )
    if training.batch % config.pack:
        raise UsageError(f"batch={training.batch} is no multiple of pack={config.pack}")
    if "image" in kind.conditions:
        if not dataset.num_views:
            raise DatasetError(
                f"{dataset.path}: has no rendered views, which {kind.name} learns from; prepare it with --views 24"
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
        self.device = _device(training.device)
        self.model = model.to(self.device).train()
        self.data, self.training, self.folder, self.facts, self.report = data, training, folder, facts, report
        self.phases = model.phases
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
        self.stop = False

    def go(self, start: int) -> Model:
        """Run steps `start` + 1 to the end; return the averaged model."""
        steps = self.training.steps
        done = start
        with self._signals():
            for step in range(start, steps):
                began = time.perf_counter()
                figures = self._step(step)
                done, stop = step + 1, self.stop
                figures["shapes_per_s"] = self.training.batch / (time.perf_counter() - began)
                if self.training.sample_every and (done % self.training.sample_every == 0 or done == steps):
                    figures |= self._sample(done)
                self._log(done, figures)
                if done % self.training.save_every == 0 or done == steps or stop:
                    self.save(done)
                if self.report is not None:
                    self.report(done, steps, figures)
                if stop:
                    raise KeyboardInterrupt(f"stopped after step {done}, which is saved")
        if done == start:  # the last stop may have come between its state and its weights
            self.save(done)
        return self.snapshot()

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

    def _step(self, step: int) -> dict[str, float]:
        """Run every phase once (or `repeat` times) on one batch; return its figures."""
        training, model = self.training, self.model
        torch.manual_seed(step_seed(training.seed, step))
        indices = order(len(self.data), training.batch, training.seed, step)
        batch = make_batch(self.data, indices, "image" in model.conditions, training.augment, self.device)
        decay = 0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * step / training.steps)) if training.cosine else 1.0
        figures: dict[str, float] = {}
        statistics = {key: value.clone() for key, value in model.named_buffers()}
        sound = True
        for phase in self.phases:
            groups = self.optimizers[phase.name].param_groups
            for group, rate in zip(groups, phase.rates.values(), strict=True):
                group["lr"] = rate * decay
            moves = sound and phase.when(self.last)
            for _ in range(phase.repeat):
                for name, network in model.named_children():
                    network.requires_grad_(name in phase.trains)
                terms, moved = self._phase(phase.name, batch, moves)
                sound &= moved
                figures |= {(k if k == "accuracy" else f"{phase.name}.{k}"): v for k, v in terms.items()}
            figures[f"{phase.name}.moved"] = float(moves and sound)
        self._count_bad(sound, step)
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

    def _count_bad(self, sound: bool, step: int) -> None:
        self.bad_steps = 0 if sound else self.bad_steps + 1
        if self.bad_steps >= _MAX_BAD_STEPS:
            raise DivergedError(
                f"the loss was not finite in {_MAX_BAD_STEPS} steps up to {step + 1}; "
                f"the last checkpoint in {self.folder} is whole: start anew with lower rates"
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
        """Write samples from fixed latents, and reconstructions of fixed views, as a PNG; return the scores."""
        from voxgan.preview import sheet, write_png

        model = self.snapshot()
        picture = sheet(
            model.generate(_NUM_SAMPLES, seed=self.training.seed).occupancy,
            columns=_NUM_SAMPLES,
            size=_TILE,
        )
        scores: dict[str, float] = {}
        if "image" in model.conditions:
            scores, rows = self._reconstructions(model)
            picture = np.concatenate([*rows, picture])
        with contextlib.suppress(MissingExtraError):  # without Pillow there are no pictures, but scores
            write_png(self.folder / "samples" / f"{step:08d}.png", picture)
        return scores

    def _reconstructions(self, model: Model) -> tuple[dict[str, float], list[NDArray[np.uint8]]]:
        """Reconstruct views of the test split (of the training split where there is none)."""
        from voxgan.preview import sheet

        try:
            data, name = Dataset(self.data.path, "test", model.config.classes or None), "test_iou"
        except DatasetError:
            data, name = self.data, "train_iou"
        chosen = np.linspace(0, len(data) - 1, min(len(data), _NUM_SCORED)).astype(np.int64)
        batch = make_batch(data, chosen, True, False, self.device)
        found = model.reconstruct(batch["image"].cpu().numpy()).occupancy
        real = batch["occupancy"][:, 0].cpu().numpy()
        if data is not self.data:
            data.close()
        overlap = iou(found, real)
        shown = np.linspace(0, len(chosen) - 1, min(len(chosen), _NUM_SAMPLES)).astype(np.int64)
        step = batch["image"].shape[-1] // _TILE
        images = (batch["image"][shown, :, ::step, ::step][:, :, :_TILE, :_TILE] * 255).byte().cpu().numpy()
        row = np.full((_TILE, _NUM_SAMPLES * _TILE, 3), 255, np.uint8)
        row[:, : len(shown) * _TILE] = np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)
        padded = np.zeros((2, _NUM_SAMPLES, *real.shape[1:]), np.float32)
        padded[0, : len(shown)], padded[1, : len(shown)] = found[shown], real[shown]
        sheets = [sheet(part, columns=_NUM_SAMPLES, size=_TILE) for part in padded]
        return {name: float(overlap.mean())}, [row, *sheets]
