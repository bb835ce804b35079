"""How many modes of a mixture of Gaussians in the plane a GAN finds, alone and with packing (PacGAN).

    python benchmarks/pacgan_modes.py [--problems grid,ring] [--packs 1,2] [--loss non_saturating] [--seeds 3]
                                      [--steps 12000] [--rate 5e-4] [--threads 1] [--out modes.json] [--json]

The set-up of Lin et al. 2018, "PacGAN: the power of two samples in generative adversarial networks", arXiv:1712.04086,
§4.1: 25 Gaussians on a grid {−4, −2, 0, 2, 4}², σ .05, or 8 on the unit circle, σ .01; G has four layers of 400 with
batch norm and ReLU over z in the plane, D three layers of 200 maxout units of 5; Adam 1e-4, β1 .8; 100 packs a batch.
The paper trains 400,000 steps; here it is 12,000 at five times the rate, for all the same. A mode is found if any of
2,500 samples lies within 3 σ of its centre, and a sample is good if it lies within 3 σ of one.

Losses and penalties are those of `voxgan.adversarial`. Critics keep their own momenta, take two steps for one of G's,
and their rates fall to zero in a straight line; λ is .1.

Published (GAN, m = 2, 3, 4): grid 17.3 ± .8, 23.8 ± .7, 24.6 ± .2, 24.8 ± .2 modes of 25; ring 6.3 ± .5, 7.9 ± .1 of 8.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxgan import adversarial
from voxgan.adversarial.penalties import between, gradient_penalty, zero_centred
from voxgan.adversarial.schedule import CriticSchedule

SIGMA = {"grid": 0.05, "ring": 0.01}
_SAMPLES = 2500
_BATCH = 100


def centres(problem: str) -> Tensor:
    """Return the modes' centres, (N, 2)."""
    if problem == "grid":
        line = torch.arange(-4.0, 5.0, 2.0)
        return torch.cartesian_prod(line, line)
    angles = torch.arange(8) * (2 * math.pi / 8)
    return torch.stack([angles.cos(), angles.sin()], dim=1)


class Maxout(nn.Module):
    """The largest of five affine functions, for each of the units."""

    def __init__(self, fan_in: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.pieces, self.linear = pieces, nn.Linear(fan_in, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (self.pieces, -1)).amax(dim=1)


def networks(pack: int) -> tuple[nn.Sequential, nn.Sequential]:
    generator: list[nn.Module] = []
    for fan_in in (2, 400, 400, 400):
        generator += [nn.Linear(fan_in, 400), nn.BatchNorm1d(400), nn.ReLU()]
    critic = [Maxout(2 * pack, 200), Maxout(200, 200), Maxout(200, 200), nn.Linear(200, 1)]
    return nn.Sequential(*generator, nn.Linear(400, 2)), nn.Sequential(*critic)


def optimiser(network: nn.Module, recipe: dict[str, Any], rate: float) -> torch.optim.Optimizer:
    if recipe["optimizer"] == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=rate)
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(recipe["beta1"], recipe["beta2"]), fused=True)


def train(problem: str, pack: int, loss: str, steps: int, rate: float, seed: int) -> dict[str, float]:
    """Train one GAN; return how many modes it finds, and the share of its samples that are good."""
    torch.manual_seed(seed)
    where, sigma = centres(problem), SIGMA[problem]
    generator, critic = networks(pack)
    module, recipe = adversarial.find(loss), adversarial.recipe(loss)
    recipe |= {"generator_rate": rate, "discriminator_rate": rate}
    recipe |= {"critic_steps": 2} if module.CRITIC else {"beta1": 0.8}
    recipe["gradient_penalty"] = min(recipe["gradient_penalty"], 0.1)  # the plane is small: slopes must turn in .03
    moves = CriticSchedule(recipe["critic_steps"])
    for_generator = optimiser(generator, recipe, recipe["generator_rate"])
    for_critic = optimiser(critic, recipe, recipe["discriminator_rate"])
    count = _BATCH * pack
    generator.train()
    for step in range(steps):
        if module.CRITIC:  # without momentum, only a falling rate comes to rest
            for group in (*for_generator.param_groups, *for_critic.param_groups):
                group["lr"] = rate * (1 - step / steps)
        chosen = torch.randint(len(where), (count,))
        real = (where[chosen] + sigma * torch.randn(count, 2)).reshape(_BATCH, 2 * pack)
        turn = moves(step)
        with torch.set_grad_enabled(turn):
            made = generator(torch.randn(count, 2)).reshape(_BATCH, 2 * pack)
        fake = made.detach()
        if recipe["r1"] or recipe["r2"]:
            real.requires_grad_(True)
            fake.requires_grad_(True)
        on_real, on_fake = critic(torch.cat([real, fake])).flatten().chunk(2)
        total = module.discriminator_loss(on_real, on_fake)
        if recipe["r1"]:
            total = total + recipe["r1"] * zero_centred(on_real, real)
        if recipe["r2"]:
            total = total + recipe["r2"] * zero_centred(on_fake, fake)
        if recipe["gradient_penalty"]:
            points = between(real, fake, torch.rand(_BATCH))
            total = total + recipe["gradient_penalty"] * gradient_penalty(critic(points).flatten(), points)
        for_critic.zero_grad()
        total.backward()
        for_critic.step()
        if recipe["clip"]:
            for weight in critic.parameters():
                weight.data.clamp_(-recipe["clip"], recipe["clip"])
        if turn:
            for weight in critic.parameters():
                weight.requires_grad_(False)
            on_made = critic(made).flatten()
            paired = (critic(real.detach()).flatten(),) if module.PAIRED else ()
            for_generator.zero_grad()
            module.generator_loss(on_made, *paired).backward()
            for_generator.step()
            for weight in critic.parameters():
                weight.requires_grad_(True)
    generator.eval()
    with torch.no_grad():
        distance, nearest = torch.cdist(generator(torch.randn(_SAMPLES, 2)), where).min(dim=1)
    good = distance < 3 * sigma
    return {"modes": float(len(nearest[good].unique())), "good": float(good.float().mean())}


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Return the mean of several seeds and its standard error."""
    found = torch.tensor(values, dtype=torch.float64)
    error = found.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return found.mean().item(), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default="grid,ring")
    parser.add_argument("--packs", default="1,2")
    parser.add_argument("--loss", default="non_saturating", choices=adversarial.names())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--rate", type=float, default=5e-4, help="of the optimisers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write what is done so far to, after each seed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {
        "loss": options.loss,
        "steps": options.steps,
        "rate": options.rate,
        "seeds": options.seeds,
    }
    for problem in options.problems.split(","):
        for pack in map(int, options.packs.split(",")):
            key = f"{problem}_modes" + (f"_pack{pack}" if pack > 1 else "")
            began, found = time.perf_counter(), []
            for seed in range(options.seeds):
                found.append(train(problem, pack, options.loss, options.steps, options.rate, seed))
                for name, figure in (("modes", key), ("good", key.replace("modes", "good"))):
                    mean, error = mean_and_error([one[name] for one in found])
                    figures[figure], figures[f"{figure}_se"] = round(mean, 3), round(error, 3)
                figures[f"{key}_each"] = [int(one["modes"]) for one in found]
                if options.out:
                    options.out.write_text(json.dumps(figures))
            minutes = (time.perf_counter() - began) / 60
            if not options.json:
                print(
                    f"{problem:5} pack {pack}: {figures[key]:.1f} ± {figures[f'{key}_se']:.1f} modes of "
                    f"{len(centres(problem))}, {figures[key.replace('modes', 'good')]:.1%} of samples good "
                    f"({options.seeds} seeds, {minutes:.1f} min)",
                    flush=True,
                )
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
