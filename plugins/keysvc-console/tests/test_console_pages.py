"""The pages about the system, as an SSO administrator uses them without script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from people import ROLES
from systems import eventually

from keysvc.model import Role, VersionState
from keysvc.sso.permissions import SSORole

if TYPE_CHECKING:
    from conftest import Estate
    from plain_browser import PlainBrowser


def test_the_overview_says_what_needs_the_administrator_and_what_to_do(boss: PlainBrowser) -> None:
    page = boss.get("/")
    assert page.status == 200
    assert "no backup of the master secret exists" in page.text
    assert "keysvc secret backup FILE" in page.text
    assert "Active version 1" in page.text
    assert "keysvc status" in page.text
    assert "GET /v1/status" in page.text


def test_everybody_sees_the_pages_that_the_table_of_roles_allows_and_no_others(estate: Estate) -> None:
    for role in SSORole:
        browser = estate.of(role).browser()
        menu = {href.removeprefix(browser.prefix) for href, _ in browser.page.links if href.startswith(browser.prefix)}
        assert ("/versions" in menu) == ("/servers" in menu) == (role is SSORole.SSO_ADMINISTRATOR)
        for path in menu - {"/"}:
            assert browser.get(path).status == 200, (role, path)


def test_a_page_that_would_be_denied_says_so(estate: Estate) -> None:
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    page = anna.get("/versions")
    assert page.status == 403
    assert "access-denied" in page.text


def test_without_an_agent_the_pages_of_the_master_secret_server_still_work(estate: Estate) -> None:
    browser = estate.console("chief", Role.ADMINISTRATOR, agent="127.0.0.1:9").browser()
    assert "start one with `keysvc agent`" in browser.get("/").text
    assert browser.get("/versions").status == 200


def test_a_rotation_is_started_paused_limited_and_goes_on(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/versions")
    assert (
        "Rotations are paused."
        in boss.post(
            boss.origin + boss.prefix + "/versions/change",
            {
                "csrf": boss.page.forms[0].values["csrf"],
                "what": "pause",
            },
        ).text
    )
    page = boss.send("Start a rotation")
    assert "Version 2 is announced" in page.text
    assert "Resume" in page.text
    assert "At most 5,000" in boss.send("Limit the rate", rate="5000").text
    boss.send("Resume")

    def finished() -> bool:
        assert estate.system.master is not None
        return estate.system.master.status().rotation is None

    eventually(finished)
    page = boss.get("/versions")
    assert "No rotation is under way" in page.text
    assert "version 2: 2 of 2 credentials" in page.body


def test_a_version_is_destroyed_only_when_its_name_was_typed(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/versions")
    if not any("Destroy for good" in form.text for form in boss.page.forms):
        boss.send("Start a rotation")
        assert estate.system.master is not None
        eventually(lambda: estate.system.master.status().rotation is None)
        boss.get("/versions")
    refused = boss.send("Destroy for good", typed="destroy")
    assert refused.status == 400
    assert "destroy 1" in refused.text
    boss.get("/versions")
    refused = boss.send("Destroy for good", typed="destroy 1")
    assert refused.status == 409  # no backup holds the active version
    assert estate.system.store().versions()[0].state is VersionState.RETIRING


def test_a_join_token_is_shown_once_and_enrols(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/servers")
    page = boss.send("Make a join token", name="web-07", role="server")
    token = next(form for form in page.body.split() if "keysvc-join-" in form)
    assert page.headers["cache-control"] == "no-store"
    page = boss.get("/servers")
    assert "web-07" in page.text
    assert token not in page.body
    assert "1 join token of web-07 cancelled" in boss.send("Cancel", name="web-07").text


def test_a_certificate_is_revoked_only_when_its_name_was_typed(boss: PlainBrowser, estate: Estate) -> None:
    estate.config("leaver", Role.USER)
    assert "leaver" in boss.get("/servers").text
    boss.get("/servers/revoke?name=leaver")
    assert boss.send("Revoke leaver", typed="leave").status == 400
    boss.get("/servers/revoke?name=leaver")
    assert "leaver is revoked" in boss.send("Revoke leaver", typed="leaver").text
    identity = estate.system.store().identity("leaver")
    assert identity is not None
    assert identity.revoked_at is not None


def test_names_of_everybody_are_known_to_the_table(estate: Estate) -> None:
    for role, (name, _, _) in ROLES.items():
        assert name in estate.of(role).browser().page.text
