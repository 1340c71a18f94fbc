"""Shares of a 256-bit root as SLIP-39 has them: any `threshold` of them give the root, fewer tell nothing of it.

Made and combined by Trezor's reference implementation, which is not hardened against whoever watches the machine
meanwhile. Its errors repeat words of a share; ours never do.
"""

from __future__ import annotations

import itertools
from collections import abc
from dataclasses import dataclass, field

import shamir_mnemonic
from shamir_mnemonic.shamir import ShareGroup
from shamir_mnemonic.wordlist import WORD_INDEX_MAP

from keysvc.errors import InvalidInput
from keysvc.model import SecretBytes, SecretText

ROOT_BYTES = 32
WORDS = 33
MAXIMUM = 16
MAXIMUM_EXPONENT = 4
"""SLIP-39's iteration exponent: combining takes 2^exponent times as long. keysvc writes 1; 15 would take minutes."""


@dataclass(frozen=True, slots=True)
class Share:
    """One share: the `number`-th of its set, which needs `threshold` of them."""

    number: int
    threshold: int
    set_id: int
    _share: shamir_mnemonic.Share = field(repr=False)


def split(root: SecretBytes, threshold: int, count: int) -> list[SecretText]:
    """The shares, each 33 words. Raises InvalidInput unless 2 ≤ threshold ≤ count ≤ 16 and the root has 256 bits."""
    if not 2 <= threshold <= count <= MAXIMUM or len(root) != ROOT_BYTES:
        raise InvalidInput(f"shares need a threshold of at least 2, and a count of at least that and at most {MAXIMUM}")
    made = shamir_mnemonic.generate_mnemonics(1, [(threshold, count)], root.reveal())
    return [SecretText(words) for words in made[0]]


def parse(text: SecretText, earlier: abc.Collection[Share] = ()) -> Share:
    """One share as it was typed. Raises InvalidInput, which says what is wrong with it: which word by its place, that
    words are missing or mistaken, that it was given before or is of another set than `earlier`."""
    words = text.reveal().lower().split()
    unknown = [place for place, word in enumerate(words, 1) if word not in WORD_INDEX_MAP]
    if unknown:
        raise InvalidInput(f"word {', '.join(map(str, unknown))} is not on SLIP-39's list", hint=_AGAIN)
    if len(words) != WORDS:
        raise InvalidInput(f"a share has {WORDS} words, and these are {len(words)}", hint=_AGAIN)
    try:
        made = shamir_mnemonic.Share.from_mnemonic(" ".join(words))
    except shamir_mnemonic.MnemonicError:
        made = None
    if made is None or made.group_count != 1 or len(made.value) != ROOT_BYTES:
        raise InvalidInput("its checksum is wrong: a word is another, or two are swapped", hint=_AGAIN)
    if made.iteration_exponent > MAXIMUM_EXPONENT:
        raise InvalidInput(f"its iteration exponent is {made.iteration_exponent}, and keysvc's shares have at most 4")
    share = Share(made.index + 1, made.member_threshold, made.identifier, made)
    for other in earlier:
        if other._share.group_parameters() != made.group_parameters():
            raise InvalidInput("it is of another set of shares than the first one", hint="give one of the same set")
        if other.number == share.number:
            raise InvalidInput(f"it is share {share.number}, which was given already", hint="give another one")
    return share


def text_of(share: Share) -> SecretText:
    """The words of a share."""
    return SecretText(share._share.mnemonic())


_AGAIN = "compare it with what was written down, and give it again"


def combine(shares: abc.Sequence[Share]) -> tuple[SecretBytes, tuple[int, ...]]:
    """The root, and the numbers of shares that were changed although their checksum is right: to tell these takes one
    share more than the threshold. Raises InvalidInput when no `threshold` of them belong together."""
    threshold = shares[0].threshold if shares else 0
    for chosen in itertools.combinations(shares, threshold) if shares else ():
        root = _combined(chosen)
        if root is not None:
            others = [share for share in shares if share not in chosen]
            return root, tuple(other.number for other in others if _combined([*chosen[1:], other]) != root)
    numbers = ", ".join(str(share.number) for share in shares)
    raise InvalidInput(
        f"one of the shares {numbers} was changed, or there are too few", hint="give one share more, to find out which"
    )


def _combined(shares: abc.Iterable[Share]) -> SecretBytes | None:
    group = ShareGroup()
    for share in shares:
        group.add(share._share)
    try:
        return SecretBytes(shamir_mnemonic.recover_ems({0: group}).decrypt(b""))
    except shamir_mnemonic.MnemonicError:
        return None
