# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizing, against Erlang's formula in exact fractions."""

from datetime import timedelta
from fractions import Fraction

import pytest
import slabby


def blocked(load: Fraction, servers: int) -> Fraction:
    b = Fraction(1)
    for n in range(1, servers + 1):
        b = load * b / (n + load * b)
    return b


def exhaustion(rate: Fraction, mean: Fraction, p99: Fraction, capacity: int) -> Fraction:
    return Fraction(99, 100) * blocked(rate * mean, capacity) + Fraction(1, 100) * blocked(
        rate * p99, capacity
    )


@pytest.mark.parametrize("rate", [1, 1000, 20_000])
@pytest.mark.parametrize(("mean", "p99"), [("1/1000", "1/1000"), ("1/500", "1/100")])
@pytest.mark.parametrize("limit", ["1/2", "1/1000", "1/1000000000"])
def test_the_capacity_is_the_least_that_does(rate, mean, p99, limit):
    mean, p99, limit = Fraction(mean), Fraction(p99), Fraction(limit)
    found = slabby.suggest_capacity(
        rate, mean_hold=float(mean), p99_hold=float(p99), exhaustion_probability=float(limit)
    )
    assert exhaustion(Fraction(rate), mean, p99, found) <= limit
    assert exhaustion(Fraction(rate), mean, p99, found - 1) > limit


def test_times_may_be_timedeltas():
    hold = timedelta(milliseconds=10)
    assert slabby.suggest_capacity(
        446, mean_hold=hold, p99_hold=hold, exhaustion_probability=0.0101
    ) == (
        slabby.suggest_capacity(446, mean_hold=0.01, p99_hold=0.01, exhaustion_probability=0.0101)
    )


def test_the_slab_size_holds_every_object():
    assert slabby.suggest_slab_size(1000, 1500, rate_per_second=1e3) == 1536
    assert slabby.suggest_slab_size(10, 20, rate_per_second=1e3, alignment=8) == 24
    assert slabby.suggest_slab_size(10, 20, rate_per_second=1e7, alignment=8) == 64


CAPACITY = {
    "rate_per_second": 100.0,
    "mean_hold": 0.01,
    "p99_hold": 0.1,
    "exhaustion_probability": 0.01,
}


@pytest.mark.parametrize(
    "change",
    [
        {"rate_per_second": float("nan")},
        {"rate_per_second": 0.0},
        {"rate_per_second": float("inf")},
        {"mean_hold": 0.0},
        {"p99_hold": 90_000.0},
        {"p99_hold": 2.0},
        {"exhaustion_probability": 1.0},
        {"exhaustion_probability": 0.0},
    ],
)
def test_nonsense_is_refused_with_the_values(change):
    with pytest.raises(slabby.InvalidArgumentError) as caught:
        slabby.suggest_capacity(**(CAPACITY | change))
    assert f"{next(iter(change))} {next(iter(change.values()))!r}" in str(caught.value)


def test_more_than_a_pool_can_have_is_refused():
    with pytest.raises(slabby.CapacityExceededError):
        slabby.suggest_capacity(1e12, mean_hold=1, p99_hold=1, exhaustion_probability=0.01)


def test_bad_sizes_are_refused_with_the_values():
    with pytest.raises(slabby.InvalidArgumentError, match="average 200, maximum 100"):
        slabby.suggest_slab_size(200, 100, rate_per_second=1)
    with pytest.raises(slabby.InvalidArgumentError, match="alignment 48"):
        slabby.suggest_slab_size(1, 100, rate_per_second=1, alignment=48)
