"""Latents: walks between two, and sums of named ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from voxgan.errors import InputError, UsageError
from voxgan.latent import along, arithmetic, interpolate

GENERATOR = torch.Generator().manual_seed(0)
A = torch.randn(200, generator=GENERATOR)
B = 2 * torch.randn(200, generator=GENERATOR)


@pytest.mark.parametrize("kind", ["linear", "spherical"])
@pytest.mark.parametrize("steps", [2, 3, 8])
def test_ends_and_count(kind, steps):
    walk = interpolate(A, B, steps, kind)
    assert walk.shape == (steps, 200) and walk.dtype == torch.float32
    torch.testing.assert_close(walk[0], A)
    torch.testing.assert_close(walk[-1], B)


def test_linear_steps_are_equal():
    walk = interpolate(A, B, 9)
    torch.testing.assert_close(walk.diff(dim=0), ((B - A) / 8).expand(8, -1), atol=1e-5, rtol=1e-4)


def test_spherical_lengths_change_evenly_and_angles_are_equal():
    walk = interpolate(A, B, 9, "spherical")
    torch.testing.assert_close(walk.norm(dim=1), torch.linspace(float(A.norm()), float(B.norm()), 9))
    unit = walk / walk.norm(dim=1, keepdim=True)
    angles = torch.arccos((unit[1:] * unit[:-1]).sum(dim=1))
    torch.testing.assert_close(angles, angles.mean().expand(8), rtol=1e-3, atol=0)
    straight = interpolate(A, B, 9)
    assert straight[4].norm() < 0.85 * walk[4].norm()


@pytest.mark.parametrize(("a", "b"), [(A, 3 * A), (A, -A), (A, A), (torch.zeros(200), A), (torch.zeros(5),) * 2])
def test_spherical_where_there_is_no_great_circle_is_straight(a, b):
    walk = interpolate(a, b, 5, "spherical")
    assert torch.isfinite(walk).all()
    torch.testing.assert_close(walk, interpolate(a, b, 5), atol=1e-4, rtol=1e-4)


def test_arrays_are_taken():
    walk = interpolate(np.zeros(3), np.ones(3, int), 3)
    assert walk.tolist() == [[0] * 3, [0.5] * 3, [1] * 3]


def test_interpolate_refuses():
    for a, b in [(A, B[:5]), (A[None], B[None]), (A[0], B[0])]:
        with pytest.raises(InputError, match="expected two of shape"):
            interpolate(a, b)
    for steps in (1, 0, -3):
        with pytest.raises(UsageError, match=f"steps={steps}"):
            interpolate(A, B, steps)
    with pytest.raises(UsageError, match="did you mean 'spherical'"):
        interpolate(A, B, kind="sperical")


PATH = torch.stack([A, B, -A, 3 * A])


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_along_a_path(kind):
    for place, latent in enumerate(PATH):
        assert torch.equal(along(PATH, place, kind), latent)
    for place in range(3):
        walk = interpolate(PATH[place], PATH[place + 1], 5, kind)
        for step in (1, 2, 3):
            torch.testing.assert_close(along(PATH, place + step / 4, kind), walk[step])
    assert torch.allclose(along(PATH, 1 + 1e-6, kind), B, atol=1e-4)
    assert torch.allclose(along(PATH, 2 - 1e-6, kind), -A, atol=1e-4)


def test_along_takes_arrays_and_a_single_latent():
    assert along([[0, 2], [4, 4]], 0.25).tolist() == [1, 2.5]
    assert along(A[None], 0).equal(A)
    along(A[None], 0).zero_()
    assert A.any()


def test_along_refuses():
    for position, last in [(-0.1, 3), (3.001, 3), (float("nan"), 3), (float("inf"), 3)]:
        with pytest.raises(UsageError, match=f"path through 4 latents; expected 0 to {last}"):
            along(PATH, position)
    with pytest.raises(UsageError, match="did you mean 'linear'"):
        along(PATH, 0, "liner")
    for latents in (A, PATH[:0], PATH[None]):
        with pytest.raises(InputError, match=r"expected \(N, L\)"):
            along(latents, 0)


LATENTS = {"A": torch.tensor([1.0, 10]), "B": torch.tensor([2.0, 20]), "long_name2": torch.tensor([4.0, 40])}


@pytest.mark.parametrize(
    ("expression", "factor"),
    [
        ("A", 1),
        ("-A", -1),
        ("+A", 1),
        ("A+B", 3),
        ("A - B", -1),
        ("A-B+long_name2", 3),
        ("  A  -  2*B ", -3),
        ("0.5 * long_name2 + 3*A", 5),
        ("-1.5*B", -3),
        ("A - A", 0),
        ("0*A", 0),
        ("A\n+\tB", 3),
    ],
)
def test_arithmetic(expression, factor):
    assert arithmetic(expression, LATENTS).tolist() == [factor, 10 * factor]


def test_arithmetic_leaves_the_latents_alone():
    arithmetic("A + B", LATENTS)
    arithmetic("A", LATENTS).mul_(5)
    assert LATENTS["A"].tolist() == [1, 10]


@pytest.mark.parametrize(
    "expression",
    ["A B", "A +", "+", "A + + B", "A - - B", "A*2", "A*B", "(A)", "A/2", "A + 1", "2", "1.*A", ".5*A", "1e3*A",
     "A; B", "A.B", "A**2", "A = B", "A, B", "__import__('os')", "A + B)", "0x1*A"],
)  # fmt: skip
def test_bad_expressions(expression):
    with pytest.raises(UsageError):
        arithmetic(expression, LATENTS)


def test_arithmetic_refuses():
    for empty in ("", "  "):
        with pytest.raises(UsageError, match="empty expression"):
            arithmetic(empty, LATENTS)
    with pytest.raises(UsageError, match=r"no latent 'long_name'.*did you mean 'long_name2'"):
        arithmetic("A + long_name", LATENTS)
    with pytest.raises(UsageError, match="at '\\* 2'"):
        arithmetic("A * 2", LATENTS)
    with pytest.raises(InputError, match=r"\(2,\) and \(1,\)"):
        arithmetic("A + C", LATENTS | {"C": torch.ones(1)})


@pytest.mark.parametrize("kind", ["linear", "spherical"])
def test_along_is_interpolate_piece_by_piece(kind: str) -> None:
    points = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    for i in range(3):
        steps = interpolate(points[i], points[i + 1], 5, kind)
        for k in range(5):
            assert torch.allclose(along(points, i + k / 4, kind), steps[k], atol=1e-6)
        assert torch.equal(along(points, i, kind), points[i])


def test_along_refuses_what_is_off_the_path() -> None:
    points = torch.zeros(3, 2)
    for position in (-0.1, 2.01, float("nan")):
        with pytest.raises(UsageError, match="0 to 2"):
            along(points, position)
    with pytest.raises(UsageError, match="linear"):
        along(points, 1, "cubic")
    for wrong in (torch.zeros(3), torch.zeros(0, 2)):
        with pytest.raises(InputError):
            along(wrong, 0)


def test_a_factor_needs_no_star() -> None:
    named = {"A": torch.tensor([3.0]), "B": torch.tensor([1.0])}
    assert torch.equal(arithmetic("2A - 0.5 B", named), arithmetic("2*A - 0.5*B", named))
