"""Groups of a real directory: every promise of an authorizer, and what a directory does beside."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest
import trustme
from slapd import PASSWORD, Slapd, eventually, group, open_url, running

from keysvc.plugin import AuthorizerUnavailable
from keysvc.testing import AuthorizerConformance

WAYS = [("ldaps", "search"), ("ldap", "search"), ("ldapi", "search"), ("ldaps", "memberof")]
QUOTE = "Quote, \\ and (brackets)*"


class TestLDAPAuthorizer(AuthorizerConformance):
    @pytest.fixture(params=WAYS, ids=" ".join)
    def way(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture
    def open_authorizer(self, slapd: Slapd, way: tuple[str, str]):
        return lambda: slapd.open(way[0], groups=way[1])

    @pytest.fixture
    def members(self):
        return {
            "anna": ["SAP Users"],
            "bert": ["Accounting", "Loop", "SAP Users"],
            "star*name": ["Stars", QUOTE],
            "Ünal": ["Stars", QUOTE],
            "carla": [],
        }

    @pytest.fixture
    def open_blind(self, slapd: Slapd, way: tuple[str, str]):
        scheme = way[0]
        nobody = "ldapi://%2Fno%2Fsocket" if scheme == "ldapi" else f"{scheme}://127.0.0.1:1"
        _, _, rest = slapd.url(scheme).partition("/dc=")
        return lambda: open_url(f"{nobody}/dc={rest}")


@pytest.mark.parametrize("name", [" anna", "anna ", "an\u00adna", "anna\u200b", "\uff41nna", "twin\\anna", "anna\\"])
def test_what_a_directory_takes_for_the_same_is_not_the_same_name(slapd: Slapd, name: str) -> None:
    assert not list(slapd.open().groups_of(name))


def test_a_domain_is_put_before_groups_and_taken_off_people(slapd: Slapd) -> None:
    authorizer = slapd.open(domain="NORDWIND")
    for name in ("anna", "NORDWIND\\anna", "nordwind\\ANNA"):
        assert list(authorizer.groups_of(name)) == ["NORDWIND\\SAP Users"]
    for name in ("web-01\\anna", "\\anna", "NORDWIND\\web-01\\anna"):
        assert not list(authorizer.groups_of(name))
    assert not list(slapd.open().groups_of("NORDWIND\\anna"))


def test_groups_that_name_their_members_by_name(slapd: Slapd) -> None:
    authorizer = slapd.open(member_attribute="memberUid")
    assert [list(authorizer.groups_of(name)) for name in ("anna", "carla", "bert")] == [["unix"], ["unix"], []]


def test_groups_below_another_base(slapd: Slapd) -> None:
    assert not list(slapd.open(group_base="ou=people,dc=nordwind,dc=example").groups_of("anna"))
    with pytest.raises(AuthorizerUnavailable, match="it has no ou=nowhere"):
        slapd.open(group_base="ou=nowhere,dc=nordwind,dc=example").groups_of("anna")


def test_another_attribute_is_the_name_of_people(slapd: Slapd) -> None:
    assert list(slapd.open(user_attribute="sn").groups_of("anna")) == ["SAP Users"]
    assert not list(slapd.open(user_attribute="mail").groups_of("anna"))


def test_two_who_have_one_name_are_nobody(slapd: Slapd) -> None:
    with pytest.raises(AuthorizerUnavailable, match="2 entries have the uid twin"):
        slapd.open().groups_of("twin")


def test_half_a_list_is_no_list(slapd: Slapd) -> None:
    with pytest.raises(AuthorizerUnavailable, match=r"(?i)size ?limit"):
        slapd.open().groups_of("many")


# -- who answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_a_server_of_another_authority_is_not_asked(slapd: Slapd, tmp_path: Path, scheme: str) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(AuthorizerUnavailable, match=r"(?i)certificate|can't contact|connect error"):
        slapd.open(scheme, ca_file=tmp_path / "other.pem").groups_of("anna")


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_a_server_of_another_name_is_not_asked(authority: trustme.CA, scheme: str) -> None:
    with running(authority, "elsewhere.example") as other, pytest.raises(AuthorizerUnavailable):
        other.open(scheme).groups_of("anna")


def test_what_the_environment_says_does_not_switch_verifying_off(
    slapd: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ldap

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    before = ldap.get_option(ldap.OPT_X_TLS_REQUIRE_CERT)
    ldap.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_NEVER)  # as LDAPTLS_REQCERT=never does
    try:
        with pytest.raises(AuthorizerUnavailable):
            slapd.open(ca_file=tmp_path / "other.pem").groups_of("anna")
    finally:
        ldap.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, before)


def test_a_wrong_password_is_told_and_not_shown(slapd: Slapd, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2", "utf-8")
    authorizer = slapd.open(password_source=f"file:{tmp_path}/password")
    with pytest.raises(AuthorizerUnavailable, match="Invalid credentials") as refused:
        authorizer.groups_of("anna")
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {authorizer!r} {vars(authorizer)!r}"


def test_nobody_learns_the_password_from_the_authorizer(slapd: Slapd) -> None:
    authorizer = slapd.open()
    assert PASSWORD not in f"{authorizer!r} {vars(authorizer)!r} {vars(authorizer._part)!r}"


def test_an_anonymous_authorizer_is_told_what_anybody_is(slapd: Slapd) -> None:
    url = slapd.url("ldapi").partition("?")[0]
    with pytest.raises(AuthorizerUnavailable):  # this directory tells anybody nothing, not even that its base is there
        open_url(url).groups_of("anna")


def test_a_server_that_says_nothing_is_not_waited_for(slapd: Slapd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("ldaps", "ldap"):
            url = slapd.url(scheme, seconds="1").replace(
                f"127.0.0.1:{slapd.ports[scheme]}", f"127.0.0.1:{silent.getsockname()[1]}"
            )
            began = time.monotonic()
            with pytest.raises(AuthorizerUnavailable):
                open_url(url).groups_of("anna")
            assert time.monotonic() - began < 15  # a second, on a quiet machine


def test_a_server_that_stops_in_the_middle_of_a_handshake_is_not_waited_for(slapd: Slapd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def agree_and_stop() -> None:
            with contextlib.suppress(OSError):
                accepted, _ = server.accept()
                with accepted:
                    accepted.recv(1000)
                    accepted.sendall(bytes.fromhex("300c02010178070a010004000400"))  # yes to STARTTLS
                    accepted.recv(1000)
                    accepted.recv(1000)

        thread = threading.Thread(target=agree_and_stop)
        thread.start()
        url = slapd.url("ldap", seconds="1").replace(f":{slapd.ports['ldap']}", f":{server.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(AuthorizerUnavailable):
            open_url(url).groups_of("anna")
        assert time.monotonic() - began < 15
        thread.join()


def test_a_server_that_was_away_is_asked_again(mortal_slapd: Slapd) -> None:
    authorizer = mortal_slapd.open()
    assert list(authorizer.groups_of("anna")) == ["SAP Users"]
    mortal_slapd.kill()
    with pytest.raises(AuthorizerUnavailable, match="Connection refused"):
        authorizer.groups_of("anna")
    mortal_slapd.start()
    assert list(authorizer.groups_of("anna")) == ["SAP Users"]


def test_who_left_a_group_is_out_at_the_next_question(mortal_slapd: Slapd) -> None:
    authorizer = mortal_slapd.open()
    assert sorted(authorizer.groups_of("bert")) == ["Accounting", "Loop", "SAP Users"]
    connection = mortal_slapd.as_root()
    connection.delete_s(group("Accounting"))
    connection.unbind_s()
    assert not list(authorizer.groups_of("bert"))


@pytest.mark.parametrize("scheme", ["ldaps", "ldap", "ldapi"])
def test_nothing_is_left_open(slapd: Slapd, scheme: str) -> None:
    authorizer = slapd.open(scheme)
    authorizer.groups_of("anna")
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        authorizer.groups_of("anna")
        with pytest.raises(AuthorizerUnavailable):
            authorizer.groups_of("twin")
    assert len(os.listdir("/proc/self/fd")) <= before
    eventually(lambda: threading.active_count() <= threads)
