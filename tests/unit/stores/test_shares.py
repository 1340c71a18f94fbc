"""Shares: SLIP-39's own vectors, what is wrong with a share said without its words, and a key store that nobody can
open alone."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import shamir_mnemonic

from keysvc.errors import ConfigurationError, InvalidInput, SealBroken, SharesNeeded, VersionAlreadySealed
from keysvc.model import SecretBytes, SecretText
from keysvc.plugin.loading import Plugins
from keysvc.stores import slip39
from keysvc.stores.shares_sealer import public_key_of
from keysvc.testing.conformance import assert_no_leak, told
from keysvc.testing.key_store import secret

# SLIP-0039, test vectors 20 to 24: 256 bits, one group, passphrase TREZOR
VALID = (
    "theory painting academic academic armed sweater year military elder discuss acne wildlife boring employer fused "
    "large satoshi bundle carbon diagnose anatomy hamster leaves tracks paces beyond phantom capital marvel lips brave "
    "detect luck"
)
TWO_OF_THREE = (
    "humidity disease academic always aluminum jewelry energy woman receiver strategy amuse duckling lying evidence "
    "network walnut tactics forget hairy rebound impulse brother survive clothes stadium mailman rival ocean reward "
    "venture always armed unwrap",
    "humidity disease academic agency actress jacket gross physics cylinder solution fake mortgage benefit public busy "
    "prepare sharp friar change work slow purchase ruler again tricycle involve viral wireless mixture anatomy desert "
    "cargo upgrade",
)
WRONG_CHECKSUM = VALID.replace("luck", "lunar")
WRONG_PADDING = VALID.replace("armed", "campus").replace("brave detect luck", "facility obtain sister")
ROOT = SecretBytes(bytes(range(32)))


def parsed(texts) -> list[slip39.Share]:
    shares: list[slip39.Share] = []
    for text in texts:
        shares.append(slip39.parse(text if isinstance(text, SecretText) else SecretText(text), shares))
    return shares


@pytest.mark.parametrize(
    ("words", "hexadecimal"),
    [
        ((VALID,), "989baf9dcaad5b10ca33dfd8cc75e42477025dce88ae83e75a230086a0e00e92"),
        (TWO_OF_THREE, "c938b319067687e990e05e0da0ecce1278f75ff58d9853f19dcaeed5de104aae"),
    ],
)
def test_the_vectors_of_slip_39(words, hexadecimal: str) -> None:
    texts = [slip39.text_of(share).reveal() for share in parsed(words)]
    assert texts == list(words)
    assert shamir_mnemonic.combine_mnemonics(texts, b"TREZOR").hex() == hexadecimal
    slip39.combine(parsed(words))


@pytest.mark.parametrize("words", [WRONG_CHECKSUM, WRONG_PADDING])
def test_the_invalid_vectors_of_slip_39_are_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="checksum"):
        parsed([words])


def test_too_few_shares_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too few"):
        slip39.combine(parsed(TWO_OF_THREE[:1]))


def test_any_threshold_of_the_shares_give_the_root() -> None:
    shares = parsed(slip39.split(ROOT, 3, 5))
    for chosen in itertools.combinations(shares, 3):
        assert slip39.combine(chosen) == (ROOT, ())
    assert {share.number for share in shares} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (2, 17), (1, 1), (0, 0)])
def test_a_threshold_that_protects_nothing_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(InvalidInput):
        slip39.split(ROOT, threshold, count)


def test_what_is_wrong_with_a_share_is_said_without_its_words() -> None:
    first, second, *_ = (text.reveal() for text in slip39.split(ROOT, 3, 5))
    other = slip39.split(ROOT, 3, 5)[1].reveal()
    words = first.split()
    earlier = parsed([first])
    for text, why in (
        (" ".join([*words[:6], "wrongg", *words[7:]]), "word 7 is not"),
        (" ".join(words[:-1]), "these are 32"),
        (" ".join([*words[:10], words[11], words[10], *words[12:]]), "two are swapped"),
        (first, "share 1, which was given already"),
        (other, "another set"),
    ):
        with pytest.raises(InvalidInput, match=why) as refused:
            slip39.parse(SecretText(text), earlier)
        shown = "".join(told(refused.value))
        assert not [pair for pair in itertools.pairwise(text.split()) if " ".join(pair) in shown]
    assert slip39.parse(SecretText(f"  {second.upper()}\n"), earlier).number == 2


def test_a_forged_share_with_a_right_checksum_is_named_with_one_share_more() -> None:
    shares = parsed(slip39.split(ROOT, 2, 4))
    inner = shares[1]._share
    forged = replace(inner, value=bytes([inner.value[0] ^ 1]) + inner.value[1:]).mnemonic()
    mixed = [shares[0], slip39.parse(SecretText(forged)), shares[2]]
    with pytest.raises(InvalidInput, match="1, 2"):
        slip39.combine(mixed[:2])
    assert slip39.combine(mixed) == (ROOT, (2,))


def nobody(what: str) -> SecretText:
    raise ConfigurationError(f"nobody can be asked for the {what}")


def open_store(folder: Path, prompt=nobody, public: str | None = None):
    url = f"shares://{folder}/shares?public-key={public or public_key_of(ROOT)}"
    return Plugins().key_stores.open(url, prompt, "5" * 32)


def test_versions_are_sealed_with_nobody_there_and_opened_by_the_holders(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for version in (1, 2):
        store.seal(secret(version))
    store.seal(secret(2))
    with pytest.raises(VersionAlreadySealed):
        store.seal(secret(2, seed=1))
    with pytest.raises(SharesNeeded):
        store.unseal(1)
    texts = [text.reveal() for text in slip39.split(ROOT, 3, 5)]
    asked: list[str] = []

    def holders(what: str) -> SecretText:
        asked.append(what)
        return SecretText("\n".join(texts[1:4]))

    opened = open_store(tmp_path, holders)
    assert [opened.unseal(version) for version in opened.versions()] == [secret(1), secret(2)]
    assert asked == ["shares"]
    assert_no_leak(ROOT.reveal(), opened, opened.info(), *(p.read_bytes() for p in (tmp_path / "shares").iterdir()))
    opened.close()
    opened.unseal(1)
    assert len(asked) == 2


def test_shares_of_another_root_and_too_few_are_refused(tmp_path: Path) -> None:
    open_store(tmp_path).seal(secret(1))
    others = [text.reveal() for text in slip39.split(SecretBytes(bytes(32)), 2, 2)]
    with pytest.raises(SealBroken, match="another root"):
        open_store(tmp_path, lambda _: SecretText("\n".join(others))).unseal(1)
    with pytest.raises(SealBroken, match="too few"):
        open_store(tmp_path, lambda _: SecretText(others[0])).unseal(1)


def test_a_public_key_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        open_store(tmp_path, public="AAAA")


def test_shares_that_would_take_minutes_to_combine_are_refused_as_they_are_given() -> None:
    slow = shamir_mnemonic.Share(1, False, 15, 0, 1, 1, 0, 2, bytes(32)).mnemonic()
    with pytest.raises(InvalidInput, match="iteration exponent"):
        slip39.parse(SecretText(slow))
