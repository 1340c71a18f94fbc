"""What was imported and edited is exported as the same XML."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import abc

import pytest

from keysvc.entsso.exporting import application_lines, mapping_lines, settings_lines
from keysvc.entsso.importing import SourceFile, import_files
from keysvc.errors import InvalidInput
from keysvc.model import ApplicationType, Field, Flags
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.administration import Administration

Sample = abc.Callable[[str], bytes]
NAMES = ("global-info.xml", "applications.xml", "mappings.xml")
DEFAULTS = {
    "enableapp": "no", "groupapp": "no", "configstoreapp": "no", "hostinitiatedsso": "no", "windowsinitiatedsso": "yes",
    "validatepassword": "yes", "disablecredcache": "no", "allowtickets": "no", "validatetickets": "yes",
    "timeouttickets": "yes", "allowlocalaccounts": "no", "adminaccountsame": "no", "directpasswordsync": "no",
}  # fmt: skip
FIELDS = [Field("User Id", masked=False), Field("Password", masked=True)]


def canonical(content: bytes) -> list[object]:
    """Names without regard to case, flags with their defaults, entries in an order of their own."""

    def plain(element: ElementTree.Element) -> object:
        attributes = {name.casefold(): value for name, value in element.attrib.items()}
        if element.tag.casefold() == "flags":
            attributes = DEFAULTS | attributes
        children = [plain(child) for child in element]
        return element.tag.casefold(), sorted(attributes.items()), (element.text or "").strip(), children

    return sorted(map(plain, ElementTree.fromstring(content)), key=repr)


def exported(store: MappingStore) -> dict[str, bytes]:
    system = store.system()
    assert system is not None
    lines = settings_lines(system.settings), application_lines(store), mapping_lines(store)
    return {name: "".join(each).encode() for name, each in zip(NAMES, lines, strict=True)}


def imported(store: MappingStore, files: abc.Mapping[str, bytes]) -> None:
    import_files(store, [SourceFile(name, content) for name, content in files.items()], actor="anna")


def test_the_samples_come_out_as_the_same_xml(store: MappingStore, sample: Sample) -> None:
    imported(store, {name: sample(name) for name in NAMES})
    for name, content in exported(store).items():
        assert canonical(content) == canonical(sample(name)), name


def test_an_edit_is_in_the_xml_and_comes_back_with_it(store: MappingStore, sample: Sample) -> None:
    imported(store, {name: sample(name) for name in NAMES})
    administration = Administration(store, "anna")
    edit = {"description": "edited & <new>", "flags": {"allow_tickets": False}, "ticket_timeout_minutes": 7}
    edited = administration.change_application("SAP-PRD", **edit)  # type: ignore[arg-type]
    files = exported(store)
    before = sample("applications.xml").decode()
    change = before.replace("SAP ERP production", "edited &amp; &lt;new&gt;")
    change = change.replace('allowTickets="yes"', 'allowTickets="no"', 1)
    change = change.replace("<flags", "<appTicketTimeout>7</appTicketTimeout><flags", 1)
    assert canonical(files["applications.xml"]) == canonical(change.encode())
    imported(store, {"applications.xml": sample("applications.xml")})
    imported(store, files)
    assert administration.application("SAP-PRD").ticket_timeout_minutes == 7
    assert administration.application("SAP-PRD").description == edited.description


def test_every_type_and_odd_name_survives(store: MappingStore) -> None:
    administration = Administration(store, "anna")
    for type_ in ApplicationType:
        accounts = [r"D\batch"] if type_ is ApplicationType.HOST_GROUP else [r"D\b & c", "plain"]
        odd = f"{type_} \"'<&>ü€"
        administration.create_application(
            odd, FIELDS, type_=type_, flags=Flags(validate_password=False), user_accounts=accounts
        )
        if type_ is not ApplicationType.CONFIG_STORE:
            administration.set_mapping(odd, r"D\batch", "A <&> \"'")
            administration.set_mapping(odd, r"D\batch" if type_ is ApplicationType.HOST_GROUP else "plain", "B")
    files = exported(store)
    before = [
        (a.type, a.flags, a.user_accounts, [(m.user, m.external_user) for m in store.mappings(a.name)])
        for a in store.applications()
    ]
    for application in store.applications():
        administration.delete_application(application.name)
    imported(store, files)
    after = [
        (a.type, a.flags, a.user_accounts, [(m.user, m.external_user) for m in store.mappings(a.name)])
        for a in store.applications()
    ]
    assert after == before
    assert exported(store) == files


def test_several_accounts_are_one_list(store: MappingStore) -> None:
    administration = Administration(store, "anna")
    accounts = {"user_accounts": ["D\\a", "D\\b"], "administrator_accounts": ["D\\c", "D\\d"]}
    administration.create_application("A", FIELDS, type_=ApplicationType.GROUP, **accounts)
    written = exported(store)["applications.xml"]
    assert b"<appUserAccount>D\\a;D\\b</appUserAccount>" in written
    assert b"<appAdminAccount>D\\c;D\\d</appAdminAccount>" in written


def test_property_bags_are_no_mappings(store: MappingStore) -> None:
    administration = Administration(store, "anna")
    administration.create_application("BAGS", FIELDS, type_=ApplicationType.CONFIG_STORE)
    administration.set_mapping("BAGS", "ftp", "ftp")
    assert exported(store)["mappings.xml"] == b""


def test_what_xml_cannot_hold_is_refused(store: MappingStore) -> None:
    Administration(store, "anna").create_application("A", FIELDS, description="bell \x07")
    with pytest.raises(InvalidInput, match="XML cannot hold"):
        exported(store)
