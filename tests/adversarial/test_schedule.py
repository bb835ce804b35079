from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from voxgan.adversarial.schedule import CriticSchedule

STEPS = 60_000


def arjovsky(critic_steps: int, warmup: int) -> Iterator[bool]:
    """The rule as the paper's own program has it: for each generator step, so many of the critic."""
    for generator_step in itertools.count():
        many = generator_step < warmup or generator_step % 500 == 0
        count = 100 if many else critic_steps
        yield from (number == count - 1 for number in range(count))


@pytest.mark.parametrize("critic_steps", [1, 2, 5, 7, 100, 150])
@pytest.mark.parametrize("warmup", [1, 25, 499, 500])
def test_the_schedule_is_the_papers(critic_steps: int, warmup: int) -> None:
    moves = CriticSchedule(critic_steps, warmup)
    assert [moves(step) for step in range(STEPS)] == list(itertools.islice(arjovsky(critic_steps, warmup), STEPS))


def test_the_papers_own_numbers() -> None:
    moves = CriticSchedule(critic_steps=5, warmup=25)
    found = [step for step in range(STEPS) if moves(step)]
    waits = [b - a for a, b in itertools.pairwise([-1, *found])]
    assert waits[:25] == [100] * 25 and waits[25:500] == [5] * 475
    assert [number for number, wait in enumerate(waits) if wait == 100 and number >= 25] == list(
        range(500, len(waits), 500)
    )
    assert set(waits) == {5, 100} and len(waits) > 5000


@pytest.mark.parametrize("critic_steps", [1, 2, 5])
def test_without_a_warm_up_no_step_is_special(critic_steps: int) -> None:
    moves = CriticSchedule(critic_steps)
    found = [step for step in range(STEPS) if moves(step)]
    assert found == list(range(critic_steps - 1, STEPS, critic_steps))


def test_every_step_is_the_generators_where_nothing_is_asked_for() -> None:
    assert all(CriticSchedule()(step) for step in range(1000))


def test_a_step_is_answered_for_by_itself() -> None:
    moves = CriticSchedule(5, 25)
    far = [moves(step) for step in range(59_000, 59_200)]
    assert (
        far
        == list(itertools.islice(arjovsky(5, 25), 59_000, 59_200))
        == [moves(step) for step in range(59_000, 59_200)]
    )
