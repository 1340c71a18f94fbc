"""What befalls a system, and when: made of a seed alone, so that a seed that failed can be run again. What the
operating system schedules in between is not replayed; a failure that needs it may take a few runs to come back."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """At `at` seconds, `action` befalls `target` and `lasts` so long."""

    at: float
    action: str
    target: str
    lasts: float

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.action} {self.target}{f' for {self.lasts:.2f} s' if self.lasts else ''}"


SETTLING_SECONDS = 3.0

ACTIONS = {
    # action: (how often, shortest, longest)
    "kill": (5, 0.0, 2.0),
    "pause": (4, 0.3, 5.0),
    "stop": (1, 0.0, 0.5),
    "cut": (4, 0.3, 4.0),
    "silence": (2, 0.3, 4.0),
    "rotate": (6, 0.0, 0.0),
    "destroy": (2, 0.0, 0.0),
}
DATABASE_ACTIONS = {
    "cut-database": (3, 0.3, 4.0),
    "silence-database": (2, 0.3, 4.0),
    "kill-database": (1, 0.0, 0.0),
    "restart-database": (1, 0.0, 0.0),
}


def plan(seed: int, seconds: float, *, servers: int, database: bool) -> list[Step]:
    """Steps in the order of their times. `master` as a target is whoever holds the lease then, `standby` another."""
    drawn = random.Random(f"keysvc chaos {seed}")
    actions = {**ACTIONS, **(DATABASE_ACTIONS if database else {})}
    names = [f"web-{number}" for number in range(1, servers + 1)]
    steps, at = [], 0.5
    while at < seconds - SETTLING_SECONDS:
        action = drawn.choices(list(actions), [often for often, _, _ in actions.values()])[0]
        _, shortest, longest = actions[action]
        if action in ("rotate", "destroy") or action.endswith(("kill-database", "restart-database")):
            target = "system"
        elif action in ("cut", "silence"):
            target = drawn.choice(names)
        else:
            target = drawn.choice(["master", "master", "master", "standby", *names[:2]])
        steps.append(Step(at, action, target, drawn.uniform(shortest, longest)))
        at += drawn.uniform(0.3, 2.0)
    return steps
