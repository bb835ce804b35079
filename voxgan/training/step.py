"""One step of a training: every phase whose turn it is, once, on one batch.

A phase moves its weights only if its loss and its gradient are finite, and those of the phases before it. What an
earlier phase has moved stays moved; batch statistics and the average stay as they were.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from voxgan.batches import Plan, finish_batch, step_seed
from voxgan.draws import Draws
from voxgan.errors import CheckpointError
from voxgan.models.model import Batch, Model, Phase
from voxgan.networks.sync_batch_norm import synchronised
from voxgan.training.options import Training
from voxgan.training.ranks import Ranks

__all__ = ["Figures", "Stepper"]


class Figures(Mapping[str, float]):
    """The figures of a step, which may still be under way on a GPU: reading one waits for it, and only for it."""

    def __init__(self) -> None:
        self._found: dict[str, float] = {}
        self._awaited: dict[str, tuple[Tensor, int, torch.cuda.Event | None]] = {}

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Take up values (N,) that the device is computing."""
        event = None
        if values.device.type == "cuda":
            stream = torch.cuda.current_stream(values.device)
            host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            values = host.copy_(values, non_blocking=True)
            event = cast(Any, torch.cuda.Event)()
            event.record(stream)
        self._awaited |= {name: (values, place, event) for place, name in enumerate(names)}

    def __getitem__(self, name: str) -> float:
        if name in self._awaited:
            values, place, event = self._awaited.pop(name)
            if event is not None:
                event.synchronize()
            self._found[name] = float(values[place])
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._found, *self._awaited])

    def __len__(self) -> int:
        return len(self._found) + len(self._awaited)


class _PhaseLoss(nn.Module):
    """One phase's loss as a module: what torch's data-parallel wrapper can see of a model."""

    def __init__(self, model: Model, phase: str) -> None:
        super().__init__()
        self.model, self.phase = model, phase

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.model.loss(self.phase, batch)


def _optimizer(phase: Phase, groups: list[dict[str, Any]], device: torch.device) -> torch.optim.Optimizer:
    """Return what moves a phase's weights."""
    if phase.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups)
    return torch.optim.Adam(groups, betas=(phase.beta1, phase.beta2), fused=device.type in ("cpu", "cuda"))


class Stepper:
    """A model under training: its optimisers, its moving average, and how it takes a step.

    Parameters
    ----------
    model : Model
        Moved to the ranks' device, in training mode.
    training : Training
    ranks : Ranks
        `voxgan.training.ranks.ALONE` for a training in one process on the CPU.
    plan : Plan
        What a batch is made of.

    Attributes
    ----------
    averaged : dict of str to Tensor
        The moving average; empty on all ranks but the first.
    attempt : int
        How often the run has gone back to a saved state; the rates are halved (`Training.retry_rate`) each time.
    """

    def __init__(self, model: Model, training: Training, ranks: Ranks, plan: Plan | None = None) -> None:
        self.training, self.ranks, self.device = training, ranks, ranks.device
        self.plan = Plan() if plan is None else plan
        for network in (model.generator, model.discriminator):
            network.recompute = training.checkpointing
        model = model.to(self.device)
        if training.sync_batch_norm and ranks.count > 1:
            synchronised(model, self.device)
        self.model = model.train()
        self.phases = model.phases
        self.optimizers = {
            phase.name: _optimizer(
                phase,
                [{"params": list(getattr(model, name).parameters()), "lr": rate} for name, rate in phase.rates.items()],
                self.device,
            )
            for phase in self.phases
        }
        self.averaged: dict[str, Tensor] = {}
        if ranks.first:
            self.averaged = {
                f"{name}.{key}": value.detach().clone()
                for name in model.averaged
                for key, value in getattr(model, name).state_dict().items()
            }
        self.attempt = 0
        self._made: dict[int, Tensor] = {}  # the generated shapes of this step, by part
        self._losses: dict[str, DistributedDataParallel] = {}
        if ranks.count > 1:
            self._share_gradients()

    def _share_gradients(self) -> None:
        """Wrap each phase's loss, so that its gradients are averaged over the ranks while they are computed.

        A wrapper a phase, which knows only the weights that this phase moves: the phases of a GAN share the
        generated batch, and a wrapper around a network would wait for gradients that its phase does not compute.
        """
        known = inspect.signature(DistributedDataParallel).parameters
        once = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # its name to 2.12
        options: dict[str, Any] = {once: False, "gradient_as_bucket_view": True}
        for phase in self.phases:
            self._only(phase)
            self._losses[phase.name] = DistributedDataParallel(_PhaseLoss(self.model, phase.name), **options)

    def _only(self, phase: Phase) -> None:
        """Freeze all that a phase does not move."""
        for name, network in self.model.named_children():
            network.requires_grad_(name in phase.trains)

    def run(self, number: int, raw: Mapping[str, Tensor], last: Mapping[str, float], stop: bool = False) -> Figures:
        """Run every phase whose turn it is, once, on one batch.

        Parameters
        ----------
        number : int
            Of the step, from 0.
        raw : mapping of str to Tensor
            This rank's share of the batch, as `voxgan.batches.read_batch` gives it.
        last : mapping of str to float
            The figures of the last sound step, which the gate looks at.
        stop : bool
            Whether this rank was asked to stop; the figure ``stop`` is above 0 if any was.

        Returns
        -------
        Figures
            Means over all ranks: the phases' terms, whether they moved, the norms of their gradients; ``accuracy``,
            ``occupied``, ``real_occupied``, ``spread``, and ``sound``, which is 0 if a loss or a gradient was not
            finite.
        """
        training = self.training
        torch.manual_seed(step_seed(training.seed, number, self.attempt, self.ranks.number))
        batches = self._parts(number, raw)
        decay = training.retry_rate**self.attempt
        if training.cosine:
            decay *= 0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * number / training.steps))
        statistics = {key: value.clone() for key, value in self.model.named_buffers()}
        sound = torch.ones((), device=self.device)
        figures = Figures()
        self._made = {}
        phases = [phase for phase in self.phases if phase.turn(number)]
        for batch in batches:
            batch.phases = tuple(phase.name for phase in phases)
        for phase in phases:
            for group, rate in zip(self.optimizers[phase.name].param_groups, phase.rates.values(), strict=True):
                group["lr"] = rate * decay
            self._only(phase)
            sound = self._phase(phase, batches, phase.when(last), sound, figures)
        with torch.no_grad():
            self._look(batches, stop, figures)
            for key, value in self.model.named_buffers():  # batch norms have seen what was not finite
                value.copy_(torch.where(sound > 0, value, statistics[key]))
            self._average(number, sound)
        figures.add(["sound"], sound[None])
        return figures

    def _parts(self, number: int, raw: Mapping[str, Tensor]) -> list[Batch]:
        """Finish this rank's batch, in the parts that are computed one after the other."""
        training = self.training
        share = self.ranks.share(training.batch)
        seed = step_seed(training.seed, number, self.attempt)
        count = (share.stop - share.start) // training.accumulate
        batches = []
        for first in range(0, share.stop - share.start, count):
            part = slice(share.start + first, share.start + first + count)
            piece = {key: value[first : first + count] for key, value in raw.items()}
            draws = Draws(seed, training.batch, part).of("shapes")
            batches.append(finish_batch(piece, self.model.config.resolution, self.plan, self.device, draws))
        return batches

    def _phase(self, phase: Phase, batches: list[Batch], opens: bool, sound: Tensor, figures: Figures) -> Tensor:
        """Compute one phase's loss and, if the gate `opens`, move its weights; return whether all stayed finite."""
        sums: dict[str, Tensor] = {}
        bf16 = self.training.precision == "bf16"
        wrapped = self._losses.get(phase.name)
        for place, batch in enumerate(batches):
            waits = wrapped is not None and opens and place < len(batches) - 1
            with wrapped.no_sync() if waits and wrapped is not None else contextlib.nullcontext():
                with torch.set_grad_enabled(opens), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                    terms = wrapped(batch) if opens and wrapped is not None else self.model.loss(phase.name, batch)
                if opens:
                    torch.autograd.backward(terms["total"] / len(batches))
            for key, value in terms.items():
                sums[key] = sums.get(key, 0) + value.detach().float() / len(batches)
            if "generated" in batch:
                self._made[place] = batch["generated"].detach()
            if len(batches) > 1:  # what the next phase shares would keep every part's graph
                for key in [key for key, value in batch.items() if value.requires_grad]:
                    del batch[key]
        values = self.ranks.mean_(torch.stack(list(sums.values())))
        names = [key if key == "accuracy" else f"{phase.name}.{key}" for key in sums]
        sound = sound * torch.isfinite(values[list(sums).index("total")])
        if not opens:
            figures.add([*names, f"{phase.name}.moved"], torch.cat([values, torch.zeros_like(values[:1])]))
            return sound
        optimizer = self.optimizers[phase.name]
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        sound = sound * torch.isfinite(norm)
        if optimizer.defaults.get("fused"):  # decided on the device, which nothing then waits for
            guarded: Any = optimizer
            guarded.grad_scale, guarded.found_inf = None, 1 - sound
            guarded.step()
        elif sound > 0:
            optimizer.step()
        if phase.clip:
            with torch.no_grad():  # decided on the device, too
                for weight in (p for group in optimizer.param_groups for p in group["params"]):
                    weight.copy_(torch.where(sound > 0, weight.clamp(-phase.clip, phase.clip), weight))
        optimizer.zero_grad(set_to_none=True)
        figures.add(
            [*names, f"{phase.name}.gradient", f"{phase.name}.moved"], torch.cat([values, norm[None], sound[None]])
        )
        return sound

    def _look(self, batches: list[Batch], stop: bool, figures: Figures) -> None:
        """Add what the shapes themselves say: how full they are, and whether neighbours in a batch differ."""
        found = {"stop": torch.full((), float(stop), device=self.device)}
        real = torch.cat([batch["occupancy"] for batch in batches])
        made = torch.cat([*self._made.values()]).float() if self._made else real[:0]
        if len(made) > 1:
            found["occupied"], found["real_occupied"] = (made > 0.5).float().mean(), (real > 0.5).float().mean()
            between = [(shapes[1:] - shapes[:-1]).abs().mean() for shapes in (made, real)]
            found["spread"] = between[0] / between[1].clamp(min=1e-9)
        figures.add(list(found), self.ranks.mean_(torch.stack(list(found.values()))))

    def _average(self, number: int, sound: Tensor) -> None:
        """Move the average a little towards the weights, unless the step was not sound."""
        momentum = min(self.training.average, (number + 1) / (number + 10))
        state = self.model.state_dict()
        for key, mean in self.averaged.items():
            if mean.is_floating_point():
                mean.lerp_(state[key].to(mean.dtype), (1 - momentum) * sound.to(mean.dtype))
            else:
                mean.copy_(state[key])

    def snapshot(self) -> Model:
        """Return a copy of the model with averaged weights, in evaluation mode."""
        model = copy.deepcopy(self.model)
        model.load_state_dict({**self.model.state_dict(), **self.averaged})
        return model.requires_grad_(False).eval()

    def state(self) -> dict[str, Tensor]:
        """Return all that a step depends on beside (seed, number): weights, average, the optimisers' moments."""
        tensors = {f"model/{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"average/{key}": value for key, value in self.averaged.items()}
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{key}": value for key, value in state.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `state` has returned.

        Raises
        ------
        CheckpointError
            If it belongs to another model.
        """
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
            raise CheckpointError(f"the training state does not fit its model ({error})") from error
