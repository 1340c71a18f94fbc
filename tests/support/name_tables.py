"""Create keysvc/model/name_tables.py from the character database of Python 3.11: `python tests/support/name_tables.py`.

Every later Unicode normalises what this version knows as this version does: the stability policy of Unicode says so
(https://www.unicode.org/policies/stability_policy.html). It promises nothing about lower case, hence the tables.
"""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections import abc
from pathlib import Path

UNICODE = "14.0.0"
WIDTH = 100


def refused() -> abc.Iterator[int]:
    """The characters that no new name holds: not printable (also not assigned), or replaced by one other under NFC."""
    for point in range(sys.maxunicode + 1):
        normal = unicodedata.normalize("NFC", chr(point))
        if not chr(point).isprintable() or (len(normal) == 1 and normal != chr(point)):
            yield point


def lowered() -> abc.Iterator[tuple[int, int]]:
    """Each character that has a lower case of one code point whose upper case it is, and the distance to it."""
    for point in range(sys.maxunicode + 1):
        lower = chr(point).lower()
        if len(lower) == 1 and lower != chr(point) and lower.upper() == chr(point):
            yield point, ord(lower) - point


def ranges(points: abc.Iterable[int]) -> abc.Iterator[str]:
    """`FIRST-LAST` or `POINT`, in hexadecimal."""
    for _, run in itertools.groupby(enumerate(points), lambda pair: pair[1] - pair[0]):
        numbers = [point for _, point in run]
        yield f"{numbers[0]:x}-{numbers[-1]:x}" if len(numbers) > 1 else f"{numbers[0]:x}"


def runs(pairs: abc.Iterable[tuple[int, int]]) -> abc.Iterator[str]:
    """`FIRST-LAST/STEP+DISTANCE`: in hexadecimal, but for the decimal distance."""
    found: list[list[int]] = []  # first, last, step, distance
    for point, distance in pairs:
        run = found[-1] if found else [0, 0, 0, 0]
        if found and distance == run[3] and point - run[1] in ({run[2]} if run[2] else {1, 2}):
            run[1:3] = point, point - run[1]
        else:
            found.append([point, point, 0, distance])
    for first, last, step, distance in found:
        yield f"{first:x}-{last:x}/{step or 1}{distance:+d}"


def literal(words: abc.Iterable[str]) -> str:
    """Lines of a text literal."""
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) >= WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def module() -> str:
    """The text of the module."""
    return f'''"""Unicode {UNICODE} as far as names need it: made by tests/support/name_tables.py, which explains it."""

REFUSED = """
{literal(ranges(refused()))}
"""
LOWERED = """
{literal(runs(lowered()))}
"""
'''


if __name__ == "__main__":
    if unicodedata.unidata_version != UNICODE:
        sys.exit(f"this interpreter knows Unicode {unicodedata.unidata_version}; the tables are of {UNICODE}")
    (Path(__file__).parents[2] / "keysvc" / "model" / "name_tables.py").write_text(module(), "utf-8")
