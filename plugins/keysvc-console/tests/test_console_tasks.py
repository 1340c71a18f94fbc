"""What people do in the console, without script: applications, mappings, their own page, and oversight."""

from __future__ import annotations

import json
import re
from collections import abc
from typing import TYPE_CHECKING

import pytest
from people import ADMINISTRATORS, USERS

from keysvc.model import ApplicationType, AuditTrail, Field, Flags
from keysvc.sso.permissions import SSORole
from keysvc.sso.requests.reveals import REVEALED

if TYPE_CHECKING:
    from conftest import Estate
    from plain_browser import PlainBrowser


@pytest.fixture(scope="module")
def bags(estate: Estate) -> str:
    fields = [Field("Name", masked=False), Field("Host", masked=False), Field("Password", masked=True)]
    accounts = {"user_accounts": [USERS], "administrator_accounts": [ADMINISTRATORS]}
    estate.administration.create_application(
        "FTP", fields, type_=ApplicationType.CONFIG_STORE, flags=Flags(enabled=True), **accounts
    )
    return "FTP"


def test_every_page_of_the_menu_opens_for_each_role_and_names_what_does_the_same(estate: Estate, bags: str) -> None:
    for role in SSORole:
        browser = estate.of(role).browser()
        for path in {href.removeprefix(browser.prefix) for href, _ in browser.page.links if "#" not in href}:
            page = browser.get(path)
            assert page.status == 200, (role, path, page.text)
            assert "The same by command and by API" in page.text, (role, path)
            assert re.search(r"(GET|POST|PATCH|PUT) /v1/", page.text), (role, path)


def test_an_application_is_created_changed_disabled_and_deleted(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/applications/new")
    page = boss.send(
        "Create the application", name="CRM", type="individual", description="customers", **{"field-2": "PIN"}
    )
    assert "CRM is created." in page.text
    made = estate.system.store().application("CRM")
    assert made is not None
    assert [(field.label, field.masked) for field in made.fields] == [
        ("User Id", False),
        ("Password", True),
        ("PIN", False),
    ]
    assert made.flags.enabled
    boss.send("Save the users", users="anna\nNORDWIND\\CRM Users\n\n")
    boss.send("Save what it allows", **{"flag-host_initiated": "yes"})
    boss.send("Save the description", description="all customers", contact="desk 7")
    boss.send("Disable")
    changed = estate.system.store().application("CRM")
    assert changed is not None
    assert changed.user_accounts == ("anna", "NORDWIND\\CRM Users")
    assert (changed.flags.host_initiated, changed.flags.enabled) == (True, False)
    assert (changed.description, changed.contact) == ("all customers", "desk 7")
    assert boss.send("Delete CRM", typed="crm").status == 400
    boss.get("/application?name=CRM")
    assert "CRM is deleted" in boss.send("Delete CRM", typed="CRM").text
    assert estate.system.store().application("CRM") is None


def test_an_application_administrator_names_users_and_is_offered_nothing_else(estate: Estate) -> None:
    keeper = estate.of(SSORole.APPLICATION_ADMINISTRATOR).browser()
    page = keeper.get("/application?name=SAP")
    said = " ".join(form.text for form in page.forms)
    assert "Save the users" in said
    for refused in ("Disable", "Delete SAP", "Save what it allows", "Save the administrators", "Save the time-out"):
        assert refused not in said
    assert "New application" not in keeper.get("/applications").text


def test_a_user_is_mapped_found_and_unmapped(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/mappings?application=SAP")
    page = boss.send("Map", user="carla", external="CARLA")
    assert "carla is CARLA in SAP." in page.text
    boss.get("/mappings?application=SAP")
    assert "carla" in boss.send("Search", user="car").text
    assert "No mapping fits" in boss.send("Search", user="car", state="disabled").text
    assert "carla" in boss.send("Search", user="", external="CARLA", state="").text
    boss.get("/mapping?application=SAP&user=carla")
    assert "is disabled" in boss.send("Disable").text
    assert "carla is CARLITA in SAP." in boss.send("Save the external user", external="CARLITA").text
    assert "is deleted" in boss.send("Delete the mapping").text
    assert estate.system.store().mapping("SAP", "carla") is None


def test_many_users_are_mapped_by_a_rule_after_a_preview(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/mappings/wizard?application=SAP")
    page = boss.send(
        "Preview", users="NORDWIND\\dora\nNORDWIND\\emil\nanna\n", rule="upper", prefix="N-", step="preview"
    )
    assert "3 of 3 would be changed" in page.text
    assert "N-DORA" in page.text
    assert estate.system.store().mapping("SAP", "NORDWIND\\dora") is None
    page = boss.send("Map 3 users", step="run")
    assert "3 users are mapped" in page.text
    mapping = estate.system.store().mapping("SAP", "NORDWIND\\emil")
    assert mapping is not None
    assert mapping.external_user == "N-EMIL"
    estate.administration.set_mapping("SAP", "anna", "ANNA")


def test_a_user_maps_itself_sets_tests_and_clears_its_credential(estate: Estate) -> None:
    fields = [Field("User Id", masked=False), Field("Password", masked=True)]
    if estate.system.store().application("HR") is None:
        estate.administration.create_application("HR", fields, flags=Flags(enabled=True), user_accounts=[USERS])
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    anna.get("/mine")
    assert "You are ANNA there" in anna.send("Map me", external="ANNA").text
    anna.get("/mapping?application=HR&user=anna")
    page = anna.send("Store the credential", **{"value-0": "geheim-hr"})
    assert "is stored under version" in page.text
    assert "geheim-hr" not in page.body
    anna.get("/mine")
    assert "It works: ANNA is there" in anna.send("Test", application="HR").text
    anna.get("/mine")
    form = next(f for f in anna.page.forms if "Clear" in f.text and f.values["application"] == "HR")
    assert "is deleted" in anna.post(anna.origin + form.action, form.values).text
    assert estate.system.store().credential("HR", "anna") is None


def revealed(estate: Estate) -> list[tuple[str, object, object]]:
    entries = estate.system.store().audit(AuditTrail.MEMBERS, limit=500)
    return [(e.actor, e.detail["user"], e.detail["field"]) for e in entries if e.action == REVEALED]


def test_a_field_is_in_a_page_only_after_it_was_asked_for_and_then_hidden_again(estate: Estate) -> None:
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    before = len(revealed(estate))
    page = anna.get("/mapping?application=SAP&user=anna")
    assert "geheim-anna" not in page.body
    assert len(revealed(estate)) == before
    page = anna.send("Password")
    assert "geheim-anna" in page.body
    assert "geheim-anna" not in page.path
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["refresh"].startswith(f"30; url={anna.prefix}/mapping?")
    assert revealed(estate)[before:] == [("anna", "anna", "Password")]


def test_the_script_is_answered_with_the_one_field_that_it_asked_for(estate: Estate) -> None:
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    form = anna.get("/mapping?application=SAP&user=anna").form("Password")
    page = anna.post(anna.origin + form.action, form.values, Accept="application/json")
    assert json.loads(page.body) == {"value": "geheim-anna"}
    refused = anna.post(anna.origin + form.action, {**form.values, "user": "bert"}, Accept="application/json")
    assert refused.status == 403
    assert "geheim" not in refused.body


def test_a_user_is_shown_its_own_mapping_and_no_other(estate: Estate) -> None:
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    page = anna.get("/mappings?application=SAP")
    assert "anna" in page.text
    assert "bert" not in page.text
    assert anna.get("/mapping?application=SAP&user=bert").status == 403


def test_a_property_bag_is_stored_shown_and_deleted(boss: PlainBrowser, estate: Estate, bags: str) -> None:
    boss.get("/bags")
    boss.send("Open", name="ftp-adapter")
    page = boss.send("Store", **{"value-0": "ftp.nordwind.example", "value-1": "geheim-ftp"})
    assert "ftp-adapter is stored" in page.text
    assert "geheim-ftp" not in page.body
    assert "geheim-ftp" in boss.send("Password").body
    anna = estate.of(SSORole.APPLICATION_USER).browser()
    anna.get("/bag?application=FTP&name=ftp-adapter")
    assert "geheim-ftp" in anna.send("Password").body
    assert not [form for form in anna.page.forms if "Delete" in form.text]
    boss.get("/bag?application=FTP&name=ftp-adapter")
    assert "is deleted" in boss.send("Delete ftp-adapter", typed="ftp-adapter").text


def test_the_audit_is_filtered_followed_exported_and_verified(boss: PlainBrowser, estate: Estate) -> None:
    page = boss.get("/audit?action=application.created&subject=SAP")
    assert "application.created" in page.text
    assert "mapping.set" not in page.text
    exported = boss.get("/audit/export?trail=changes")
    assert "attachment" in exported.headers["content-disposition"]
    lines = [json.loads(line) for line in exported.body.splitlines()]
    assert [line["sequence"] for line in lines] == sorted(line["sequence"] for line in lines)
    newest = lines[-1]["sequence"]
    estate.administration.set_mapping("SAP", "followed", "F")
    found = json.loads(boss.get(f"/audit/follow.json?trail=changes&after={newest}").body)
    assert [row[5] for row in found["rows"]] == ["SAP: followed"]
    assert found["newest"] == newest + 1
    boss.get("/audit")
    page = boss.send("Verify every trail")
    assert page.text.count("whole") >= 5
    assert "broken" not in page.text


def test_settings_levels_and_administrators_are_changed(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/settings")
    boss.send("Save time-outs and sizes", ticket_timeout_minutes="9")
    boss.send("Save the levels", positive="1", negative="2")
    form = boss.page.form("Save who administers")
    boss.send("Save who administers", administrators=form.values["administrators"] + "\nNORDWIND\\SSO Admins")
    record = estate.system.store().system()
    assert record is not None
    assert record.settings.ticket_timeout_minutes == 9
    assert (record.settings.audit_positive_level, record.settings.audit_negative_level) == (1, 2)
    assert record.settings.administrators.endswith(";NORDWIND\\SSO Admins")
    assert boss.send("Save time-outs and sizes", ticket_timeout_minutes="soon").status == 400


def test_the_system_is_disabled_only_when_that_was_typed_and_enabled_again(boss: PlainBrowser, estate: Estate) -> None:
    boss.get("/settings")
    assert boss.send("Disable the system", typed="yes").status == 400
    boss.get("/settings")
    assert "The system is disabled." in boss.send("Disable the system", typed="disable").text
    assert "The system is enabled." in boss.send("Enable the system").text
    record = estate.system.store().system()
    assert record is not None
    assert record.settings.enabled


def test_files_are_imported_after_their_differences_were_shown(boss: PlainBrowser, estate: Estate) -> None:
    xml = (
        "<sso><mapping><windowsDomain>NORDWIND</windowsDomain><windowsUserId>ida</windowsUserId>"
        "<externalApplication>SAP</externalApplication><externalUserId>IDA</externalUserId></mapping></sso>"
    )
    boss.get("/import")
    page = boss.send_files("Show what would change", {"files": ("mappings.xml", xml)}, enable="yes")
    assert "Nothing has been changed yet" in page.text
    assert "SAP: NORDWIND\\ida" in page.text
    assert estate.system.store().mapping("SAP", "NORDWIND\\ida") is None
    page = boss.send("Import")
    assert "1 created" in page.text
    mapping = estate.system.store().mapping("SAP", "NORDWIND\\ida")
    assert mapping is not None
    assert mapping.enabled
    broken = boss.get("/import") and boss.send_files("Show what would change", {"files": ("x.xml", "<sso>")})
    assert broken.status == 400


def test_notifiers_plugins_and_the_doctor_are_shown(boss: PlainBrowser) -> None:
    assert "No notifier is configured" in boss.get("/notifiers").text
    assert boss.get("/plugins").status == 200
    assert boss.get("/doctor").status == 200


def test_a_command_that_a_page_names_exists(estate: Estate, commands: abc.Callable[[str], str]) -> None:
    boss = estate.console().browser()
    paths = {href.removeprefix(boss.prefix) for href, _ in boss.page.links if "#" not in href}
    said: set[str] = set()
    for path in (*paths, "/application?name=SAP", "/mappings?application=SAP", "/mapping?application=SAP&user=anna"):
        said |= set(re.findall(r"<code>keysvc ([^<]*)</code>", boss.get(path).body))
    assert len(said) > 20
    assert {line: commands(line) for line in said if commands(line)} == {}
