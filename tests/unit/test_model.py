"""Secrets stay hidden, and URLs hide theirs."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from keysvc.errors import ConfigurationError, InvalidInput
from keysvc.model import (
    Announcement,
    MasterSecret,
    SecretBytes,
    SecretText,
    VersionRecord,
    Versions,
    VersionState,
    utc_now,
)
from keysvc.plugin.location import Location


@pytest.mark.parametrize("hidden", [SecretBytes(b"geheim-geheim"), SecretText("geheim-geheim")])
def test_a_secret_is_shown_by_reveal_alone(hidden: SecretBytes | SecretText) -> None:
    for text in (
        repr(hidden),
        str(hidden),
        f"{hidden}",
        f"{hidden!r:>40}",
        str([hidden]),
        str({1: hidden}),
    ):
        assert "geheim" not in text
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(hidden)
    assert copy.deepcopy(hidden) is hidden
    assert "geheim" in str(hidden.reveal())
    with pytest.raises(TypeError):
        hash(hidden)


def test_asdict_of_a_version_keeps_its_material_hidden() -> None:
    secret = MasterSecret(1, utc_now(), SecretBytes(b"geheim!!" * 4))
    assert "geheim" not in f"{dataclasses.asdict(secret)} {secret!r}"


def test_secrets_are_equal_only_to_secrets_of_their_kind() -> None:
    assert SecretText("x") == SecretText("x")
    assert SecretText("x") != SecretText("y")
    assert SecretText("x") != "x"
    assert SecretBytes(b"x") != SecretText("x")


def test_a_master_secret_of_the_wrong_size_or_number_is_refused() -> None:
    for version, material in ((0, b"x" * 32), (1, b"x" * 31)):
        with pytest.raises(InvalidInput):
            MasterSecret(version, utc_now(), SecretBytes(material))


def test_check_values_differ_by_secret_and_by_version_and_are_those_of_the_vector() -> None:
    at = utc_now()
    zero = MasterSecret(1, at, SecretBytes(bytes(32)))
    assert zero.check_value == "0b382ec9b1307c3f"
    assert MasterSecret(2, at, SecretBytes(bytes(32))).check_value != zero.check_value
    assert MasterSecret(1, at, SecretBytes(b"\x01" * 32)).check_value != zero.check_value


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://app:geheim@db:5432/sso?sslmode=verify-full", "postgresql://app:***@db:5432/sso?sslmode=verify-full"),
        ("pkcs11:token=t?module-path=/x&pin-value=geheim", "pkcs11:token=t?module-path=/x&pin-value=***"),
        ("webhook+https://hook.example/x?secret=geheim", "webhook+https://hook.example/x?secret=***"),
        ("sqlite:////var/lib/keysvc.db", "sqlite:////var/lib/keysvc.db"),
        ("file:///var/lib/secret?key-file=/k", "file:///var/lib/secret?key-file=/k"),
        ("log:", "log:"),
    ],
)  # fmt: skip
def test_a_location_hides_what_is_secret_in_its_url(url: str, shown: str) -> None:
    location = Location.parse(url)
    assert str(location) == shown
    assert "geheim" not in repr(location)
    assert location.reveal() == url


def test_a_url_for_another_machine_has_no_secret_and_nothing_in_its_place() -> None:
    location = Location.parse("mssql://keysvc:geheim@sql.example:1433/keysvc?Encrypt=yes&password=geheim")
    assert location.without_secrets() == "mssql://keysvc@sql.example:1433/keysvc?Encrypt=yes"
    source = "postgresql://keysvc@db.example/keysvc?password-source=file:/etc/keysvc.password"
    assert Location.parse(source).without_secrets() == source


@pytest.mark.parametrize("bad", ["", "no-scheme", "1x:y", "file:///x?a=1&a=2", "file:///x?=&=", "http://[::1"])
def test_what_is_no_url_is_refused_without_repeating_it(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        Location.parse(bad)


def test_an_etag_changes_with_epoch_versions_and_states_only() -> None:
    at = utc_now()
    records = Versions(
        [VersionRecord(4, VersionState.ACTIVE, at, "01"), VersionRecord(3, VersionState.RETIRING, at, "00")]
    )
    announcement = Announcement("5" * 32, 7, records, at - at)
    assert announcement.etag == '"7;3r-00,4a-01"'
    assert announcement.active == records[1]
