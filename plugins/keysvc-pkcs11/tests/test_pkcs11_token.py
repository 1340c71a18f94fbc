"""What is in the token, what may be there, and what is refused."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from keysvc.plugin import KeyStoreUnavailable, SealBroken, VersionAlreadySealed, VersionNotFound
from keysvc.testing.conformance import assert_no_leak
from keysvc.testing.key_store import secret

MAKE_KEK = """
session.generate_key(KeyType.{kind}, {bits}, id={key_id!r}, label="keysvc", store=True,
    capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
    template={{Attribute.SENSITIVE: {sensitive}, Attribute.EXTRACTABLE: {extractable}}})
answer = None
"""


def make_kek(softhsm, *, kind="AES", bits=256, key_id=b"\x01", sensitive=True, extractable=False) -> None:
    softhsm.run(MAKE_KEK.format(kind=kind, bits=bits, key_id=key_id, sensitive=sensitive, extractable=extractable))


# -- seen with python-pkcs11 alone -------------------------------------------------------------------------------------


def test_the_kek_is_sensitive_and_was_never_extractable(softhsm, opened) -> None:
    opened(softhsm.url()).seal(secret(1))
    attributes = softhsm.run("""
key = session.get_key(label="keysvc", object_class=ObjectClass.SECRET_KEY)
names = ["TOKEN", "PRIVATE", "SENSITIVE", "ALWAYS_SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE", "LOCAL", "VALUE_LEN",
         "ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "SIGN", "DERIVE"]
answer = {name: key[Attribute[name]] for name in names}
try:
    key[Attribute.VALUE]
except pkcs11.AttributeSensitive:
    answer["VALUE"] = "sensitive"
""")
    assert attributes == {
        "TOKEN": True,
        "PRIVATE": True,
        "SENSITIVE": True,
        "ALWAYS_SENSITIVE": True,
        "EXTRACTABLE": False,
        "NEVER_EXTRACTABLE": True,
        "LOCAL": True,
        "VALUE_LEN": 32,
        "ENCRYPT": True,
        "DECRYPT": True,
        "WRAP": False,
        "UNWRAP": False,
        "SIGN": False,
        "DERIVE": False,
        "VALUE": "sensitive",
    }


def test_the_mac_key_is_sensitive_and_was_never_extractable(shim, opened, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087,0x210a")
    opened(shim.softhsm.url()).seal(secret(1))
    attributes = shim.softhsm.run("""
key = session.get_key(label="keysvc mac", object_class=ObjectClass.SECRET_KEY)
answer = [key[Attribute[name]] for name in ("SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "SIGN", "ENCRYPT")]
""")
    assert attributes == [True, True, True, True, False]


def test_what_is_sealed_is_private_and_invisible_without_a_login(softhsm, opened) -> None:
    opened(softhsm.url()).seal(secret(1))
    objects = softhsm.run("""
wanted = {Attribute.CLASS: ObjectClass.DATA, Attribute.APPLICATION: "keysvc"}
answer = {"seen": [[o[Attribute.LABEL], o[Attribute.PRIVATE], o[Attribute.TOKEN]] for o in session.get_objects(wanted)]}
session.close()
answer["without login"] = len(list(token.open().get_objects(wanted)))
""")
    assert objects == {"seen": [["5" * 32 + "/keysvc/version-0000000001", True, True]], "without login": 0}


def test_nothing_outside_of_the_token_holds_the_secret_and_in_it_nothing_plain(softhsm, opened) -> None:
    opened(softhsm.url()).seal(secret(1))
    material = secret(1).material.reveal()
    files = [path for path in softhsm.directory.rglob("*") if path.is_file()]
    assert {path.name for path in files if softhsm.tokens not in path.parents} == {"pin", "softhsm2.conf"}
    assert not [path for path in files if material in path.read_bytes()]
    values = softhsm.run("""
answer = [o[Attribute.VALUE].hex() for o in session.get_objects({Attribute.CLASS: ObjectClass.DATA})]
""")
    assert len(values) == 1
    assert_no_leak(material, *values)


# -- the KEK -----------------------------------------------------------------------------------------------------------


def test_a_kek_that_the_customer_brought_is_used(softhsm, opened) -> None:
    make_kek(softhsm)
    store = opened(softhsm.url())
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)
    assert softhsm.run("answer = len(list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})))") == 1


@pytest.mark.parametrize(
    ("weakness", "said"),
    [({"extractable": True}, "is CKA_EXTRACTABLE"), ({"sensitive": False}, "is not CKA_SENSITIVE")],
)
def test_a_kek_that_could_leave_the_token_is_refused(softhsm, opened, weakness, said: str) -> None:
    make_kek(softhsm, **weakness)
    store = opened(softhsm.url())
    with pytest.raises(KeyStoreUnavailable, match=said) as refused:
        store.seal(secret(1))
    assert "allow-extractable-kek=yes" in refused.value.hint
    assert list(store.versions()) == []


def test_a_kek_that_could_leave_is_used_when_that_is_allowed_and_then_shown(softhsm, opened) -> None:
    make_kek(softhsm, extractable=True)
    store = opened(softhsm.url(more="&allow-extractable-kek=yes"))
    store.seal(secret(1))
    assert store.info().exportable


def test_a_kek_that_was_outside_once_is_refused(softhsm, opened) -> None:
    softhsm.run("""
session.create_object({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.TOKEN: True,
    Attribute.LABEL: "keysvc", Attribute.VALUE: bytes(32), Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: True, Attribute.DECRYPT: True})
answer = None
""")
    with pytest.raises(KeyStoreUnavailable, match=r"not CKA_SENSITIVE always|outside of the token once"):
        opened(softhsm.url()).seal(secret(1))


def test_a_second_key_of_the_label_stops_no_mac_key_either(shim, opened, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087,0x210a")
    make_kek(shim.softhsm, key_id=b"\x01")
    opened(shim.softhsm.url()).seal(secret(1))
    make_kek(shim.softhsm, key_id=b"\x02")
    assert opened(shim.softhsm.url(path="token=prod;object=keysvc;id=%01")).unseal(1) == secret(1)


@pytest.mark.parametrize("other", [{"bits": 128}, {"kind": "GENERIC_SECRET"}])
def test_a_key_of_another_kind_is_refused(softhsm, opened, other) -> None:
    make_kek(softhsm, **other)
    with pytest.raises(KeyStoreUnavailable, match="is not the KEK that keysvc needs"):
        opened(softhsm.url()).seal(secret(1))


def test_two_keys_of_one_label_are_ambiguous_until_the_url_names_one_by_id(softhsm, opened) -> None:
    make_kek(softhsm, key_id=b"\x01")
    make_kek(softhsm, key_id=b"\x02")
    with pytest.raises(KeyStoreUnavailable, match="2 keys labelled 'keysvc'") as refused:
        opened(softhsm.url()).seal(secret(1))
    assert "01, 02" in refused.value.hint
    store = opened(softhsm.url(path="token=prod;object=keysvc;id=%02"))
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)


def test_a_second_key_of_the_label_stops_nothing_once_the_url_names_the_first_by_id(softhsm, opened) -> None:
    make_kek(softhsm, key_id=b"\x01")
    opened(softhsm.url()).seal(secret(1))
    make_kek(softhsm, key_id=b"\x02")
    with pytest.raises(KeyStoreUnavailable, match="2 keys labelled 'keysvc'"):
        opened(softhsm.url()).unseal(1)
    assert opened(softhsm.url(path="token=prod;object=keysvc;id=%01")).unseal(1) == secret(1)
    with pytest.raises(SealBroken, match="sealed under another KEK"):
        opened(softhsm.url(path="token=prod;object=keysvc;id=%02")).unseal(1)


def test_each_kek_has_what_it_sealed_for_itself(softhsm, opened) -> None:
    first = opened(softhsm.url())
    second = opened(softhsm.url(path="token=prod;object=next"))
    first.seal(secret(1))
    second.seal(secret(1))
    second.seal(secret(2))
    first.destroy(1)
    assert (list(first.versions()), list(second.versions())) == ([], [1, 2])
    assert second.unseal(1) == secret(1)


def test_no_new_kek_is_made_where_something_is_sealed_under_the_lost_one(softhsm, opened) -> None:
    opened(softhsm.url()).seal(secret(1))
    softhsm.run("session.get_key(label='keysvc', object_class=ObjectClass.SECRET_KEY).destroy(); answer = None")
    store = opened(softhsm.url())
    for attempt in (lambda: store.seal(secret(2)), lambda: store.unseal(1)):
        with pytest.raises(KeyStoreUnavailable, match="KEK 'keysvc' is missing") as refused:
            attempt()
        assert "keysvc secret restore" in refused.value.hint
    assert list(store.versions()) == [1]


def test_opening_and_listing_make_no_kek(softhsm, opened) -> None:
    store = opened(softhsm.url())
    assert list(store.versions()) == []
    with pytest.raises(VersionNotFound):
        store.unseal(1)
    assert softhsm.run("answer = len(list(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})))") == 0


def test_another_kek_of_the_same_name_is_told_from_tampering(softhsm, opened) -> None:
    opened(softhsm.url()).seal(secret(1))
    softhsm.run("session.get_key(label='keysvc', object_class=ObjectClass.SECRET_KEY).destroy(); answer = None")
    make_kek(softhsm)
    with pytest.raises(SealBroken, match="sealed under another KEK"):
        opened(softhsm.url()).unseal(1)


# -- what it says of itself --------------------------------------------------------------------------------------------


def test_it_names_its_root_and_does_not_call_softhsm_hardware(softhsm, opened) -> None:
    store = opened(softhsm.url())
    assert store.info().root == "KEK keysvc"
    store.seal(secret(1))
    info = store.info()
    serial = softhsm.run("answer = token.serial.decode()")
    assert info.root == f"KEK keysvc (AES-GCM) in token prod, serial {serial}"
    assert (info.hardware, info.exportable) == (False, False)
    assert info.url == softhsm.url()


def test_what_it_says_of_itself_touches_no_token(shim, opened) -> None:
    opened(shim.softhsm.url()).info()
    assert shim.calls() == []


def test_a_mechanism_that_the_token_lacks_is_told_in_one_line(shim, opened, told, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087")
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    store.seal(secret(2))
    assert told.lines == ["the token prod has no AES-GCM: AES-KEY-WRAP-PAD seals"]


def test_a_token_without_any_mechanism_is_refused_and_left_without_a_kek(shim, opened, monkeypatch) -> None:
    monkeypatch.setenv("PKCS11_SHIM_HIDE_MECHANISMS", "0x1087,0x210a,0x1085")
    with pytest.raises(KeyStoreUnavailable, match="no mechanism to seal with"):
        opened(shim.softhsm.url()).seal(secret(1))
    assert shim.softhsm.run("answer = len(list(session.get_objects({})))") == 0


def test_what_one_mechanism_sealed_opens_when_another_seals(shim, opened, monkeypatch) -> None:
    make_kek(shim.softhsm)
    opened(shim.softhsm.url()).seal(secret(1))
    shim.softhsm.run("""
session.generate_key(KeyType.GENERIC_SECRET, 256, id=b"\x01", label="keysvc mac", store=True,
    capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
    template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False})
answer = None
""")
    shim.fail("C_EncryptInit times=1 CKR_MECHANISM_INVALID")
    store = opened(shim.softhsm.url())
    store.seal(secret(2))
    assert "AES-CBC-PAD-HMAC-SHA256" in store.info().root
    shim.heal()
    assert [opened(shim.softhsm.url()).unseal(version) for version in (1, 2)] == [secret(1), secret(2)]


def test_an_initialisation_vector_that_the_token_makes_is_read_back(shim, opened) -> None:
    shim.fail("C_EncryptInit overwrite-iv")
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.heal()
    assert store.unseal(1) == secret(1)
    assert "AES-GCM" in store.info().root


def test_the_token_gives_random_bytes(softhsm, opened) -> None:
    sealer = opened(softhsm.url())._sealer
    assert len(sealer.random(32)) == 32
    assert sealer.random(32) != sealer.random(32)


# -- which token -------------------------------------------------------------------------------------------------------


def test_slots_that_are_renumbered_do_not_matter(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    store.close()
    shim.fail("C_Initialize renumber-slots=1000")
    assert store.unseal(1) == secret(1)


def test_a_token_is_found_by_its_serial_among_others(softhsm, opened) -> None:
    serial = softhsm.run("answer = token.serial.decode()")
    opened(softhsm.url()).seal(secret(1))
    softhsm.add_token("another")
    softhsm.add_token("prod")
    assert opened(softhsm.url(path=f"serial={serial};object=keysvc")).unseal(1) == secret(1)
    with pytest.raises(KeyStoreUnavailable, match="2 tokens match token=prod") as refused:
        opened(softhsm.url()).unseal(1)
    assert serial in refused.value.hint


def test_a_token_that_is_not_there_is_named(softhsm, opened) -> None:
    with pytest.raises(KeyStoreUnavailable, match="the token lost: CKR_TOKEN_NOT_PRESENT"):
        opened(softhsm.url(path="token=lost;object=keysvc")).versions()


def test_a_library_that_is_not_there_is_named(softhsm, opened) -> None:
    url = softhsm.url().replace(softhsm.module, "/usr/lib/none.so")
    with pytest.raises(KeyStoreUnavailable, match=r"/usr/lib/none.so") as refused:
        opened(url).versions()
    assert "module-path" in refused.value.hint


def test_a_token_made_after_keysvc_was_started_is_found(softhsm, opened) -> None:
    store = opened(softhsm.url(path="token=later;object=keysvc"))
    with pytest.raises(KeyStoreUnavailable):
        store.versions()
    softhsm.add_token("later")
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)


def test_another_token_under_the_same_label_is_told(softhsm, opened, told) -> None:
    store = opened(softhsm.url())
    assert list(store.versions()) == []
    store.close()
    softhsm.tokens.rename(softhsm.directory / "old")
    softhsm.tokens.mkdir()
    softhsm.add_token("prod")
    assert list(store.versions()) == []
    assert [line for line in told.lines if "another serial number" in line]


# -- several processes -------------------------------------------------------------------------------------------------


def test_two_masters_share_what_is_in_the_token(softhsm, opened) -> None:
    first, second = opened(softhsm.url()), opened(softhsm.url())
    first.seal(secret(1))
    assert second.unseal(1) == secret(1)
    second.seal(secret(2))
    assert list(first.versions()) == [1, 2]
    assert first.unseal(2) == secret(2)
    second.destroy(1)
    assert list(first.versions()) == [2]


def test_of_two_masters_that_seal_the_same_version_at_once_never_both_are_read(softhsm, opened) -> None:
    stores = [opened(softhsm.url()), opened(softhsm.url())]
    stores[0].seal(secret(100))
    assert stores[1].unseal(100) == secret(100)
    for version in range(1, 6):
        threads = [threading.Thread(target=seal_or_be_refused, args=(store, version)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept = {reading(store, version) for store in (opened(softhsm.url()), opened(softhsm.url()))}
        assert len(kept) == 1


def seal_or_be_refused(store, version: int) -> None:
    with contextlib.suppress(VersionAlreadySealed, KeyStoreUnavailable, VersionNotFound):
        store.seal(secret(version, id(store)))


def reading(store, version: int) -> str:
    """SoftHSM 2.6.1 loses an update of its index when two processes write at once: then two objects stay, and a person
    must decide. The lease keeps it from happening."""
    try:
        return store.unseal(version).check_value
    except (KeyStoreUnavailable, VersionNotFound) as error:
        return str(error)


def test_a_master_that_slept_does_not_replace_what_its_successor_sealed(softhsm, opened) -> None:
    sleeper, successor = opened(softhsm.url()), opened(softhsm.url())
    sleeper.seal(secret(1))
    entry = dict(sleeper._shelf)["version-0000000001"]
    successor.seal(secret(2))
    with pytest.raises(KeyStoreUnavailable, match="written by another process"):
        sleeper._shelf["version-0000000002"] = entry
    assert sleeper.unseal(2) == secret(2)


def test_a_full_token_is_said_and_nothing_is_half_there(shim, opened) -> None:
    store = opened(shim.softhsm.url())
    store.seal(secret(1))
    shim.fail("C_CreateObject CKR_DEVICE_MEMORY")
    with pytest.raises(KeyStoreUnavailable, match="CKR_DEVICE_MEMORY") as refused:
        store.seal(secret(2))
    assert "full" in refused.value.hint
    shim.heal()
    assert list(store.versions()) == [1]


def test_a_write_protected_token_still_opens_what_it_keeps(shim, opened) -> None:
    opened(shim.softhsm.url()).seal(secret(1))
    shim.fail("C_GetTokenInfo token-flags=0x2")
    store = opened(shim.softhsm.url())
    assert store.unseal(1) == secret(1)
    with pytest.raises(KeyStoreUnavailable, match=r"CKR_SESSION_READ_ONLY|CKR_TOKEN_WRITE_PROTECTED") as refused:
        store.seal(secret(2))
    assert "nothing new is sealed" in refused.value.hint


def test_two_different_objects_of_one_version_are_told_and_neither_is_taken(softhsm, opened) -> None:
    store = opened(softhsm.url())
    store.seal(secret(1))
    softhsm.run("""
(found,) = session.get_objects({Attribute.CLASS: ObjectClass.DATA})
session.create_object({Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True, Attribute.PRIVATE: True,
    Attribute.APPLICATION: "keysvc", Attribute.LABEL: found[Attribute.LABEL], Attribute.VALUE: b"x"})
answer = None
""")
    with pytest.raises(KeyStoreUnavailable, match="two different objects"):
        store.unseal(1)


def test_a_token_directory_of_its_own_is_used(softhsm) -> None:
    assert Path(os.environ["SOFTHSM2_CONF"]).parent == softhsm.directory
