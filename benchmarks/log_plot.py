"""A plot with two logarithmic axes as SVG: light, and readable without colours, because each line bears its name."""

from __future__ import annotations

import math
from collections import abc
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 480
LEFT, RIGHT, TOP, BOTTOM = 70, 300, 50, 60
COLOURS = ("#0b6e99", "#b5452c", "#3a7d34", "#7a4fa3", "#b07d00", "#00786c", "#a63a74", "#4a5a6a")
FONT = 'font-family="sans-serif" font-size="13"'
LABEL = 15
"""Between two names, at least."""


@dataclass(frozen=True, slots=True)
class Line:
    """Its points, from left to right."""

    name: str
    points: abc.Sequence[tuple[float, float]]


def svg(title: str, horizontal: str, vertical: str, lines: abc.Sequence[Line]) -> str:
    """The axes go from a power of ten to another."""
    across = _Axis.around([x for line in lines for x, _ in line.points], LEFT, WIDTH - RIGHT)
    up = _Axis.around([y for line in lines for _, y in line.points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" fill="#222">{escape(title)}, {escape(vertical)}</text>',
        *(_grid(across.at(10**n), TOP, across.at(10**n), HEIGHT - BOTTOM) for n in across.powers),
        *(_grid(LEFT, up.at(10**n), WIDTH - RIGHT, up.at(10**n)) for n in up.powers),
        *(_text(across.at(10**n), HEIGHT - BOTTOM + 20, f"{10**n:,.0f}", "middle") for n in across.powers),
        *(_text(LEFT - 8, up.at(10**n) + 4, f"{10.0**n:,g}", "end") for n in up.powers),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, horizontal, "middle"),
    ]
    labels = _apart({line.name: up.at(line.points[-1][1]) for line in lines})
    for line, colour in zip(lines, COLOURS, strict=False):
        points = [(across.at(x), up.at(y)) for x, y in line.points]
        shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        end, label = points[-1], labels[line.name]
        beside = WIDTH - RIGHT + 14
        leader = f"M{end[0] + 5:.1f} {end[1]:.1f}L{beside - 4} {label:.1f}"
        parts.append(f'<path d="{leader}" stroke="{colour}" stroke-opacity="0.4"/>')
        parts.append(f'<text x="{beside}" y="{label + 4:.1f}" fill="{colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Axis:
    """From 10^low at `begin` to 10^high at `end`."""

    low: int
    high: int
    begin: float
    end: float

    @classmethod
    def around(cls, values: abc.Sequence[float], begin: float, end: float) -> _Axis:
        return cls(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))), begin, end)

    @property
    def powers(self) -> range:
        return range(self.low, self.high + 1)

    def at(self, value: float) -> float:
        return self.begin + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.begin)


def _apart(wanted: abc.Mapping[str, float]) -> dict[str, float]:
    """Where names go so that none covers another: each at its line's end, or below the one above it."""
    found: dict[str, float] = {}
    lowest = -math.inf
    for name, at in sorted(wanted.items(), key=lambda each: each[1]):
        lowest = found[name] = max(at, lowest + LABEL)
    return found


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#555">{escape(text)}</text>'
