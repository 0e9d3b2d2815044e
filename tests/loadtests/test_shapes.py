"""Shapes: how many people are there at each moment of a run."""

import pytest

from loadtests.people.shapes import SHAPES, people_at


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_stays_within_its_height_and_ends(shape: str) -> None:
    people = [people_at(shape, second, seconds=100, users=50) for second in range(100)]
    assert all(1 <= one <= 50 for one in people)
    assert max(people) == 50
    assert people_at(shape, 100, seconds=100, users=50) is None


def test_the_spike_is_one_and_the_staircase_has_five_steps() -> None:
    spike = [people_at("spike", second, seconds=100, users=1000) for second in range(100)]
    assert spike[0] == 100
    assert spike[30:70] == [1000] * 40
    assert spike[70:] == sorted(spike[70:], reverse=True)
    assert spike[-1] == 200
    stairs = [people_at("staircase", second, seconds=100, users=50) for second in range(100)]
    assert sorted(set(stairs)) == [10, 20, 30, 40, 50]
    assert all(stairs.count(step) == 20 for step in set(stairs))
