"""Charts, drawn here as SVG: numbers in, positions out. The templates draw them without any style attribute."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keysvc.master.status import VersionStatus

WIDTH = 600
GAP = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a stacked bar. `shade` numbers the patterns of the style sheet."""

    label: str
    amount: int
    x: int
    width: int
    shade: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A stacked bar; `says` is the same in words."""

    bars: tuple[Bar, ...]
    total: int
    says: str


def versions_chart(versions: abc.Sequence[VersionStatus]) -> Chart | None:
    """How many credentials each version encrypts; None when there are none."""
    counted = [(version, version.rows) for version in versions if version.rows]
    total = sum(rows for _, rows in counted)
    if not total:
        return None
    bars: list[Bar] = []
    x = 0
    for number, (version, rows) in enumerate(counted):
        width = max(4, round((WIDTH - GAP * (len(counted) - 1)) * rows / total))
        shade = 0 if version.state == "active" else 1 + number % 3
        bars.append(Bar(f"version {version.version}", rows, x, min(width, WIDTH - x), shade))
        x += width + GAP
    says = "; ".join(f"{bar.label}: {bar.amount:,} of {total:,} credentials" for bar in bars)
    return Chart(tuple(bars), total, says)
