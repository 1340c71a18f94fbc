"""What directories do to those who ask: cut lists, groups elsewhere, slow answers, another spelling."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections import abc
from pathlib import Path

import ldap
import pytest
from domain_controller import BASE as DOMAIN, SUBTREE, DomainController, Search, entry, group, result
from slapd import BASE, PASSWORD, Slapd, group as group_dn, open_url, person

from keysvc.plugin import AuthorizerUnavailable

RANGE = 1500
EMEA = "CN=Emea Sales,OU=Groups,DC=emea,DC=example"


@pytest.fixture
def path() -> abc.Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ldap") as folder:  # not tmp_path: a socket's path is short
        yield Path(folder) / "socket"


def found_group(search: Search) -> bytes:
    name = search.base[3:].split(",")[0]
    return entry(search.number, search.base, sAMAccountName=[name]) + result(search.number)


def found_person(search: Search, **attributes: list[str]) -> bytes:
    return entry(search.number, f"CN=Anna,{DOMAIN}", sAMAccountName=["anna"], **attributes) + result(search.number)


def in_ranges(number: int, *, beside: bool) -> abc.Callable[[Search], bytes]:
    """Somebody in so many groups, of which the server returns 1,500 at a time; an empty attribute beside, or not."""

    def answer(search: Search) -> bytes:
        ranged = [name for name in search.attributes if ";range=" in name]
        if search.scope != SUBTREE and not ranged:
            return found_group(search)
        start = int(ranged[0].split("=")[1].split("-")[0]) if ranged else 0
        end = start + RANGE - 1 if start + RANGE < number else "*"
        values = [group(n) for n in range(start, min(start + RANGE, number))]
        empty = {"memberOf": []} if beside else {}
        return found_person(search, **empty, **{f"memberOf;range={start}-{end}": values})

    return answer


@pytest.mark.parametrize("beside", [True, False], ids=["beside an empty memberOf", "alone"])
@pytest.mark.parametrize("number", [3, 1499, 1500, 1501, 1900])
def test_groups_that_the_server_returns_in_ranges_are_all_fetched(path: Path, number: int, beside: bool) -> None:
    with DomainController(path, in_ranges(number, beside=beside)) as server:
        assert len(open_url(server.url(seconds="30")).groups_of("anna")) == number


@pytest.mark.parametrize("following", ["nothing", "the same range", "an empty range"])
def test_a_range_whose_rest_is_kept_back_is_no_list(path: Path, following: str) -> None:
    def answer(search: Search) -> bytes:
        if search.scope == SUBTREE or following == "the same range":
            return found_person(search, **{"memberOf;range=0-1": [group(0), group(1)]})
        if following == "an empty range" and "memberOf;range=2-*" in search.attributes:
            return found_person(search, **{"memberOf;range=2-3": []})
        return found_group(search)

    kept_back = pytest.raises(AuthorizerUnavailable, match=r"keeps memberOf;range=2-\* back")
    with DomainController(path, answer) as server, kept_back:
        open_url(server.url()).groups_of("anna")


@pytest.mark.parametrize("code", [10, 50, 53, 80, 52, 34], ids=lambda code: f"result {code}")
def test_a_group_that_cannot_be_read_is_left_out_and_logged(
    path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def answer(search: Search) -> bytes:
        if search.scope == SUBTREE:
            return found_person(search, memberOf=[group(1), EMEA])
        if search.base == EMEA:
            return result(search.number, code, "ldap://emea.example/" if code == 10 else "")
        return found_group(search)

    with DomainController(path, answer) as server, caplog.at_level(logging.WARNING):
        assert list(open_url(server.url()).groups_of("anna")) == ["G1"]
    assert EMEA in caplog.text


def test_a_directory_that_is_busy_has_not_answered(path: Path) -> None:
    def answer(search: Search) -> bytes:
        if search.scope == SUBTREE:
            return found_person(search, memberOf=[group(1)])
        return result(search.number, 51)

    with DomainController(path, answer) as server, pytest.raises(AuthorizerUnavailable, match="busy"):
        open_url(server.url()).groups_of("anna")


def test_a_domain_controller_is_asked_for_many_groups_in_one_search(path: Path) -> None:
    def answer(search: Search) -> bytes:
        if b"sAMAccountName" in search.matching:
            return found_person(
                search, distinguishedName=[f"CN=Anna,{DOMAIN}"], memberOf=[group(n) for n in range(300)]
            )
        wanted = [n for n in range(300) if group(n).encode() in search.matching]
        found = (entry(search.number, group(n), sAMAccountName=[f"G{n}"]) for n in wanted)
        return b"".join(found) + result(search.number)

    with DomainController(path, answer, delay=0.02) as server:
        assert len(open_url(server.url(seconds="30")).groups_of("anna")) == 300
    assert len(server.searches) < 10


# -- how long ----------------------------------------------------------------------------------------------------------


def test_requests_for_single_groups_do_not_wait_for_each_other(path: Path) -> None:
    def answer(search: Search) -> bytes:
        if search.scope == SUBTREE:
            return found_person(search, memberOf=[group(n) for n in range(40)])
        singles = server.searches[1:]
        return b"".join(map(found_group, singles)) if len(singles) == 40 else b""  # when all have arrived

    with DomainController(path, answer) as server:
        assert len(open_url(server.url()).groups_of("anna")) == 40


def test_one_deadline_holds_for_all_requests_on_a_socket(path: Path) -> None:
    def answer(search: Search) -> bytes:
        if search.scope == SUBTREE:
            return found_person(search, memberOf=[group(n) for n in range(1000)])
        return found_group(search)

    with DomainController(path, answer, delay=0.1) as server:
        began = time.monotonic()
        with pytest.raises(AuthorizerUnavailable, match="it took too long"):
            open_url(server.url(seconds="1")).groups_of("anna")
    assert time.monotonic() - began < 15  # 100 seconds, if each had a deadline of its own


@pytest.mark.parametrize("scheme", ["ldaps", "ldap", "ldapi"])
def test_a_directory_that_stalls_is_said_to_have_taken_too_long(mortal_slapd: Slapd, scheme: str) -> None:
    authorizer = mortal_slapd.open(scheme, seconds="1")
    assert list(authorizer.groups_of("anna")) == ["SAP Users"]
    with mortal_slapd.stalled():
        began = time.monotonic()
        with pytest.raises(AuthorizerUnavailable, match="it took too long"):
            authorizer.groups_of("anna")
        assert time.monotonic() - began < 15


# -- a real directory --------------------------------------------------------------------------------------------------


@pytest.fixture
def paged(slapd: Slapd) -> str:
    """The name of an account that gets 40 entries at a time, and as many pages as it likes."""
    dn = f"cn=paged,{BASE}"
    with contextlib.suppress(ldap.ALREADY_EXISTS):
        slapd.add(dn, objectClass=["organizationalRole", "simpleSecurityObject"], cn="paged", userPassword=PASSWORD)
    return dn


@pytest.mark.parametrize("groups", ["search", "memberof"])
def test_a_list_that_is_longer_than_a_page_comes_in_pages(
    slapd: Slapd, paged: str, groups: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keysvc_ldap.directory.PAGE", 20)
    assert len(slapd.open("ldapi", bind_dn=paged, groups=groups).groups_of("many")) == 50


def test_members_by_name_are_looked_for_as_the_directory_spells_them(slapd: Slapd) -> None:
    slapd.add(f"uid=DoeJohn,ou=people,{BASE}", objectClass="inetOrgPerson", uid="DoeJohn", cn="x", sn="x")
    slapd.add(f"cn=dev,ou=groups,{BASE}", objectClass="posixGroup", cn="dev", gidNumber="9", memberUid="DoeJohn")
    authorizer = slapd.open("ldapi", member_attribute="memberUid")
    for name in ("DoeJohn", "doejohn", "DOEJOHN"):
        assert list(authorizer.groups_of(name)) == ["dev"]
    assert not list(authorizer.groups_of("DoeJohnny"))


def test_members_that_are_not_in_the_directory_have_no_groups(slapd: Slapd) -> None:
    slapd.add(f"cn=ghosts,ou=groups,{BASE}", objectClass="posixGroup", cn="ghosts", gidNumber="10", memberUid="casper")
    assert not list(slapd.open("ldapi", member_attribute="memberUid").groups_of("casper"))


def test_a_real_directory_is_asked_for_many_groups_in_one_search(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    from keysvc_ldap.directory import Directory

    sent, send = [], Directory._sent
    monkeypatch.setattr(Directory, "_sent", lambda *given: sent.append(given) or send(*given))
    slapd.add(
        f"uid=collector,ou=people,{BASE}", objectClass="inetOrgPerson", uid="collector", cn="collector", sn="collector"
    )
    for number in range(30):
        slapd.add(
            group_dn(f"collected {number}"),
            objectClass="groupOfNames",
            cn=f"collected {number}",
            member=person("collector"),
        )
    assert len(slapd.open("ldapi", groups="memberof").groups_of("collector")) == 30
    assert len(sent) == 2
