"""How often one identity may do what is recorded."""

from __future__ import annotations

import pytest

from keysvc.errors import RateLimited
from keysvc.plugin import allowance
from keysvc.plugin.allowance import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: RateLimit, name: str, times: int) -> int:
    done = 0
    for _ in range(times):
        try:
            limit.spend(name)
        except RateLimited:
            continue
        done += 1
    return done


def test_a_burst_is_allowed_and_then_so_many_a_minute() -> None:
    clock = Clock()
    limit = RateLimit(10, 6, clock)
    assert allowed(limit, "anna", 100) == 10
    clock.now += 10
    assert allowed(limit, "anna", 100) == 1
    clock.now += 3600
    assert allowed(limit, "anna", 100) == 10


def test_one_name_costs_another_nothing() -> None:
    limit = RateLimit(3, 1, Clock())
    assert (allowed(limit, "anna", 9), allowed(limit, "bert", 9)) == (3, 3)
    with pytest.raises(RateLimited, match="anna asks for too much"):
        limit.spend("anna")


def test_names_that_have_spent_nothing_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "MANY", 100)
    clock = Clock()
    limit = RateLimit(3, 60, clock)
    for number in range(1000):
        clock.now += 1
        limit.spend(f"name {number}")
    assert len(limit._full_at) <= 101
