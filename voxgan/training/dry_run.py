"""What a training would be, before it runs: its options, arithmetic, memory, disk and time; nothing is written.

A step is taken twice. Once with fake tensors, which have shapes but no numbers: there every operation of every phase is
seen at the true batch and width, in no time and without memory, and its arithmetic and memory are counted. Then a few
small steps are run for real, and their time is scaled by the arithmetic.
"""

from __future__ import annotations

import dataclasses
import os
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from voxgan import adversarial, presets
from voxgan.batches import OTHERS
from voxgan.checkpoint import find_device
from voxgan.dataset import Dataset, pack
from voxgan.draws import Draws
from voxgan.errors import UsageError
from voxgan.models.model import Batch, Model
from voxgan.training.options import (
    VIEW_SIZE,
    Training,
    asked_resolution,
    check_data,
    check_options,
    matrix_precision,
    resolve,
    split_options,
)
from voxgan.training.ranks import Ranks
from voxgan.training.run import keep_freed_memory
from voxgan.training.start import take_over
from voxgan.training.step import Stepper

__all__ = ["Data", "Estimate", "Memory", "Option", "estimate"]

_TRIAL_SECONDS = 5.0
_TRIAL_FLOPS = 2e11  # a trial step; about a second on two cores
_MOST_TRIAL_FLOPS = 4e12  # a step that cannot be made smaller than this is not tried
_SHARE_TO_TRY = 0.5  # of the memory that is free
_CPU_BYTES, _CPU_SHARE = 0.38e9, 0.55  # the workspace: fixed, and for each byte of activations (see `estimate`)


@dataclass(frozen=True)
class Option:
    """One resolved option and where its value comes from: "given", "preset", "loss", "data" or "default"."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True)
class Data:
    """What the data set holds to train on: R, shapes, their classes, and rendered views of each (0 for none)."""

    path: Path
    resolution: int
    shapes: int
    classes: tuple[str, ...]
    num_views: int


@dataclass(frozen=True)
class Memory:
    """Bytes on each device while a step runs.

    Attributes
    ----------
    weights : int
        Weights and the numbers of batch norms.
    gradients : int
        Of the phase that moves most; with several ranks, of all phases.
    adam : int
        Two moments for each weight that is trained.
    average : int
        The moving average that sampling uses.
    activations : int
        The batch, what the forward pass keeps for the backward pass, and what stands beside it at the fullest moment.
    workspace : int
        On a CPU: the program itself, and what its convolutions and memory allocation take beside; 0 on a GPU.
    """

    weights: int
    gradients: int
    adam: int
    average: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(dataclasses.astuple(self))


@dataclass(frozen=True)
class Estimate:
    """What `estimate` found; ``str()`` gives it as text.

    Attributes
    ----------
    preset, model : str
        The name that was asked for, and the model's.
    options : tuple of Option
        Every field of `Training` and of the model's ``Config``.
    data : Data
    ranks : int
        Processes that share a step.
    part : int
        Shapes that are computed at once: ``batch / (ranks * accumulate)``.
    parameters : mapping of str to int
        Of each network.
    flops : mapping of str to float
        Of each phase, for one shape, forward and backward; a multiplication and an addition are two.
    memory : Memory
    available : int or None
        Bytes that the device has free now, where that is known.
    state_bytes, weights_bytes : int
        A training state on disk, of which two are kept, and the weights for use.
    device : str
        Where the trial ran.
    step_seconds : float or None
        About; None if nothing was tried.
    """

    preset: str
    model: str
    options: tuple[Option, ...]
    data: Data
    ranks: int
    part: int
    parameters: Mapping[str, int]
    flops: Mapping[str, float]
    memory: Memory
    available: int | None
    state_bytes: int
    weights_bytes: int
    device: str
    step_seconds: float | None

    def __getitem__(self, name: str) -> Any:
        """Return the value of one option."""
        return {option.name: option.value for option in self.options}[name]

    @property
    def flops_per_shape(self) -> float:
        """Of all phases together."""
        return sum(self.flops.values())

    @property
    def flops_per_step(self) -> float:
        """Of a whole batch, over all ranks."""
        return float(self.flops_per_shape * self["batch"])

    @property
    def passes(self) -> float:
        """How often each shape is seen."""
        return float(self["steps"] * self["batch"] / self.data.shapes)

    @property
    def seconds(self) -> float | None:
        """Of the whole run, about, without samples and saving."""
        return None if self.step_seconds is None else self.step_seconds * float(self["steps"])

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return the text, a line each."""
        return [*self._option_lines(), *self._data_lines(), *self._network_lines(), *self._cost_lines()]

    def _option_lines(self) -> Iterator[str]:
        yield f"{self.preset}: model {self.model}; nothing is run or written"
        yield "options"
        for name, value, source in (dataclasses.astuple(option) for option in self.options):
            shown = ",".join(value) if isinstance(value, tuple) else str(value)
            yield f"  {name:22}{shown:20}  {source}"

    def _data_lines(self) -> Iterator[str]:
        data, steps, batch = self.data, self["steps"], self["batch"]
        names = ", ".join(data.classes[:8]) + (f" and {len(data.classes) - 8} more" if len(data.classes) > 8 else "")
        views = f"{data.num_views} views each" if data.num_views else "no views"
        yield f"data                {data.path}"
        yield f"  {data.shapes:,} shapes to train on, {data.resolution}³, {views}: {names}"
        yield f"  {steps:,} steps of {batch:,} are {steps * batch:,} shapes: {_three(self.passes)} passes"

    def _network_lines(self) -> Iterator[str]:
        yield "parameters"
        for name, count in self.parameters.items():
            yield f"  {name:18}{_count(count):>10}"
        yield f"  {'in all':18}{_count(sum(self.parameters.values())):>10}"

    def _cost_lines(self) -> Iterator[str]:
        yield "arithmetic, with D moving in every step"
        for name, flops in self.flops.items():
            yield f"  {name:18}{flops / 1e9:10,.2f} GFLOP a shape"
        yield f"  {'in all':18}{self.flops_per_shape / 1e9:10,.2f} GFLOP a shape, {_flops(self.flops_per_step)} a step"
        kept = {field.name: getattr(self.memory, field.name) for field in dataclasses.fields(self.memory)}
        share = f" of {self.ranks}" if self.ranks > 1 else ""
        yield f"memory of a step    about {_bytes(self.memory.total)} on each device{share}, {self.part} shapes at once"
        yield "  " + ", ".join(f"{name} {_bytes(count)}" for name, count in kept.items())
        if self.available is not None and self.ranks == 1:
            fits = self.memory.total < self.available
            verdict = "" if fits else ", which is too little: take a smaller batch or width, or accumulate=2"
            yield f"  {_bytes(self.available)} are free here{verdict}"
        yield f"disk                {_bytes(self.state_bytes)} a training state; two are kept, three while saving"
        yield f"  {_bytes(self.weights_bytes)} of weights for use"
        if self.step_seconds is None or self.seconds is None:
            yield f"time                not tried: a step is too large for a trial on this machine ({self.device})"
            return
        rate = self["batch"] / self.step_seconds
        many = f"{self.ranks} devices such as this one ({self.device}), without their communication"
        where = many if self.ranks > 1 else f"this machine ({self.device})"
        yield f"time                about {_duration(self.seconds)} on {where}"
        yield f"  {_duration(self.step_seconds)} a step, {_three(rate)} shapes/s; without reading, samples and saving"


def estimate(model: str, data: str | Path, *, ranks: int | str = 1, **options: Any) -> Estimate:
    """Say what a training would be, without running it: options, arithmetic, memory, disk, time.

    Parameters
    ----------
    model : str
        Name of a preset or of a model.
    data : path
        HDF5 file made by `voxgan.prepare`.
    ranks : int
        Processes that will share each step.
    **options
        As for `voxgan.train`.

    Returns
    -------
    Estimate

    Raises
    ------
    UsageError, DatasetError, StorageError
        What `voxgan.train` would refuse, in the same words.

    Notes
    -----
    *Arithmetic* is that of convolutions and matrix products in the form in which they are computed here, forward and
    backward, with D moving in every step; a multiplication and an addition are two. Batch norm, activations and Adam
    are not counted. At the paper's width and 64³ it is 85.2 GFLOP a shape: the generator forward and backward once, D
    on a real and a generated shape forward and backward, and once more for G, without gradients of its weights. Where
    the generated shapes are computed again for G's phase, as with ``accumulate`` above 1, it is 93.0.

    *Memory* is the most that is alive at any moment of a step, the gradients being there from its beginning. What a CPU
    takes beside was fitted to the peak resident memory of whole processes: 0.38 GB and 0.55 of the activations. With it
    ten of eleven settings were met within 5 %, and one with ``accumulate=4`` took 18 % more (64³; widths 24, 32, 64;
    batches 4 to 64; both models; fp32 and bf16; with and without checkpointing; one thread, Linux). On a GPU it was not
    measured: allow for the driver and for convolutions' workspaces.

    *Time* comes from a few real steps on boxes, five seconds or one step, scaled by the arithmetic. Two calls
    give the same numbers but for it.

    Examples
    --------
    >>> print(voxgan.training.estimate("gan3d", "mine.h5", width=16))  # doctest: +SKIP
    """
    found = _resolved(model, data, _whole(ranks), options)
    training, device = found.training, found.ranks.device
    part = training.batch // (found.ranks.count * training.accumulate)
    counted = _count_step(found, part, found.ranks.count)
    available = _free_bytes(device)
    step_seconds = None
    trial = _trial_batch(found, part, counted.flops_per_shape)
    if counted.flops_per_shape * trial <= _MOST_TRIAL_FLOPS or device.type != "cpu":
        small = _count_step(found, trial, 1)
        if available is None or small.memory.total <= _SHARE_TO_TRY * available:
            scale = counted.flops_per_shape * training.batch / (small.flops_per_shape * trial) / found.ranks.count
            step_seconds = _try_step(found, trial) * scale
    return Estimate(
        preset=model,
        model=found.kind.name,
        options=found.options,
        data=found.data,
        ranks=found.ranks.count,
        part=part,
        parameters=counted.parameters,
        flops=counted.flops,
        memory=counted.memory,
        available=available,
        state_bytes=counted.memory.weights + counted.memory.average + counted.memory.adam,
        weights_bytes=counted.memory.weights,
        device=_device_name(device),
        step_seconds=step_seconds,
    )


@dataclass(frozen=True)
class _Resolved:
    kind: type[Model]
    config: Any
    training: Training
    ranks: Ranks
    options: tuple[Option, ...]
    data: Data


def _resolved(model: str, data: str | Path, ranks: int, options: Mapping[str, Any]) -> _Resolved:
    """Merge preset, data and what was given, as `voxgan.train` does, and refuse what it refuses."""
    kind, merged, wanted = resolve(model, options)
    config, training = split_options(kind, merged)
    group = Ranks(0, ranks, find_device(training.device))
    check_options(config, training, group)
    with Dataset(data, "train", wanted or None, resolution=asked_resolution(merged)) as dataset:
        from_data: dict[str, Any] = {} if "resolution" in merged else {"resolution": dataset.resolution}
        if not wanted:
            from_data["classes"] = tuple(dataset.classes)
        config, training = split_options(kind, {**merged, **from_data})
        training = training.on(group.device)
        check_data(kind, config, training, dataset, group)
        facts = Data(Path(data), dataset.resolution, len(dataset), config.classes, dataset.num_views)
    if training.start:
        with torch.random.fork_rng(devices=[]):
            take_over(kind(config), training.start)
    values = {**dataclasses.asdict(config), **dataclasses.asdict(training)}
    preset = presets.find(model)[1]
    sources = {
        **dict.fromkeys(adversarial.find(config.adversarial).RECIPE, "loss"),
        **dict.fromkeys([key for key in preset if key in merged], "preset"),
        **dict.fromkeys(options, "given"),
        **dict.fromkeys(from_data, "data"),
    }
    listed = tuple(Option(key, value, sources.get(key, "default")) for key, value in values.items())
    return _Resolved(kind, config, training, group, listed, facts)


def _whole(ranks: int | str) -> int:
    try:
        number = int(ranks)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"ranks={ranks!r}: expected a whole number from 1 up")
    return number


# ------------------------------------------------------------------------------------------------ counting with fakes
@dataclass(frozen=True)
class _Counted:
    parameters: Mapping[str, int]
    flops: Mapping[str, float]
    memory: Memory

    @property
    def flops_per_shape(self) -> float:
        return sum(self.flops.values())


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that are alive, each once, and the most there were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and take note of what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.see(tensor)
        return made

    def see(self, tensor: Tensor) -> None:
        """Take note of the storage below a tensor."""
        storage = tensor.untyped_storage()
        key = id(storage)
        known = self._known.get(key)
        if known is not None and known() is storage:
            return
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)

        def gone(_: object) -> None:
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, gone)


def _count_step(found: _Resolved, part: int, ranks: int) -> _Counted:
    """Take one step of `part` shapes with fake tensors, every phase moving, as `Stepper` does, and count."""
    training, on_cpu = found.training, found.ranks.device.type == "cpu"
    with torch.random.fork_rng(devices=[]), FakeTensorMode():
        model = found.kind(found.config).train()
        for network in (model.generator, model.discriminator):
            network.recompute = training.checkpointing
        alive, flops = _Alive(), {}
        for tensor in _tensors(model):
            alive.see(tensor)
        weights = alive.now
        moved = {phase.name: _trained(model, phase.trains) for phase in model.phases}
        with alive:
            waiting = [_random_batch(model, part) for _ in range(training.accumulate)]
            batch = waiting[0]
            for phase in model.phases:
                model.requires_grad_(False)
                for parameter in moved[phase.name]:  # there from the start, as while gradients are added up
                    parameter.requires_grad_(True).grad = torch.zeros_like(parameter)
                with FlopCounterMode(display=False) as counter:
                    with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
                        total = model.loss(phase.name, batch)["total"]
                    torch.autograd.backward(total)
                flops[phase.name] = counter.get_total_flops() / part
                for parameter in moved[phase.name]:
                    parameter.grad = None
                if training.accumulate > 1:  # a part's graph is not kept for the next phase
                    for key in [key for key, value in batch.items() if value.requires_grad]:
                        del batch[key]
        sizes = [_size(trained) for trained in moved.values()]
        activations = max(0, alive.most - weights - max(sizes))
        memory = Memory(
            weights=weights,
            gradients=sum(sizes) if ranks > 1 else max(sizes),  # between devices, each phase keeps its own
            adam=2 * sum(sizes),
            average=sum(_size(_tensors(getattr(model, name))) for name in model.averaged),
            activations=activations,
            workspace=int(_CPU_BYTES + _CPU_SHARE * activations) if on_cpu else 0,
        )
        parameters = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    return _Counted(parameters, flops, memory)


def _trained(model: Model, names: tuple[str, ...]) -> list[torch.nn.Parameter]:
    return [parameter for name in names for parameter in getattr(model, name).parameters()]


def _random_batch(model: Model, count: int) -> Batch:
    """Return a batch of random shapes, and photos where the model takes some, as `voxgan.batches` would."""
    side, device = model.config.resolution, model.device
    occupancy = (torch.rand(count, 1, side, side, side, device=device) < 0.1).float()
    batch = Batch(Draws(0, count), occupancy=occupancy, label=torch.zeros(count, dtype=torch.long, device=device))
    if "image" in model.conditions:
        size = model.image_size(model.config)
        batch["image"] = torch.rand(count, 3, size, size, device=device)
    return batch


def _tensors(module: torch.nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _size(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


# ------------------------------------------------------------------------------------------------------ trying it out
def _trial_batch(found: _Resolved, part: int, flops_per_shape: float) -> int:
    """Return how many shapes a trial step takes: all that a GPU computes at once, on a CPU few, in whole packs."""
    whole: int = found.config.pack
    if found.ranks.device.type != "cpu":
        return max(part, 2)
    few = max(2, int(_TRIAL_FLOPS / max(flops_per_shape, 1)))
    return max(2, min(part, -(-few // whole) * whole))


def _try_step(found: _Resolved, count: int) -> float:
    """Return the seconds of a step of `count` boxes."""
    training = dataclasses.replace(found.training, batch=count, accumulate=1)
    device, side = found.ranks.device, found.config.resolution
    forked = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked), matrix_precision(training.precision):
        keep_freed_memory()
        torch.manual_seed(0)
        plan = training.plan(found.kind, found.config)
        stepper = Stepper(found.kind(found.config), training, Ranks(0, 1, device), plan)
        box = torch.zeros(count, side, side, side, dtype=torch.uint8)
        box[:, side // 3 : -side // 3, side // 3 : -side // 3, side // 4 : -side // 4] = 1
        raw = {
            "packed": torch.from_numpy(pack(box.numpy())),
            "label": torch.zeros(count, dtype=torch.long),
        }
        if plan.images == "stored":
            shape = (count, VIEW_SIZE, VIEW_SIZE, 4)
            raw["views"] = torch.randint(256, shape, dtype=torch.uint8)
            if plan.photos == "randomised":
                raw["others"] = raw["views"][:, None].expand(-1, OTHERS, -1, -1, -1)
        spent: list[float] = []
        while len(spent) < 2 or (sum(spent) + max(spent) < _TRIAL_SECONDS and len(spent) < 20):
            if len(spent) == 1 and spent[0] > _TRIAL_SECONDS:
                break
            began = time.perf_counter()
            figures = stepper.run(len(spent), raw, {})  # the gate is open: it has seen nothing
            float(figures["sound"])  # waits for the device
            spent.append(time.perf_counter() - began)
    return min(spent)


def _free_bytes(device: torch.device) -> int | None:
    """Return the memory that is free on a device, where that can be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{threads} thread{'s' if threads > 1 else ''} of its processor"
    return str(device)


# ------------------------------------------------------------------------------------------------------------- words
def _three(value: float) -> str:
    """Return a number with three digits that count.

    Examples
    --------
    >>> _three(1234.5), _three(12.345), _three(0.012345)
    ('1,234', '12.3', '0.0123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _count(value: int) -> str:
    """Return a number of parameters in millions, or as it is.

    Examples
    --------
    >>> _count(17_568_960), _count(1234)
    ('17.57 M', '1,234')
    """
    return f"{value / 1e6:,.2f} M" if value >= 1e5 else f"{value:,}"


def _bytes(value: float) -> str:
    """Return a size in GB, MB or kB.

    Examples
    --------
    >>> _bytes(8.2e9), _bytes(3.14e6), _bytes(100)
    ('8.2 GB', '3.1 MB', '0.1 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value / 1e3:.1f} kB"


def _flops(value: float) -> str:
    """Return an amount of arithmetic.

    Examples
    --------
    >>> _flops(9.3e12), _flops(2e9)
    ('9.3 TFLOP', '2 GFLOP')
    """
    return f"{_three(value / 1e12)} TFLOP" if value >= 1e12 else f"{_three(value / 1e9)} GFLOP"


def _duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    Examples
    --------
    >>> _duration(0.042), _duration(90), _duration(8000), _duration(4e5)
    ('42 ms', '90 s', '2.22 h', '4.63 days')
    """
    for unit, size, least in (("days", 86400, 2 * 86400), ("h", 3600, 2 * 3600), ("min", 60, 120), ("s", 1, 1)):
        if seconds >= least:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds * 1000)} ms"
