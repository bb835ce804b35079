"""How many steps a critic takes for one of the generator (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1, and §4).

A step of a training is one of the critic's; the generator moves with the last of those that are due to it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CriticSchedule"]

_MANY = 100  # critic steps for a generator step of the warm-up
_AGAIN = 500  # generator steps from one of these to the next, after it


@dataclass(frozen=True)
class CriticSchedule:
    """Say in which steps the generator moves.

    Parameters
    ----------
    critic_steps : int
        Steps of the critic for one of the generator.
    warmup : int
        So many of the first generator steps wait for 100 critic steps each, and then every 500th does (numbers 0,
        500, 1000 …), as in the paper's experiments, where it is 25. At 0, none does. At most 500.

    Raises
    ------
    ValueError
        For a warm-up of more than 500.

    Examples
    --------
    >>> moves = CriticSchedule(critic_steps=5)
    >>> [step for step in range(12) if moves(step)]
    [4, 9]
    >>> moves = CriticSchedule(critic_steps=5, warmup=2)
    >>> [step for step in range(215) if moves(step)]
    [99, 199, 204, 209, 214]
    """

    critic_steps: int = 1
    warmup: int = 0

    def __post_init__(self) -> None:
        """Refuse a warm-up that would run into the next one."""
        if self.warmup > _AGAIN:
            raise ValueError(f"warmup {self.warmup}: expected at most {_AGAIN}")

    def __call__(self, step: int) -> bool:
        """Say whether the generator moves in `step`, counted from 0."""
        if not self.warmup:
            return (step + 1) % self.critic_steps == 0
        if step < self.warmup * _MANY:
            return (step + 1) % _MANY == 0
        # What follows the warm-up, as if every generator step from number 0 on had been an ordinary one but 0, 500 …
        step -= self.warmup * _MANY
        first = (_AGAIN - self.warmup) * self.critic_steps
        if step >= first:
            step = (step - first) % (_MANY + (_AGAIN - 1) * self.critic_steps)
            if step < _MANY:
                return step == _MANY - 1
            step -= _MANY
        return (step + 1) % self.critic_steps == 0
