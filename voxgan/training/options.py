"""Options of a training that are not the model's, and which of them cannot work together.

All that can be refused without the data set is refused by `resolve` and `check_options`, before anything is opened;
`check_data` compares with the data set.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from voxgan import adversarial, models, presets
from voxgan.adversarial.schedule import CriticSchedule
from voxgan.batches import Plan
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, MissingExtraError, UsageError, nearest
from voxgan.imagenet import require_package
from voxgan.models.model import Config, Model, make_config
from voxgan.networks.forms import has_bfloat16
from voxgan.training.ranks import Ranks
from voxgan.voxels import FILL

__all__ = [
    "VIEW_SIZE",
    "Training",
    "asked_resolution",
    "check_data",
    "check_options",
    "matrix_precision",
    "resolve",
    "split_options",
]

VIEW_SIZE = 256
"""Side of the views that a data set stores, in pixels."""

_PRECISIONS = ("auto", "bf16", "fp32", "tf32")


@contextlib.contextmanager
def matrix_precision(precision: str) -> Iterator[None]:
    """Let NVIDIA GPUs round the factors of single-precision products for the block, if `precision` is tf32."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    former = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, former, strict=True):
            backend.allow_tf32 = allowed


@dataclass(frozen=True)
class Training:
    """Options of a training that are not the model's.

    Attributes
    ----------
    steps : int
        How many steps in all.
    batch : int
        Shapes a step, over all ranks.
    accumulate : int
        In how many parts a rank computes its share of the batch, one after the other, whose gradients are added up:
        memory for a part, not for the whole. Batch norm sees a part at a time.
    seed : int
        Of weights, data order, augmentation and noise.
    start : str
        A model to begin with, shipped or a folder: what fits of its weights is taken over
        (`voxgan.training.start`). So a model of twice the resolution need not begin with nothing.
    precision : {"fp32", "tf32", "bf16", "auto"}
        bf16 computes convolutions in bfloat16; weights, losses and batch statistics stay in single precision. tf32
        rounds the factors of products to 10 bits on NVIDIA GPUs. "auto" is bf16 on devices that have it, else fp32,
        and which of them it was stays with the run.
    checkpointing : bool
        Keep no activations of generator and discriminator; compute them again for the gradients.
    sync_batch_norm : bool
        Under torchrun: batch norm over the batches of all ranks, not of each.
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
    photos : {"plain", "randomised"}
        How photos are varied where `augment` is on: a little, or in all that a real one may differ in
        (`voxgan.domain_randomisation`).
    loaders : int
        Processes that read batches ahead; 0 reads in the training's own. The batches are the same for any number.
    cosine : bool
        Let the rates fall to a twentieth along a half cosine.
    save_every, sample_every : int
        Steps between checkpoints, and between pictures of samples (0 for none).
    retries : int
        How often a run whose losses are no longer finite goes back to its last saved state.
    retry_rate : float
        By what all rates are multiplied each time; 1 leaves them, and only the noise is another.
    tensorboard : bool
        Write figures and samples for TensorBoard, too.
    device : str
        "auto" takes a GPU where there is one.
    """

    steps: int = 20_000
    batch: int = 16
    accumulate: int = 1
    seed: int = 0
    start: str = ""
    precision: str = "fp32"
    checkpointing: bool = False
    sync_batch_norm: bool = False
    average: float = 0.999
    augment: bool = True
    turns: int = 1
    shift: int = 0
    views: str = "auto"
    photos: str = "plain"
    loaders: int = 0
    cosine: bool = False
    save_every: int = 500
    sample_every: int = 500
    retries: int = 0
    retry_rate: float = 0.5
    tensorboard: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name, least in (
            ("steps", 1),
            ("batch", 2),
            ("accumulate", 1),
            ("retries", 0),
            ("save_every", 1),
            ("sample_every", 0),
            ("shift", 0),
            ("loaders", 0),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}: expected {least} or more")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed={self.seed}: expected a number from 0 to 2⁶³ − 1")
        if self.precision not in _PRECISIONS:
            raise UsageError(f"precision={self.precision!r}; {nearest(self.precision, _PRECISIONS)}")
        if self.turns not in (1, 2, 4):
            raise UsageError(f"turns={self.turns}: expected 1, 2 or 4")
        if self.views not in ("auto", "stored", "drawn"):
            raise UsageError(f"views={self.views!r}: expected auto, stored or drawn")
        if self.photos not in ("plain", "randomised"):
            raise UsageError(f"photos={self.photos!r}: expected plain or randomised")
        if self.loaders > 256:
            raise UsageError(f"loaders={self.loaders}: expected at most 256 processes")
        if not 0 <= self.average < 1:
            raise UsageError(f"average={self.average}: expected a number from 0 to below 1")
        if not 0 < self.retry_rate <= 1:
            raise UsageError(f"retry_rate={self.retry_rate}: expected a number above 0 and at most 1")
        if self.retries > 100:
            raise UsageError(f"retries={self.retries}: expected at most 100")

    def on(self, device: torch.device) -> Training:
        """Return these options with the precision that "auto" means on a device.

        Examples
        --------
        >>> Training(precision="auto").on(torch.device("cpu")).precision in ("bf16", "fp32")
        True
        """
        if self.precision != "auto":
            return self
        return dataclasses.replace(self, precision="bf16" if has_bfloat16(device) else "fp32")

    def plan(self, kind: type[Model], config: Any) -> Plan:
        """Return what the batches of a model of this kind are made of."""
        images = "none"
        if "image" in kind.conditions:
            images = "stored" if self.views == "auto" else self.views
        return Plan(
            images,
            self.augment,
            self.photos,
            kind.image_size(config),
            self.turns,
            self.shift,
            tuple(config.classes),
        )


def split_options(kind: type[Model], options: Mapping[str, Any]) -> tuple[Any, Training]:
    """Sort options into the model's and the training's."""
    own = {field.name for field in dataclasses.fields(Training)}
    training = make_config(Training, {key: value for key, value in options.items() if key in own})
    config = make_config(kind.Config, {k: v for k, v in options.items() if k not in own}, tuple(own))
    return config, training


def asked_resolution(options: Mapping[str, Any]) -> int | None:
    """Return the resolution that is asked for among options; None where the data set's is to be taken."""
    return (
        int(make_config(Config, {"resolution": options["resolution"]}).resolution) if "resolution" in options else None
    )


def resolve(model: str, options: Mapping[str, Any]) -> tuple[type[Model], dict[str, Any], tuple[str, ...]]:
    """Lay options over a preset's.

    Where another adversarial loss or network is asked for than the preset has, what these bring along (rates and such:
    `voxgan.adversarial.recipe`) takes the place of the preset's.

    Parameters
    ----------
    model : str
        Name of a preset or model.
    options : mapping
        Fields of `Training` and of the model's ``Config``; values may be strings as typed.

    Returns
    -------
    type of Model
    dict
        All options that are not left at their defaults.
    tuple of str
        The classes asked for; empty for all that the data set has.

    Raises
    ------
    UsageError
        For an unknown preset or key, or a value that cannot be.
    """
    name, preset = presets.find(model)
    kind = models.find(name)
    merged = {**_without_replaced(preset, options), **options}
    config, _ = split_options(kind, merged)
    return kind, merged, tuple(config.classes)


def _without_replaced(preset: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Drop from a preset what was chosen for a loss or a network that these options replace."""
    replaced: set[str] = set()
    loss, network = str(options.get("adversarial", "")), options.get("network")
    former = preset.get("adversarial", Config.adversarial)
    if loss in adversarial.names() and loss != former:
        replaced |= {*adversarial.find(former).RECIPE, *adversarial.find(loss).RECIPE}
    if network is not None and network != preset.get("network", Config.network):
        replaced |= {"generator_norm", "discriminator_norm"}
    return {key: value for key, value in preset.items() if key not in replaced}


def check_options(config: Any, training: Training, ranks: Ranks, fresh: bool = True) -> None:
    """Refuse options that cannot work together, or not here; of a `fresh` training also what it cannot begin with.

    Raises
    ------
    UsageError
        In one line: what came, and what would do.
    MissingExtraError
        If TensorBoard, or ImageNet's weights, are asked for and not installed.
    """
    whole = ranks.count * training.accumulate * config.pack
    if training.batch % whole:
        factors = [
            f"{value} {name}"
            for value, name in ((ranks.count, "ranks"), (training.accumulate, "parts (accumulate)"))
            if value > 1
        ]
        factors += [f"pack={config.pack}"] if config.pack > 1 else []
        near = max(whole, training.batch // whole * whole)
        raise UsageError(f"batch={training.batch} is no multiple of {' × '.join(factors)}; take batch={near}")
    moves = CriticSchedule(config.critic_steps, config.critic_warmup)
    if not any(moves(step) for step in range(min(training.steps, 1000))):
        first = next(step for step in range(1000) if moves(step)) + 1
        raise UsageError(
            f"steps={training.steps}: with critic_steps={config.critic_steps} and critic_warmup={config.critic_warmup} "
            f"the generator first moves in step {first}; take more steps, or critic_warmup=0"
        )
    device = ranks.device
    if training.precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UsageError(f"precision=tf32 needs an NVIDIA GPU of 2020 or later, this is {device.type}; take fp32")
    if training.precision == "bf16" and not has_bfloat16(device):
        raise UsageError(
            f"precision=bf16: this {device.type} does not compute in bfloat16; take precision=fp32, or auto"
        )
    if training.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "tensorboard", "tensorboard=true")
    if fresh and not training.start and getattr(config, "encoder_start", "random") == "imagenet":
        require_package()


def check_data(kind: type[Model], config: Any, training: Training, dataset: Dataset, ranks: Ranks) -> None:
    """Refuse, before long work, a model that does not fit its data.

    Raises
    ------
    DatasetError, UsageError
        In one line: what came, and what would do.
    """
    if ranks.count > len(dataset):
        raise UsageError(
            f"{ranks.count} ranks for {len(dataset)} shapes in {dataset.path}: start at most as many ranks"
        )
    if kind.needs_classes(config):
        _check_classes(config.classes, dataset)
    room = int(dataset.resolution * (1 - FILL) / 2)
    if training.shift > room:
        raise UsageError(f"shift={training.shift}: shapes have {room} free cells around them at {dataset.resolution}³")
    photos = "image" in kind.conditions
    for name, usual in (("views", "auto"), ("photos", "plain")):
        if getattr(training, name) != usual and not photos:
            raise UsageError(f"{name}={getattr(training, name)}: {kind.name} learns from shapes alone; leave it out")
    if photos:
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
        if dataset.image_size != VIEW_SIZE:
            raise DatasetError(f"{dataset.path}: its views are {dataset.image_size} pixels wide, expected {VIEW_SIZE}")


def _check_classes(classes: tuple[str, ...], dataset: Dataset) -> None:
    """Refuse classes that a conditional model could not learn apart, or not learn at all."""
    if len(classes) < 2:
        raise DatasetError(
            f"{dataset.path}: {len(classes)} class to train on, and a conditional model chooses between two or more; "
            "name them with classes=chair,table or leave the condition out"
        )
    twice = [name for name in classes if classes.count(name) > 1]
    if twice:
        raise UsageError(f"classes={','.join(classes)}: {twice[0]!r} stands there twice")
    present = {dataset.classes[label] for label in set(dataset.labels.tolist())}
    lacking = [name for name in classes if name not in present]
    if lacking:
        raise DatasetError(
            f"{dataset.path}: has no training shapes of the class {lacking[0]!r}; name those that it has with "
            f"classes={','.join(name for name in classes if name in present)}"
        )
