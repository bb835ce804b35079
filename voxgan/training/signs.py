"""Early warnings in words: how an adversarial training fails, told from its figures while it still can be stopped.

Every sign looks at a mean over a window of steps (or over two samplings), never at one step, and is silent in the first
300 steps, when no figure means anything; but losses in the thousands are no beginning, and are told from step 50 on.
While they are there, nothing else is told, for all other figures are their consequence. A sign that was told is told
again only after it has gone (each has a second, easier bound for that) and come back, and at most once in 500 steps.

What the bounds were set from. Two trained models that turned out well: chairs (``gan3d``, 5,400 steps) and furniture
(``vae_gan3d``, 3,500 steps). Over any 100 steps their D's accuracy lay between .62 and .91, its loss between .72 and
1.58, its gate was open in 4 to 90 % of the steps and never shut for more than 42 in a row; G's loss stayed below 6 in
every step, and the KL term between 115 and 430; the chairs were as full as the real ones and as different. They are
silent here. The failures came from trials of 400 to 600 steps on 32³ and 16³ grids at widths 8 and 4, each with one
option made bad: G at a fiftieth of its rate or at fifty times, D at 1e-7 or without the gate, the encoder at 1e-2. A
run whose grids emptied for good (occupied at a hundredth of the real) was right with 15 times the rate of D, or with
instance noise; grids that go down to a tenth before step 200 and come back are usual. Which of the two helps
depends on who wins: on 16³ grids at width 4, where D told nearly all right, five times its rate left 0 % of the voxels
filled, instance noise of 0.1 gave 3.9 %, and a fifth of G's rate 1.2 %. At rates of 1000 losses stood at 1e7 to 1e8,
all finite.

Most of what is advised is an option of the model, with which a run begins and ends: "in a new run" says so. The others
(batch, precision, retries) can be given to ``voxgan resume``.

Shapes from noise say little of a model that reconstructs: those of the furniture model, which is meant to be used with
photos or class latents, were empty for a while. So the signs of empty, full, equal and alike shapes are for the others.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = ["FIRST", "SHUT", "TrainingWarning", "Watch"]


class TrainingWarning(UserWarning):
    """A training shows a sign of one of the known failures; the message says what to try."""


SHUT = 200
"""So many steps in a row with D's gate shut are a sign; healthy runs stayed below 45."""

FIRST = 300
"""No sign is told before this step, but losses beyond all bounds."""

_EARLY = 50  # but this one: losses beyond all bounds
_WILD = 1e3  # no adversarial loss is as high while anything is learnt
_WILD_DISTANCE = 1e4  # of a reconstruction: an L2 distance of two 256³ grids is up to 4096
_SHARE = 0.05  # open in a smaller share of the last 300 steps, the gate is as good as shut
_WINS = 0.8  # accuracy above which D is winning, as the gate has it
_EVERY = 10  # steps between two looks
_QUIET = 500  # steps between two warnings of one kind
_CHANCE = 2 * math.log(2)  # D's loss when it says ½ of everything
_BLIND = 300  # steps that D may look blind
_ALIKE = 0.5  # of the way from the data's pairwise IoU to that of equal shapes
_KL = 1500.0  # nats; at such values every photo gave one shape (docs/decisions.md)
_RATES = {
    "": "generator_rate and discriminator_rate",
    "autoencoder": "generator_rate and encoder_rate",
    "encoder": "encoder_rate",
}

_Finding = tuple[bool | None, str]  # there, gone, or neither; and what to say


class _Window:
    """The last `size` finite values of a figure."""

    def __init__(self, size: int) -> None:
        self.values: deque[float] = deque(maxlen=size)

    def add(self, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self.values.append(value)

    @property
    def mean(self) -> float:
        """The mean, or NaN before the window is full: every comparison with NaN is false."""
        full = len(self.values) == self.values.maxlen
        return sum(self.values) / len(self.values) if full else math.nan


class Watch:
    """Looks at every step's figures and says what goes wrong.

    Parameters
    ----------
    phases : sequence of str
        The names of the model's phases.
    chance : float or None, optional
        D's adversarial loss where it says of everything that it does not know: 2 log 2 by default, as cross-entropy has
        it. None for critics, whose loss is a distance: it says neither that they are too good nor that they are blind.

    Examples
    --------
    >>> watch = Watch(["discriminator", "generator"])
    >>> figures = {"occupied": 0.001, "real_occupied": 0.1}
    >>> [step for step in range(1, 1001) if watch(step, figures)]
    [300]
    """

    def __init__(self, phases: Sequence[str], chance: float | None = _CHANCE) -> None:
        self.phases = tuple(phases)
        self._chance = math.nan if chance is None else chance
        self._windows: dict[str, _Window] = {}
        self._bounds: dict[tuple[str, str], float] = {}  # of which parts of which phase's loss
        self._shut = 0
        self._lowest: dict[str, float] = {}
        self._told: dict[str, int] = {}  # step at which each kind was last told
        self._there: set[str] = set()  # kinds that were told and have not gone since
        self._kinds: dict[str, Callable[[], _Finding]] = {
            "empty": self._empty,
            "full": self._full,
            "equal": self._equal,
            "alike": self._alike,
            **({} if chance is None else {"saturated": self._saturated, "fooled": self._fooled}),
            "shut": self._gate_shut,
            "skipped": self._skipped,
            "kl_away": self._kl_away,
            "kl_gone": self._kl_gone,
        }
        for phase in self.phases:
            self._kinds[f"exploding {phase}"] = lambda phase=phase: self._exploding(phase)  # type: ignore[misc]

    def __call__(self, step: int, figures: Mapping[str, float]) -> list[str]:
        """Take up a step's figures; return the new warnings.

        Parameters
        ----------
        step : int
            From 1.
        figures : mapping
            As they go into the log. What is missing or not finite is passed over.

        Returns
        -------
        list of str
            What is seen with its numbers, what it means, and what to try.
        """
        return self._look(step, figures)

    def replay(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take up a log after a resume, and say nothing: its warnings were told when they arose.

        Parameters
        ----------
        lines : iterable of mappings
            As `voxgan.training.record.read_log` returns them; the last 2,000 count, and all samplings.
        """
        lines = list(lines)
        for line in lines[:-2000]:
            if "samples.pairwise_iou" in line:
                self._take_samples(int(line["step"]), _numbers(line))
        for line in lines[-2000:]:
            self._look(int(line["step"]), _numbers(line))

    def _look(self, step: int, figures: Mapping[str, Any]) -> list[str]:
        self._take(figures)
        self._take_samples(step, figures)
        if step < _EARLY or step % _EVERY:
            return []
        there, text = self._beyond_bounds()
        if there:
            exploding = any(kind.startswith("exploding") for kind in self._there)  # told on its way up
            return self._say(step, "beyond bounds", text) if not exploding else []
        if there is False:
            self._there.discard("beyond bounds")
        if step < FIRST or "beyond bounds" in self._there:
            return []
        told = []
        for kind, finding in self._kinds.items():
            there, text = finding()
            if there is False:
                self._there.discard(kind)
            elif there:
                told += self._say(step, kind, text)
        return told

    def _say(self, step: int, kind: str, text: str) -> list[str]:
        """Return the text if it is news."""
        if kind in self._there or step - self._told.get(kind, -_QUIET) < _QUIET:
            return []
        self._there.add(kind)
        self._told[kind] = step
        return [text]

    def _take(self, figures: Mapping[str, Any]) -> None:
        sound = figures.get("sound") != 0
        self._window("skipped", 100).add(0.0 if sound else 1.0)
        if not sound:  # its other figures say nothing about the networks
            return
        self._window("accuracy", 100).add(figures.get("accuracy"))
        if not any(key.endswith(".reconstruction") for key in figures):
            for name in ("occupied", "real_occupied", "spread"):
                self._window(name, 100).add(figures.get(name))
        self._window("accuracy", _BLIND).add(figures.get("accuracy"))
        for phase in self.phases:
            total = figures.get(f"{phase}.total")
            kl = figures.get(f"{phase}.kl")
            self._window("kl", 50).add(kl)
            # A total with a KL term may be in the thousands by its weight alone, as the paper's is.
            parts = {"total": _WILD} if kl is None else {"adversarial": _WILD, "reconstruction": _WILD_DISTANCE}
            for part, bound in parts.items():
                value = figures.get(f"{phase}.{part}")
                self._window(f"{phase}.{part} {bound:g}", 20).add(None if value is None else abs(value))
                self._bounds[phase, part] = bound
            self._window(f"{phase}.total", 100).add(total)
            size = None if total is None else abs(total)
            self._window(f"{phase} now", 20).add(size)
            self._window(f"{phase} size", 100).add(size)
            usual = self._window(f"{phase} size", 100).mean
            if not math.isnan(usual):
                self._lowest[phase] = min(usual, self._lowest.get(phase, usual))
        self._window("discriminator.total", _BLIND).add(_adversarial(figures))
        self._window("discriminator.adversarial", 100).add(_adversarial(figures))
        moved = figures.get("discriminator.moved")
        self._window("discriminator.moved", 100).add(moved)
        self._window("discriminator.moved", 300).add(moved)
        if moved is not None:
            self._shut = 0 if moved else self._shut + 1

    def _take_samples(self, step: int, figures: Mapping[str, Any]) -> None:
        if "samples.pairwise_iou" not in figures or step < FIRST:
            return
        if not any(key.endswith(".reconstruction") for key in figures):
            for name in ("samples.pairwise_iou", "samples.empty", "data.pairwise_iou"):
                self._window(name, 2).add(figures.get(name))

    def _window(self, name: str, size: int) -> _Window:
        key = f"{name}/{size}"
        if key not in self._windows:
            self._windows[key] = _Window(size)
        return self._windows[key]

    def _mean(self, name: str, size: int = 100) -> float:
        return self._window(name, size).mean

    # ---------------------------------------------------------------------------------------------- signs
    def _beyond_bounds(self) -> _Finding:
        sizes = {
            (phase, part): (self._mean(f"{phase}.{part} {bound:g}", 20), bound)
            for (phase, part), bound in self._bounds.items()
        }
        known = {key: (size, size / bound) for key, (size, bound) in sizes.items() if not math.isnan(size)}
        if not known:
            return None, ""
        phase, part = max(known, key=lambda key: known[key][1])
        size, times = known[phase, part]
        what = "loss" if part == "total" else f"{part} term"
        return _between(times > 1, times < 0.5), (
            f"the {phase}'s {what} is beyond all bounds: {size:.2g} (mean size over 20 steps). At such values "
            f"nothing is learnt, and the rates are too high. In a new run, try a much lower "
            f"{_RATES.get(phase, _RATES[''])}"
        )

    def _wins(self) -> bool:
        """Say whether D is ahead of G."""
        return self._mean("accuracy") > _WINS or self._mean("discriminator.moved") < 0.5

    def _empty(self) -> _Finding:
        made, real = self._mean("occupied"), self._mean("real_occupied")
        cause, advice = (
            (
                "The discriminator wins, and tells it only that all is wrong",
                "instance_noise=0.1, which makes the discriminator's task harder, or then a lower generator_rate",
            )
            if self._wins()
            else (
                "It hides from the discriminator, which does not tell it what to make",
                "a higher discriminator_rate, or then a lower generator_rate",
            )
        )
        return _between(made < 0.1 * real, made > 0.2 * real), (
            f"the generator makes nearly empty grids: {made:.2%} of their voxels are filled, {real:.2%} in the data "
            f"(mean of 100 steps). {cause}. In a new run, try {advice}"
        )

    def _full(self) -> _Finding:
        made, real = self._mean("occupied"), self._mean("real_occupied")
        bound = min(real + 0.25, 0.5 + real / 2)
        blind = self._mean("accuracy") < 0.5
        cause, advice = (
            ("The discriminator does not notice", "a higher discriminator_rate or a lower generator_rate")
            if blind
            else ("It does not come away from its beginning", "a higher generator_rate or a lower discriminator_rate")
        )
        return _between(made > bound, made < bound - 0.05), (
            f"the generator fills its grids: {made:.1%} of their voxels are filled, {real:.1%} in the data (mean of "
            f"100 steps). {cause}. In a new run, try {advice}"
        )

    def _equal(self) -> _Finding:
        spread = self._mean("spread")
        if {"empty", "full"} & self._there or self._empty()[0] or self._full()[0]:
            return None, ""  # empty grids are equal, and so are full ones: that is not a second fault
        return _between(spread < 0.05, spread > 0.1), (
            f"all samples are nearly equal: two of them differ by {spread:.1%} of what two real shapes differ by (mean "
            "of 100 steps). The generator passes over its noise (mode collapse). In a new run, try pack=2, which shows "
            "the discriminator two shapes at once, or a lower generator_rate; or go on with a larger batch"
        )

    def _alike(self) -> _Finding:
        made, real = self._mean("samples.pairwise_iou", 2), self._mean("data.pairwise_iou", 2)
        known = {"empty", "full", "equal"} & self._there or self._empty()[0] or self._full()[0] or self._equal()[0]
        if known or self._mean("samples.empty", 2) >= 0.5:  # two empty grids are equal
            return None, ""
        way = (made - real) / max(1 - real, 1e-9)
        return _between(way > _ALIKE, way < 0.8 * _ALIKE), (
            f"samples are far more alike than the data: two of them have a mean IoU of {made:.2f}, two real shapes "
            f"{real:.2f} (mean of two samplings). The generator makes few kinds of shapes (mode collapse). In a new "
            "run, try pack=2, which shows the discriminator two shapes at once, or a lower generator_rate; or go on "
            "with a larger batch"
        )

    def _saturated(self) -> _Finding:
        accuracy, loss = self._mean("accuracy"), self._mean("discriminator.adversarial")
        moved, unit = self._mean("discriminator.moved"), self._chance / _CHANCE
        there = accuracy >= 0.99 and loss < 0.05 * unit and moved > 0
        return _between(there, accuracy < 0.97 or loss > 0.1 * unit or moved == 0), (
            f"the discriminator is saturated: accuracy {accuracy:.1%} and a loss of {loss:.2g} over 100 steps, and it "
            f"still moves in {moved:.0%} of them. The generator gets hardly any signal. In a new run, try "
            "gate=0.8, a lower discriminator_rate, or instance_noise=0.1"
        )

    def _fooled(self) -> _Finding:
        accuracy, loss = self._mean("accuracy", _BLIND), self._mean("discriminator.total", _BLIND)
        there = accuracy < 0.55 and loss > 0.98 * self._chance
        return _between(there, accuracy > 0.6 or loss < 0.95 * self._chance), (
            f"the discriminator learns nothing: accuracy {accuracy:.0%} and a loss of {loss:.3g} over {_BLIND} steps, "
            f"where guessing gives 50% and {self._chance:.3g}. What it tells the generator is worth nothing. In a new "
            "run, try a higher discriminator_rate, a lower generator_rate, or a larger discriminator_width"
        )

    def _gate_shut(self) -> _Finding:
        accuracy, loss = self._mean("accuracy"), self._mean("discriminator.total")
        share = self._mean("discriminator.moved", 300)
        in_a_row = self._shut >= SHUT
        how = (
            f"has been shut for {self._shut} steps"
            if in_a_row
            else f"was shut in {1 - share:.1%} of the last 300 steps"
        )
        # Where grids are empty already, a faster generator only empties them sooner.
        faster = "" if "empty" in self._there or self._empty()[0] else ", or a higher generator_rate"
        return _between(in_a_row or share < _SHARE, self._shut == 0 and not share < 2 * _SHARE), (
            f"the discriminator's gate {how}: its accuracy is {accuracy:.0%} (mean of 100 steps; loss {loss:.2g}), and "
            f"the generator does not catch up. In a new run, try instance_noise=0.1, or a lower discriminator_rate"
            f"{faster}"
        )

    def _skipped(self) -> _Finding:
        share = self._mean("skipped")
        return _between(share >= 0.03, share == 0), (
            f"{share * 100:.0f} of the last 100 steps were skipped, because a loss or a gradient was not finite. The "
            "networks are at the edge of divergence. Go on with retries=3, which returns to the last saved state with "
            "lower rates, or with precision=fp32; or, in a new run, try lower rates"
        )

    def _exploding(self, phase: str) -> _Finding:
        now, lowest = self._mean(f"{phase} now", 20), self._lowest.get(phase, math.nan)
        bound = 10 * lowest + 5
        there, gone = now > bound, now < bound / 2
        if phase == "discriminator":
            advice = "a lower discriminator_rate or generator_rate"
        elif phase in ("autoencoder", "encoder"):
            advice = "a lower encoder_rate or generator_rate"
        else:
            advice = "a lower generator_rate, or a lower discriminator_rate, which it may be running from"
        return _between(there, gone), (
            f"the {phase}'s loss is exploding: {now:.3g} (mean of 20 steps) after {lowest:.3g}. One network outruns "
            f"another, or the rates are too high. In a new run, try {advice}"
        )

    def _kl_away(self) -> _Finding:
        kl = self._mean("kl", 50)
        return _between(kl > _KL, kl < _KL / 2), (
            f"the encoder's KL term runs away: {kl:.4g} nats (mean of 50 steps; healthy runs stay below 500). Its "
            "codes leave the prior, and every photo comes to give the same shape. In a new run, try a lower "
            "encoder_rate, beta1=0.9, or a higher kl_weight"
        )

    def _kl_gone(self) -> _Finding:
        kl = self._mean("kl", 50)
        return _between(kl < 2, kl > 5), (
            f"the encoder says nothing: its KL term is {kl:.2g} nats (mean of 50 steps), so that all photos have the "
            "same code. In a new run, try a lower kl_weight or a higher reconstruction_weight"
        )


def _numbers(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is a number, or None, in a line of a log."""
    return {key: value for key, value in line.items() if value is None or isinstance(value, int | float)}


def _adversarial(figures: Mapping[str, Any]) -> Any:
    """Return D's loss without penalties and classes."""
    return figures.get("discriminator.adversarial", figures.get("discriminator.total"))


def _between(there: bool, gone: bool) -> bool | None:
    """Say there, gone, or neither: what lies between the two bounds changes nothing."""
    return True if there else False if gone else None
