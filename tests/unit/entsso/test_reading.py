"""What the files of Enterprise SSO say is understood, or refused with its line."""

from __future__ import annotations

from collections import Counter, abc

import pytest

from keysvc.entsso.definitions import ApplicationDefinition, SettingsDefinition
from keysvc.entsso.reading import read, read_applications, read_mappings
from keysvc.errors import InvalidInput
from keysvc.model import ApplicationType, Field

Sample = abc.Callable[[str], bytes]
MAPPING = "<mapping><windowsUserId>{user}</windowsUserId><externalApplication>A</externalApplication>{more}</mapping>"


def read_settings(content: bytes, source: str) -> SettingsDefinition:
    found = read(content, source, ("globalinfo",)).settings
    assert found is not None
    return found


def application(body: str = "", name: str = 'name="A"') -> ApplicationDefinition:
    (found,) = read_applications(f"<sso>\n<application {name}>\n{body}\n</application></sso>".encode(), "x.xml")
    return found


def refusal(body: str, name: str = 'name="A"') -> str:
    with pytest.raises(InvalidInput) as caught:
        application(body, name)
    return str(caught.value)


def test_the_sample_of_applications_is_read_whole(sample: Sample) -> None:
    found = {a.name: a for a in read_applications(sample("applications.xml"), "x")}
    assert {name: a.type.value for name, a in found.items()} == {
        "SAP-PRD": "individual",
        "MAINFRAME-CICS": "individual",
        "EDI-PARTNERS": "group",
        "WMS-LEGACY": "individual",
        "BTS-ADAPTER-CONFIG": "config-store",
        "Zoll & Fracht <ATLAS>": "individual",
    }
    cics = found["MAINFRAME-CICS"]
    assert cics.line == 12
    assert cics.fields == (Field("RACF User", False), Field("Password", True), Field("PassPhrase", True))
    assert cics.user_accounts == (r"NORDWIND\MAINFRAME-CICS Users",)
    assert cics.administrator_accounts == (r"NORDWIND\MAINFRAME-CICS Admins",)
    assert cics.flags == {
        "host_initiated": True,
        "windows_initiated": True,
        "validate_password": True,
        "allow_tickets": False,
        "enabled": True,
    }
    assert found["WMS-LEGACY"].administrator_accounts is None
    assert found["Zoll & Fracht <ATLAS>"].description == "Customs clearance; Zoll über ATLAS, ëxotic naïve name"


def test_the_sample_of_mappings_is_read_whole(sample: Sample) -> None:
    found = read_mappings(sample("mappings.xml"), "x")
    assert Counter(m.application for m in found) == {
        "SAP-PRD": 700,
        "MAINFRAME-CICS": 350,
        "WMS-LEGACY": 134,
        "Zoll & Fracht <ATLAS>": 15,
        "EDI-PARTNERS": 1,
    }
    assert (found[0].user, found[0].external_user, found[0].line) == (r"NORDWIND\yusuf.silva3", "YSILVA3000", 3)
    assert len(read_mappings(sample("mappings-delete.xml"), "x")) == 25


def test_the_sample_of_settings_is_read_whole(sample: Sample) -> None:
    assert read_settings(sample("global-info.xml"), "x").given == {
        "administrators": r"NORDWIND\SSO Administrators",
        "affiliate_administrators": r"NORDWIND\SSO Affiliate Administrators",
        "secret_server": "nw-mss-01",
        "audit_deleted_applications": 1000,
        "audit_deleted_mappings": 1000,
        "audit_credential_lookups": 5000,
        "ticket_timeout_minutes": 2,
        "credential_cache_minutes": 60,
    }


def test_a_file_is_told_by_what_it_holds(sample: Sample) -> None:
    held = {name: read(sample(f"{name}.xml"), "x") for name in ("global-info", "applications", "mappings")}
    assert held["global-info"].settings is not None
    assert (len(held["applications"].applications), len(held["mappings"].mappings)) == (6, 1200)


def test_a_utf_16_file_reads_as_its_utf_8_twin(sample: Sample) -> None:
    text = sample("applications.xml").decode().replace('encoding="utf-8"', 'encoding="utf-16"')
    assert read_applications(text.encode("utf-16"), "x") == read_applications(sample("applications.xml"), "x")


def test_names_are_matched_without_regard_to_case() -> None:
    content = b"""<SSO><APPLICATION NAME="A"><DESCRIPTION>d</DESCRIPTION><appuseraccount>U</appuseraccount>
        <Field ORDINAL="0" Label="User" MASKED="No"/><FLAGS ENABLEAPP="TRUE" allowtickets="On"/></APPLICATION></SSO>"""
    (found,) = read_applications(content, "x")
    assert (found.name, found.description, found.user_accounts) == ("A", "d", ("U",))
    assert found.flags == {"enabled": True, "allow_tickets": True}


def test_old_names_mean_the_new_ones() -> None:
    found = application(r"<userGroup>D\U</userGroup><appAdminGroup>D\A</appAdminGroup>")
    assert (found.user_accounts, found.administrator_accounts) == ((r"D\U",), (r"D\A",))


def test_accounts_come_in_several_elements_or_with_semicolons() -> None:
    body = "<appUserAccount>A; B ;</appUserAccount><appUserAccount>C;A</appUserAccount>"
    assert application(body).user_accounts == ("A", "B", "C")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", ApplicationType.INDIVIDUAL),
        ('<flags groupApp="no" hostInitiatedSSO="yes"/>', ApplicationType.INDIVIDUAL),
        ('<flags groupApp="yes"/>', ApplicationType.GROUP),
        ('<appUserAccount>U</appUserAccount><flags groupApp="yes" hostInitiatedSSO="yes"/>', ApplicationType.GROUP),
        ('<flags groupApp="yes" hostInitiatedSSO="yes"/>', ApplicationType.HOST_GROUP),
        ("<windowsAccount>W</windowsAccount>", ApplicationType.HOST_GROUP),
        ('<windowsAccount>W</windowsAccount><flags groupApp="yes"/>', ApplicationType.HOST_GROUP),
        ('<flags configStoreApp="yes" groupApp="no"/>', ApplicationType.CONFIG_STORE),
    ],
)
def test_the_flags_and_the_windows_account_tell_the_type(body: str, expected: ApplicationType) -> None:
    assert application(body).type is expected


def test_an_update_file_says_nothing_of_what_it_leaves_out() -> None:
    assert application() == ApplicationDefinition("A", line=2)


def test_fields_are_ordered_by_ordinal_and_masked_unless_they_are_the_user_id() -> None:
    body = '<field ordinal="2" label="C" masked="off"/><field ordinal="0" label="A"/><field ordinal="1" label="B"/>'
    assert application(body).fields == (Field("A", False), Field("B", True), Field("C", False))


F0 = '<field ordinal="0" label="User"/>'


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("<colour>red</colour>", 3, "'colour' is not known within <application>"),
        ("\n<flags coffee='yes'/>", 4, "no attribute 'coffee'"),
        ("<flags enableApp='perhaps'/>", 3, "must be yes or no, not 'perhaps'"),
        ("<flags enableApp=''/>", 3, "must be yes or no, not ''"),
        ("<flags/><flags/>", 3, "is there already, on line 3"),
        ("<description>a</description>\n<description>b</description>", 4, "<description> is there already, on line 3"),
        ("<description lang='de'>a</description>", 3, "text only"),
        ("<description>\u0085\u009b2J</description>", 3, "control characters"),
        ("some text", 2, "has text where none belongs"),
        ("<field label='User'/>", 3, "no attribute 'ordinal'"),
        ("<field ordinal='0'/>", 3, "no attribute 'label'"),
        ("<field ordinal='0' label=' '/>", 3, "1 to 256 printable characters"),
        ("<field ordinal='0' label='--'/>", 3, "has no letter"),
        ("<field ordinal='-1' label='x'/>", 3, "number from 0 to 1023, not '-1'"),
        ("<field ordinal='٣' label='x'/>", 3, "number from 0 to 1023"),
        ("<field ordinal='999999999999' label='x'/>", 3, "number from 0 to 1023"),
        ("<field ordinal='1' label='x'/>", 3, "field ordinal 0 is missing: the user id"),
        (F0 + "\n<field ordinal='2' label='x'/>", 3, "field ordinal 1 is missing"),
        (F0 + "\n<field ordinal='0' label='x'/>", 4, "field ordinal 0 is there already, on line 3"),
        (F0 + "\n<field ordinal='1' label='USER'/>", 4, "'USER' differs too little from the one on line 3"),
        (F0 + "\n<field ordinal='1' label='x' masked='maybe'/>", 4, "must be yes or no"),
        ("<flags groupApp='yes' configStoreApp='yes'/>", 3, "excludes groupApp"),
        ("<windowsAccount>W</windowsAccount>\n<flags configStoreApp='yes'/>", 4, "excludes groupApp"),
        ("<windowsAccount>W</windowsAccount>\n<userGroup>U</userGroup>", 4, "or, on line 3, <windowsAccount>"),
        ("<windowsAccount>A;B</windowsAccount>", 3, "exactly one account"),
    ],
)
def test_a_wrong_application_is_refused_with_its_line(body: str, line: int, reason: str) -> None:
    message = refusal(body)
    assert message.startswith(f"x.xml line {line}: ")
    assert reason in message


@pytest.mark.parametrize("name", ['name=""', 'name="  "', f'name="{"x" * 257}"', 'name="a\u200bb"', "", 'title="A"'])
def test_a_wrong_name_of_an_application_is_refused(name: str) -> None:
    assert refusal("", name).startswith("x.xml line 2: ")


def test_an_application_is_there_once() -> None:
    with pytest.raises(InvalidInput, match=r"^x line 2: 'A' is there already, on line 1$"):
        read_applications(b"<sso><application name='A'/>\n<application name='A'/></sso>", "x")


@pytest.mark.parametrize("read", [read_applications, read_mappings, read_settings])
@pytest.mark.parametrize(
    "content",
    [
        b"<html/>",
        b"<sso/>",
        b"<sso>x</sso>",
        b"<sso a='b'/>",
        b"<sso xmlns='urn:x'/>",
        b"<sso><nobody/></sso>",
        b"<x:sso/>",
        b"<sso><globalInfo/><globalInfo/></sso>",
    ],
)
def test_another_document_is_refused(read: abc.Callable[[bytes, str], object], content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^x line 1: "):
        read(content, "x")


def test_a_file_of_another_kind_is_refused_with_the_command_that_reads_it(sample: Sample) -> None:
    with pytest.raises(InvalidInput, match="line 3: <mapping> does not belong") as caught:
        read_applications(sample("mappings.xml"), "x")
    assert "keysvc mapping import" in str(caught.value.hint)


def mapping(more: str = "", user: str = "anna") -> str:
    (found,) = read_mappings(f"<sso>{MAPPING.format(user=user, more=more)}</sso>".encode(), "x.xml")
    return f"{found.user}={found.external_user}"


@pytest.mark.parametrize(
    ("more", "user", "expected"),
    [
        ("<externalUserId>X</externalUserId>", "anna", "anna=X"),
        ("<windowsDomain>D</windowsDomain>", "anna", r"D\anna=None"),
        ("", r"D\anna", r"D\anna=None"),
        ("<externalCredentials/>", "anna", "anna=None"),
    ],
)
def test_the_domain_is_optional_and_so_is_the_external_user(more: str, user: str, expected: str) -> None:
    assert mapping(more, user) == expected


@pytest.mark.parametrize(
    ("more", "user"),
    [
        ("<windowsDomain>D</windowsDomain>", r"E\anna"),
        (r"<windowsDomain>D\E</windowsDomain>", "anna"),
        ("<windowsDomain></windowsDomain>", "anna"),
        (f"<windowsDomain>{'d' * 200}</windowsDomain>", "a" * 100),
        ("<externalUserId></externalUserId>", "anna"),
        ("<externalUserId>a</externalUserId><externalUserId>b</externalUserId>", "anna"),
        ("<windowsUserId>b</windowsUserId>", "anna"),
        ("<enabled>yes</enabled>", "anna"),
        ("", ""),
    ],
)
def test_a_wrong_mapping_is_refused(more: str, user: str) -> None:
    with pytest.raises(InvalidInput, match=r"^x\.xml line 1: "):
        mapping(more, user)


@pytest.mark.parametrize("missing", ["windowsUserId", "externalApplication"])
def test_a_mapping_names_its_user_and_its_application(missing: str) -> None:
    content = f"<sso>{MAPPING.format(user='anna', more='')}</sso>".replace(missing, "windowsDomain")
    with pytest.raises(InvalidInput, match=f"has no <{missing}>"):
        read_mappings(content.encode(), "x")


@pytest.mark.parametrize("value", ["S3cret!", "<p>S3cret!</p>"])
def test_credentials_are_refused_without_repeating_them(value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        mapping(f"<externalCredentials>{value}</externalCredentials>")
    assert "keysvc credential set" in str(caught.value.hint)
    assert "S3cret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "body",
    [
        "<ticketTimeout>two</ticketTimeout>",
        "<ticketTimeout>-1</ticketTimeout>",
        "<ticketTimeout>100001</ticketTimeout>",
        "<ticketTimeout></ticketTimeout>",
        "<ticketTimeout>1</ticketTimeout><tickettimeout>1</tickettimeout>",
        "<secretServer></secretServer>",
        "<secretserver2>x</secretserver2>",
    ],
)
def test_a_wrong_setting_is_refused(body: str) -> None:
    with pytest.raises(InvalidInput, match=r"^x line 2: "):
        read_settings(f"<sso><globalInfo>\n{body}</globalInfo></sso>".encode(), "x")
