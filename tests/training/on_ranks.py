"""What test_ranks.py runs on each rank, as ``on_ranks.py TASK FOLDER``; each rank leaves its findings there."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from voxgan import models
from voxgan.batches import Plan
from voxgan.errors import DatasetError, VoxganError
from voxgan.models.model import make_config
from voxgan.training import step
from voxgan.training.options import Training
from voxgan.training.ranks import Ranks, joined
from voxgan.training.step import Stepper

BATCH, STEPS = 8, 3
VARIANTS: dict[str, dict[str, Any]] = {
    "gan3d": {"pack": 2},
    "gan3d accumulate": {"accumulate": 2},
    "gan3d wide": {"gate": 0.0},
    "gan3d penalty": {
        "adversarial": "wasserstein_gp",
        "condition": "projection",
        "classes": ("chair", "table"),
        "critic_steps": 2,
        "pack": 2,
    },
    "ac_gan3d": {"adversarial": "relativistic", "classes": ("chair", "table"), "network": "residual"},
    "vae_gan3d": {"joint": True, "prior_share": 0.5, "encoder_width": 4},
    "vae_gan3d split": {"joint": False, "encoder_width": 4},
}


def steps(variant: str, ranks: Ranks) -> dict[str, Any]:
    """Take some steps on numbers that are the same however many ranks there are; return what is found."""
    torch.manual_seed(0)
    kind = models.find(variant.split()[0])
    options = dict(VARIANTS[variant])
    parts = options.pop("accumulate", 0)
    model = kind(make_config(kind.Config, {"resolution": 16, "width": 4, "latent": 8} | options))
    # In parts, batch norm sees a part at a time: two parts here are the two ranks there.
    training = Training(batch=BATCH, steps=STEPS, sync_batch_norm=not parts, accumulate=max(parts // ranks.count, 1))
    plan = Plan("stored" if "image" in model.conditions else "none", augment=False)
    stepper = Stepper(model, training, ranks, plan)
    source = torch.Generator().manual_seed(3)
    found: dict[str, Any] = {"figures": [], "first": {}}
    last: Any = {}
    for number in range(STEPS):
        raw = {
            "packed": torch.randint(0, 256, (BATCH, 512), dtype=torch.uint8, generator=source),
            "label": torch.zeros(BATCH, dtype=torch.int64),
            "views": torch.randint(0, 256, (BATCH, 256, 256, 4), dtype=torch.uint8, generator=source),
        }
        mine = {key: value[ranks.share(BATCH)] for key, value in raw.items()}
        last = stepper.run(number, mine, last, stop=number == 1 and ranks.number == ranks.count - 1)
        found["figures"].append(dict(last))
        if number == 0:
            found["first"] = {key: value.clone() for key, value in stepper.state().items()}
    return found | {"state": stepper.state()}


def equality(ranks: Ranks, folder: Path) -> None:
    """Every variant, some steps."""
    torch.save({variant: steps(variant, ranks) for variant in VARIANTS}, folder / f"{ranks.count}-{ranks.number}.pt")


@contextlib.contextmanager
def in_double_precision() -> Iterator[None]:
    """Compute all in double precision, where rounding hides nothing; fused Adam knows single precision alone."""
    with pytest.MonkeyPatch.context() as patch:
        plain, adam = step.finish_batch, torch.optim.Adam

        def finish_batch(*arguments: Any) -> Any:
            batch = plain(*arguments)
            for key in {"occupancy", "image"} & set(batch):
                batch[key] = batch[key].double()
            return batch

        patch.setattr(step, "finish_batch", finish_batch)
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        patch.setattr(torch.optim, "Adam", lambda *a, **options: adam(*a, **{**options, "fused": False}))
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def double(ranks: Ranks, folder: Path) -> None:
    """The same in double precision."""
    with in_double_precision():
        torch.save(
            {variant: steps(variant, ranks) for variant in VARIANTS}, folder / f"{ranks.count}-{ranks.number}d.pt"
        )


def both(ranks: Ranks, folder: Path) -> None:
    """Single and double precision."""
    equality(ranks, folder)
    double(ranks, folder)


def together(ranks: Ranks, folder: Path) -> None:
    """An error on the last rank only; then on all."""
    told = []
    for bad in ({ranks.count - 1}, set(range(ranks.count)), set[int]()):
        try:
            with ranks.together():
                if ranks.number in bad:
                    raise DatasetError(f"shapes of rank {ranks.number}")
            told.append(None)
        except VoxganError as error:
            told.append((str(error), error.exit_status, error.told))
    (folder / f"together-{ranks.number}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as mine:
        {"both": both, "together": together}[sys.argv[1]](mine, Path(sys.argv[2]))
