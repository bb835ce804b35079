"""How good a model is: the paper's experiments and the field's metrics, each beside an oracle and a floor.

`evaluate` runs suites of `voxgan.evaluation.suites`: reconstruction, generation, classification, latent.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import voxgan
from voxgan.checkpoint import load
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, UsageError
from voxgan.evaluation import suites
from voxgan.evaluation.result import Column, Evaluation, Plot, Row, Sheet, Suite, Table
from voxgan.evaluation.setting import Report, Setting, same
from voxgan.models.model import Model

__all__ = ["Column", "Evaluation", "Plot", "Row", "Sheet", "Suite", "Table", "evaluate"]


def evaluate(
    model: Model | str | Path,
    data: str | Path,
    suite: str | Sequence[str] | None = None,
    *,
    train: str | Path | None = None,
    quick: bool = False,
    count: int | None = None,
    seed: int = 0,
    report: Report | None = None,
    votes: int = 1,
    whole: float = 0.0,
) -> Evaluation:
    """Score a model on shapes that it did not see.

    Parameters
    ----------
    model : Model, or name or path of one
        With its discriminator, for classification: a run folder, not a shipped model.
    data : path
        A data set with a test split, made by `voxgan.prepare`. Of it, the classes that the model was trained on.
    suite : str or sequence of str, optional
        "reconstruction", "generation", "classification", "latent"; all that the model can take part in if left out.
    train : path, optional
        Where training shapes for floors and oracles come from; the train split of `data` if left out.
    quick : bool
        Score fewer shapes: minutes on a processor.
    count : int, optional
        How many samples are generated, beside as many test shapes where there are so many; as many as there are test
        shapes, at most 1,000, if left out. For the latent space, how many walks.
    seed : int
        Of 31 bits. Decides samples, choices and points: the same seed gives the same figures on the same machine.
    report : callable, optional
        Told what is being done, how much of it is done, and of how much.
    votes : int
        For reconstruction: looks at each photo (`VAEGAN3D.reconstruct`).
    whole : float
        For generation: samples whose largest part holds less than this share are drawn again (`Model.sample_latents`).

    Returns
    -------
    Evaluation
        Prints as tables; see `Evaluation.score`, `write_json`, `write_html`, `write_sheets`.

    Raises
    ------
    UsageError
        For an unknown suite, one that the model cannot take part in, or a resolution that does not fit.
    DatasetError
        If the data has no test shapes of the model's classes, or lacks what a suite needs.
    CheckpointError, StorageError
        If model or data cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import voxgan
    >>> from voxgan.dataset_writer import Writer
    >>> from voxgan.models import find
    >>> kind = find("gan3d")
    >>> rng, path = np.random.default_rng(0), Path(tempfile.mkdtemp()) / "boxes.h5"
    >>> with Writer.create(path, 16, ["box"]) as writer:
    ...     for number in range(12):
    ...         box = np.zeros((16, 16, 16), bool)
    ...         box[2 : rng.integers(6, 14), 2 : rng.integers(6, 14), 2 : rng.integers(6, 14)] = True
    ...         writer.add(box, "box", ("train", "test")[number % 2], str(number))
    >>> found = voxgan.evaluate(kind(kind.Config(resolution=16, width=4, classes=("box",))), path, "generation")
    >>> 0 <= found.score("generation", "sets", "one_nna_iou") <= 1
    True
    """
    if count is not None and (not _is_whole(count) or count < 2):
        raise UsageError(f"count={count!r}: expected 2 or more samples, or walks")
    if not _is_whole(seed) or not 0 <= seed < 1 << 31:
        raise UsageError(f"seed={seed!r}: expected a whole number from 0 to {(1 << 31) - 1:,}")
    asked = [suite] if isinstance(suite, str) else None if suite is None else [str(one) for one in suite]
    modules = {name: suites.find(name) for name in (suites.names() if asked is None else asked)}
    for what, value in (("the model", model), ("the data", data), ("train", train or "")):
        if not isinstance(value, str | Path | Model):
            raise UsageError(f"{what} is a {type(value).__name__}; expected a name or a path")
    if not modules:
        raise UsageError(f"no suite given; expected some of {', '.join(suites.names())}")
    loaded = model if isinstance(model, Model) else load(model)
    name = type(loaded).__name__ if isinstance(model, Model) else Path(model).name
    reasons = {key: module.reason(loaded, name) for key, module in modules.items()}
    if asked is not None:
        for why in filter(None, reasons.values()):
            raise UsageError(why)
    with ExitStack() as stack:
        test = stack.enter_context(_open(data, "test", loaded))
        known = _known(train, test, loaded)
        if known is not None:
            stack.enter_context(known)
        if known is not None and (known.mode == "surface") != (test.mode == "surface"):
            raise DatasetError(
                f"{known.path} holds {known.mode} shapes and {test.path} {test.mode} ones; "
                "expected both solid, or both surfaces"
            )
        setting = Setting(loaded, name, test, known, quick, int(seed), count, report or _silent, votes, whole)
        found, left_out = [], {}
        for key, module in modules.items():
            if asked is None and (why := reasons[key] or module.lacking(setting)):
                left_out[key] = why
                continue
            began = time.perf_counter()
            done: Suite = module.run(setting)
            found.append(replace(done, seconds=time.perf_counter() - began))
        if not found:
            raise UsageError(f"{name} can take part in no suite with {test.path.name}: {next(iter(left_out.values()))}")
        facts = _facts(setting)
        if asked is None:
            facts["left_out"] = left_out
        return Evaluation(name, test.path.name, facts, found)


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _silent(label: str, done: int, total: int) -> None:
    pass


def _open(path: str | Path, split: str, model: Model) -> Dataset:
    """Open the shapes of a split that are of the model's classes."""
    with Dataset(path, "all") as every:
        there = every.classes
        counts = every.summary()
    own = {same(name) for name in model.config.classes}
    classes = [name for name in there if same(name) in own] if own else there
    if not classes:
        raise DatasetError(
            f"{path}: holds {', '.join(there)}, and the model was trained on {', '.join(model.config.classes)}; "
            "expected a class in common"
        )
    classes = [name for name in classes if counts[name][split]]
    if not classes:
        raise DatasetError(
            f"{path}: has no {split} shapes of the model's classes; give a data set that has some, "
            "or prepare it with  --test-share 0.1"
        )
    return _opened(path, split, None if classes == there else classes, model)


def _opened(path: str | Path, split: str, classes: list[str] | None, model: Model) -> Dataset:
    """Open a data set at the model's resolution, where its own is that doubled; the shapes of photos as they are."""
    data = Dataset(path, split, classes)
    wanted = model.config.resolution
    if data.of_photos or data.resolution not in (2 * wanted, 4 * wanted, 8 * wanted):
        return data
    data.close()
    return Dataset(path, split, classes, resolution=wanted)


def _known(train: str | Path | None, test: Dataset, model: Model) -> Dataset | None:
    """Open the training shapes of the classes that are judged; None where the test shapes' own file has no others."""
    path = test.path if train is None else train
    judged = {same(test.classes[label]) for label in np.unique(test.labels)}
    with Dataset(path, "all") as every:
        if train is None and not (every.splits == 0).any():
            return None
        classes = [name for name in every.classes if same(name) in judged]
    if not classes:
        raise DatasetError(f"{path}: has none of the classes {', '.join(sorted(judged))}, which floors are made of")
    return _opened(path, "train", classes, model)


def _hash(model: Model) -> str:
    """Return a hash of the weights that are judged."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _facts(setting: Setting) -> dict[str, Any]:
    config = setting.model.config
    return {
        "kind": setting.model.name,
        "resolution": config.resolution,
        "stored_resolution": setting.test.stored_resolution,
        "width": config.width,
        "classes": setting.names_of(setting.test.labels),
        "test_shapes": len(setting.test),
        "train_shapes": 0 if setting.train is None else len(setting.train),
        "data_fingerprint": setting.test.fingerprint(),
        "train_fingerprint": None if setting.train is None else setting.train.fingerprint(),
        "data_mode": setting.test.mode,
        "weights": _hash(setting.model),
        "train": None if setting.train is None else setting.train.path.name,
        "count": setting.count,
        "seed": setting.seed,
        "quick": setting.quick,
        "voxgan": voxgan.__version__,
        "torch": torch.__version__.partition("+")[0],
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
