"""What administrators bring from Enterprise SSO: the samples of the field trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keysvc.entsso.exporting import application_lines, mapping_lines
from keysvc.entsso.importing import SourceFile, import_files
from keysvc.errors import InvalidInput, SystemDisabled
from keysvc.model import Mapping, NameRule
from keysvc.plugin.changes import UNGUARDED, PutApplication, PutMapping, PutSystem
from keysvc.plugin.interfaces import MappingStore

SAMPLES = Path(__file__).parents[2] / "samples/trials"


def run(store: MappingStore, *names: str) -> None:
    import_files(store, [SourceFile(name, (SAMPLES / name).read_bytes()) for name in names], actor="anna")


def test_the_attribute_synchronized_and_older_names_of_flags_are_accepted(store: MappingStore) -> None:
    run(store, "01-field-synchronized.xml", "02-old-flag-names.xml")
    application = store.application("TestApp")
    assert application is not None
    assert application.flags.allow_local_accounts
    assert application.flags.timeout_tickets
    assert not application.flags.administrators_same


def test_a_config_store_of_100_settings_is_imported_exported_and_imported_again(store: MappingStore) -> None:
    run(store, "04-config-store-100-settings.xml")
    exported = SourceFile("out.xml", "".join(application_lines(store)).encode())
    (again,) = import_files(store, [exported], actor="anna")
    assert again.imported.unchanged == 1


def test_the_administrators_of_a_disabled_system_are_imported_and_nothing_else_is(store: MappingStore) -> None:
    system = store.system()
    assert system is not None
    off = replace(system, settings=replace(system.settings, enabled=False))
    store.commit([PutSystem(off, instead_of=system.settings)], UNGUARDED)
    run(store, "03-global-info.xml")
    changed = store.system()
    assert changed is not None
    assert changed.settings.administrators == "NORDWIND\\SSO Administrators"
    assert not changed.settings.enabled
    with pytest.raises(SystemDisabled):
        run(store, "02-old-flag-names.xml")


def test_the_faults_of_all_files_are_in_one_report(store: MappingStore) -> None:
    files = [SourceFile(f"{n}.xml", f"<sso>{n}</sso>".encode()) for n in range(5)]
    with pytest.raises(InvalidInput, match=r"^5 faults: 0\.xml line 1: .* 4\.xml line 1: "):
        import_files(store, files, actor="anna")


TWINS = [f"05-twins/{name}.xml" for name in ("01-app", "02-app", "03-map", "04-map")]
ANNA, ANNA_TOO = "NORDWIND\\anna", "NORDWIND\\Anna"


def with_names(store: MappingStore, rule: NameRule) -> None:
    system = store.system()
    assert system is not None
    store.commit([PutSystem(replace(system, settings=replace(system.settings, names=rule)))], UNGUARDED)


@pytest.mark.parametrize("together", [True, False])
def test_where_names_are_folded_twins_are_one_across_files_and_over_time(store: MappingStore, together: bool) -> None:
    with_names(store, NameRule.FOLDED)
    if together:
        with pytest.raises(InvalidInput, match=r"is mapped to 'A1' in 05-twins/03-map\.xml"):
            run(store, *TWINS)
        run(store, *TWINS[:3])
    else:
        for name in TWINS[:3]:
            run(store, name)
    run(store, TWINS[3])
    assert [each.name for each in store.applications()] == ["Payroll"]
    assert [(each.user, each.external_user) for each in store.mappings("Payroll")] == [(ANNA, "A2")]
    leaver = SourceFile("leaver.xml", (SAMPLES / TWINS[3]).read_bytes(), deletes=True)
    (left,) = import_files(store, [leaver], actor="anna")
    assert left.imported.deleted == 1
    assert not store.mappings("Payroll")


def test_where_names_are_folded_one_file_has_each_once(store: MappingStore) -> None:
    with_names(store, NameRule.FOLDED)
    with pytest.raises(InvalidInput, match="is there already, on line"):
        run(store, "05-0-in-one-file.xml")


def test_where_names_are_exact_twins_come_in_and_out_and_in_again(store: MappingStore) -> None:
    with_names(store, NameRule.EXACT)
    run(store, TWINS[0], TWINS[1], TWINS[2])
    run(store, TWINS[3])
    assert len(store.applications()) == 2
    exported = SourceFile("out.xml", "".join(application_lines(store)).encode())
    (again,) = import_files(store, [exported], actor="anna")
    assert again.imported.unchanged == 2


def test_where_names_are_exact_a_leaver_in_another_spelling_is_refused_with_the_name_that_exists(
    store: MappingStore,
) -> None:
    with_names(store, NameRule.EXACT)
    run(store, TWINS[0], TWINS[2])
    content = (SAMPLES / TWINS[2]).read_bytes().replace(b"anna", b"Anna")
    with pytest.raises(InvalidInput, match=r"line 1: .*Anna' is not there to delete: .*anna' exists"):
        import_files(store, [SourceFile("leaver.xml", content, deletes=True)], actor="anna")


APPLICATION = (
    "<application name='{name}'><appUserAccount>{account}</appUserAccount><field ordinal='0' label='U'/></application>"
)
MAPPING = (
    "<mapping><windowsDomain>NORD</windowsDomain><windowsUserId>{user}</windowsUserId>"
    "<externalApplication>TestApp</externalApplication><externalUserId>{external}</externalUserId></mapping>"
)


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (APPLICATION.format(name="\u212aAI", account="a"), "the name of the application has U\\+212A"),
        (APPLICATION.format(name="KAI", account="a/b"), "the name of the account is no account"),
        (MAPPING.format(user="\u212aai", external="k"), "the name of the user has U\\+212A"),
        (MAPPING.format(user="kai/admin", external="k"), "the name of the user is no account"),
        (MAPPING.format(user="kai", external="\u2126"), "the name of the external user has U\\+2126"),
        ("<globalInfo><ssoAdminAccount>NORD\\</ssoAdminAccount></globalInfo>", "the name of the account is no account"),
    ],
)
def test_a_file_brings_in_no_name_that_nothing_else_lets_in(store: MappingStore, entry: str, what: str) -> None:
    run(store, "02-old-flag-names.xml")
    before = store.system(), store.applications(), store.mappings("TestApp")
    file = SourceFile("new.xml", f"<sso>\n{entry}</sso>".encode())
    with pytest.raises(InvalidInput, match=rf"^new\.xml line 2: {what}"):
        import_files(store, [file], actor="anna")
    assert (store.system(), store.applications(), store.mappings("TestApp")) == before


def test_a_name_of_an_older_release_stays_good_in_a_file(store: MappingStore) -> None:
    run(store, "02-old-flag-names.xml")
    application = store.application("TestApp")
    assert application is not None
    old = replace(application, name="\u212aAI", application_id="c" * 32, revision=0, user_accounts=("a/b",))
    store.commit([PutApplication(old), PutMapping(Mapping("\u212aAI", "a/b", "\u212a"))], UNGUARDED)
    exported = "".join(application_lines(store)).encode()
    mappings = "".join(mapping_lines(store)).encode()
    done = import_files(store, [SourceFile("a.xml", exported), SourceFile("m.xml", mappings)], actor="anna")
    assert [each.imported.unchanged for each in done] == [2, 1]
