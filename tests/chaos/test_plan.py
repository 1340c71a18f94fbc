"""A plan is made of its seed alone."""

from __future__ import annotations

from chaos.plan import plan


def test_the_same_seed_makes_the_same_plan_and_another_makes_another() -> None:
    assert plan(7, 60, servers=3, database=True) == plan(7, 60, servers=3, database=True)
    assert plan(7, 60, servers=3, database=True) != plan(8, 60, servers=3, database=True)


def test_the_database_is_left_alone_where_it_is_a_file() -> None:
    actions = {step.action for seed in range(20) for step in plan(seed, 60, servers=3, database=False)}
    assert not any("database" in action for action in actions)
    assert {"kill", "pause", "cut", "rotate"} <= actions
