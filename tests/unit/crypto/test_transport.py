"""Only the receiver opens what was sealed, and only as what it is."""

from __future__ import annotations

import pytest

from keysvc.crypto.transport import KEMS, ReceiverKey, fetch_context, seal_to
from keysvc.errors import ProtocolError
from keysvc.model import SecretBytes

MATERIAL = SecretBytes(bytes(range(32)))
CONTEXT = fetch_context("f" * 32, 3, "server-1")
SIZES = {"X25519": 32, "MLKEM768-X25519": 1184 + 32}

each_kem = pytest.mark.parametrize("kem", KEMS)


def test_the_best_comes_first_and_the_classical_one_is_always_there():
    assert KEMS in {("MLKEM768-X25519", "X25519"), ("X25519",)}


@each_kem
def test_what_is_sealed_opens(kem):
    receiver = ReceiverKey.generate(kem)
    assert len(receiver.public) == SIZES[kem]
    sealed = seal_to(kem, receiver.public, MATERIAL, CONTEXT)
    assert receiver.open(sealed, CONTEXT) == MATERIAL
    assert MATERIAL.reveal() not in sealed
    assert seal_to(kem, receiver.public, MATERIAL, CONTEXT) != sealed


@each_kem
def test_another_key_does_not_open_it(kem):
    sealed = seal_to(kem, ReceiverKey.generate(kem).public, MATERIAL, CONTEXT)
    with pytest.raises(ProtocolError):
        ReceiverKey.generate(kem).open(sealed, CONTEXT)


@each_kem
@pytest.mark.parametrize("context", [("e" * 32, 3, "server-1"), ("f" * 32, 4, "server-1"), ("f" * 32, 3, "server-2")])
def test_it_does_not_open_as_of_another_system_version_or_receiver(kem, context):
    receiver = ReceiverKey.generate(kem)
    with pytest.raises(ProtocolError):
        receiver.open(seal_to(kem, receiver.public, MATERIAL, CONTEXT), fetch_context(*context))


@each_kem
def test_every_changed_byte_and_every_tear_is_refused(kem):
    receiver = ReceiverKey.generate(kem)
    sealed = seal_to(kem, receiver.public, MATERIAL, CONTEXT)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(ProtocolError):
            receiver.open(bytes(changed), CONTEXT)
    for length in (0, 1, 31, 32, 1119, len(sealed) - 1):
        with pytest.raises(ProtocolError):
            receiver.open(sealed[: min(length, len(sealed) - 1)], CONTEXT)


@each_kem
@pytest.mark.parametrize("size", [0, 1, 31, 33, 1184, 1215, 1217])
def test_a_public_key_of_the_wrong_size_is_refused(kem, size):
    with pytest.raises(ProtocolError):
        seal_to(kem, b"\x09" * size, MATERIAL, CONTEXT)


@pytest.mark.parametrize(("kem", "byte"), [(kem, b"\x00") for kem in KEMS] + [(kem, b"\xff") for kem in KEMS[:-1]])
def test_a_public_key_that_is_of_low_order_or_no_lattice_is_refused(kem, byte):
    with pytest.raises(ProtocolError):
        seal_to(kem, byte * SIZES[kem], MATERIAL, CONTEXT)


def test_an_unknown_kem_is_refused_and_the_error_says_which_there_are():
    for call in (lambda: ReceiverKey.generate("RSA"), lambda: seal_to("RSA", b"", MATERIAL, CONTEXT)):
        with pytest.raises(ProtocolError) as refused:
            call()
        assert "X25519" in refused.value.hint


def test_no_two_fetches_have_the_same_context():
    contexts = [("a", 1, "b"), ("a", 11, "b"), ("a1", 1, "b"), ("a", 1, "1b"), ("", 1, "ab"), ("ab", 1, "")]
    assert len({fetch_context(*context) for context in contexts}) == len(contexts)


@each_kem
def test_a_receiver_key_does_not_print_its_private_part(kem):
    assert "rivate" not in repr(ReceiverKey.generate(kem))
