"""Makes inputs from those that are known, the same ones from the same seed."""

from __future__ import annotations

import random
from collections import abc

WORDS = (
    b"", b"\0", b"\n", b"\r\n", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"0", b"-1", b"1e999", b"nan", b"inf", b"-0", b"007", b"1_0", b"\xd9\xa1\xd9\xa2", b"\xc2\xb2", b"99999999999",
    b"4294967296", b"9223372036854775808", b"18446744073709551616", b"9" * 400, b"9" * 5000, b"0x10", b"1.5",
    b"null", b"true", b"{}", b"[]", b"\"\"", b"\\ud800", b"\\u0000", b"%00", b"%ff", b"%", b"..", b"/", b"\\", b"'",
    b"\"", b":", b"@", b";", b",", b"=", b"&", b"?", b"#", b" ", b"\t", b"[", b"{", b"<", b">", b"(", b"[" * 3000,
    b"{\"a\":" * 3000, b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"\xe2\x84\xaa", b"\xc4\xb0",
    b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01",
)  # fmt: skip


class Mutator:
    """`known` grows with what `learn` is given."""

    def __init__(self, known: abc.Sequence[bytes], words: abc.Sequence[bytes], maximum: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._known = list(known) or [b""]
        self._words = (*WORDS, *words)
        self._own = words or WORDS
        self._maximum = maximum

    def learn(self, content: bytes) -> None:
        """It went where no other went."""
        if len(content) <= 2**14:
            self._known.append(content)
            if len(self._known) > 2000:
                del self._known[self._random.randrange(len(self._known))]

    def next(self) -> bytes:
        """One of the known ones, changed in a few places; sometimes grown as far as may be."""
        choose = self._random
        content = bytearray(choose.choice(self._known))
        for _ in range(choose.choice((1, 1, 1, 2, 3, 5, 9))):
            self._change(content)
        if choose.random() < 0.01:
            content = self._grown(content)
        return bytes(content[: self._maximum])

    def _change(self, content: bytearray) -> None:
        choose = self._random
        at = choose.randint(0, len(content))
        end = min(len(content), at + choose.choice((0, 1, 1, 2, 4, 8, 40)))
        match choose.randrange(8):
            case 0:
                if at < len(content):
                    content[at] ^= 1 << choose.randrange(8)
            case 1:
                if at < len(content):
                    content[at] = choose.randrange(256)
            case 2:
                content[at:end] = choose.choice(self._words)
            case 3:
                content[at:end] = choose.choice(self._own)
            case 4:
                del content[at:end]
            case 5:
                content[at:at] = content[at:end] * choose.choice((1, 2, 7))
            case 6:
                other = choose.choice(self._known)
                start = choose.randint(0, len(other))
                content[at:end] = other[start : start + choose.choice((1, 4, 16, 64, 256))]
            case _:
                other = choose.choice(self._known)
                content[at:] = other[choose.randint(0, len(other)) :]

    def _grown(self, content: bytearray) -> bytearray:
        """A piece of it, repeated: what costs more than its size shows."""
        choose = self._random
        at = choose.randint(0, len(content))
        piece = bytes(content[at : at + choose.choice((1, 2, 4, 16, 64, 1024))]) or b"\0"
        times = max(1, (self._maximum - len(content)) // len(piece))
        return content[:at] + piece * times + content[at:]
