"""Group applications, whose users share a credential, and host groups, whose external users share an account."""

from __future__ import annotations

import pytest
from people import Directory
from systems import System

from keysvc.errors import AccessDenied, AuthorizerUnavailable, InvalidInput, NotFound
from keysvc.model import ApplicationType, Field, Flags
from keysvc.sso import SSO

FIELDS = [Field("User Id", masked=False), Field("Password", masked=True)]
ACCOUNTS = (r"D\Buyers", r"D\Everybody", r"D\Auditors")
GROUPS = {"anna": {r"d\everybody", r"D\BUYERS"}, "bert": {r"D\Everybody"}, "carl": set(), "dora": {r"D\Auditors"}}


@pytest.fixture
def sso(system: System) -> SSO:
    """Buyers and everybody have a credential for EDI; auditors have no mapping."""
    administration = system.administration()
    flags = Flags(enabled=True)
    administration.create_application("EDI", FIELDS, type_=ApplicationType.GROUP, flags=flags, user_accounts=ACCOUNTS)
    system.start()
    server, _ = system.sso(authorizer=Directory(GROUPS))
    for group in (r"D\Everybody", r"D\Buyers"):
        server.set_credential("EDI", user=group, external_user=group[2:].upper(), password=f"of {group}")
    return server


def external_user(sso: SSO, user: str, *, fresh: bool = True) -> str:
    return sso.credential("EDI", user=user, fresh=fresh).external_user


def test_a_user_gets_the_first_mapping_in_the_order_of_the_accounts(sso: SSO, system: System) -> None:
    assert [external_user(sso, user) for user in ("anna", "bert")] == ["BUYERS", "EVERYBODY"]
    system.administration().change_application("EDI", user_accounts=reversed(ACCOUNTS))
    assert external_user(sso, "anna") == "EVERYBODY"


def test_who_is_in_no_group_with_a_mapping_gets_nothing(sso: SSO) -> None:
    for user in ("carl", "dora", "nobody"):
        with pytest.raises(NotFound, match="in no group that has a mapping"):
            external_user(sso, user)


def test_an_account_may_ask_by_itself_in_any_case(sso: SSO) -> None:
    assert external_user(sso, r"d\buyers") == "BUYERS"


def test_a_first_mapping_that_is_disabled_is_not_passed_over(sso: SSO, system: System) -> None:
    system.administration().enable_mapping("EDI", r"D\Buyers", enabled=False)
    with pytest.raises(AccessDenied, match=r"the mapping of D\\Buyers"):
        external_user(sso, "anna")
    assert external_user(sso, "bert") == "EVERYBODY"


def test_a_group_that_is_no_account_of_the_application_any_more_gives_nothing(sso: SSO, system: System) -> None:
    system.administration().change_application("EDI", user_accounts=[r"D\Everybody"])
    assert external_user(sso, "anna") == "EVERYBODY"


def test_an_application_without_accounts_takes_its_mappings_by_name(sso: SSO, system: System) -> None:
    system.administration().change_application("EDI", user_accounts=[])
    assert external_user(sso, "anna") == "BUYERS"


def test_what_was_stored_for_a_group_is_seen_at_once_by_its_members(sso: SSO) -> None:
    assert sso.credential("EDI", user="anna")["password"].reveal() == r"of D\Buyers"
    assert sso.credential("EDI", user="anna")["password"].reveal() == r"of D\Buyers"
    sso.set_credential("EDI", user=r"D\Buyers", password="new")
    assert sso.credential("EDI", user="anna")["password"].reveal() == "new"
    sso.delete_credential("EDI", user=r"D\Buyers")
    with pytest.raises(NotFound):
        sso.credential("EDI", user="anna")


def test_a_directory_that_cannot_answer_denies(sso: SSO, system: System) -> None:
    other, _ = system.sso("web-02", authorizer=Directory(away=True))
    with pytest.raises(AuthorizerUnavailable, match="does not answer"):
        other.credential("EDI", user="anna")


def test_an_authorizer_is_closed_with_the_sso_server_that_asks_it(system: System) -> None:
    directory = Directory()
    server, _ = system.sso(authorizer=directory)
    assert (server.authorizer, directory.closed) == (directory, False)
    server.close()
    assert directory.closed


def test_a_ticket_of_a_member_is_redeemed_for_the_credential_of_the_group(sso: SSO, system: System) -> None:
    system.administration().change_application("EDI", flags={"allow_tickets": True})
    found = sso.redeem("EDI", sso.ticket(user="anna").text, sender="anna")
    assert (found.user, found.external_user) == (r"D\Buyers", "BUYERS")


def test_many_external_users_of_a_host_group_stand_for_one_account(system: System) -> None:
    administration = system.administration()
    flags = Flags(enabled=True)
    host = {"type_": ApplicationType.HOST_GROUP, "flags": flags, "user_accounts": [r"D\batch"]}
    administration.create_application("HOST", FIELDS, **host)
    system.start()
    sso, _ = system.sso()
    for number in range(3):
        mapped = administration.set_mapping("HOST", r"D\Batch", f"JOB{number}", enable=True)
        assert (mapped.user, mapped.external_user) == (f"JOB{number}", f"JOB{number}")
        sso.set_credential("HOST", user=mapped.user, password=f"pass {number}")
    assert sso.lookup("HOST", external_user="JOB1", password="pass 1").user == r"D\batch"
    with pytest.raises(AccessDenied, match="with that password"):
        sso.lookup("HOST", external_user="JOB1", password="pass 2")
    with pytest.raises(AccessDenied, match="host group"):
        sso.credential("HOST", user="JOB1")
    with pytest.raises(InvalidInput, match=r"its one account, D\\batch"):
        administration.set_mapping("HOST", r"D\other", "JOB9")
    with pytest.raises(InvalidInput, match="not several"):
        administration.change_application("HOST", user_accounts=[r"D\batch", r"D\other"])
