"""What administrators bring from Enterprise SSO: the samples of the field trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keysvc.entsso.exporting import application_lines
from keysvc.entsso.importing import SourceFile, import_files
from keysvc.errors import InvalidInput, SystemDisabled
from keysvc.plugin.changes import UNGUARDED, PutSystem
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


def test_twins_across_files_are_refused_and_the_name_that_exists_is_told(store: MappingStore) -> None:
    with pytest.raises(InvalidInput, match="the application 'Payroll' exists"):
        run(store, "05-twins/01-app.xml", "05-twins/02-app.xml")
    run(store, "05-twins/01-app.xml")
    with pytest.raises(InvalidInput, match="the application 'Payroll' exists"):
        run(store, "05-twins/02-app.xml")
    with pytest.raises(InvalidInput, match="anna' exists in 'Payroll'"):
        run(store, "05-twins/03-map.xml", "05-twins/04-map.xml")
    run(store, "05-twins/03-map.xml")
    with pytest.raises(InvalidInput, match="anna' exists in 'Payroll'"):
        run(store, "05-twins/04-map.xml")


def test_a_leaver_in_another_spelling_is_refused_with_the_name_that_exists(store: MappingStore) -> None:
    run(store, "05-twins/01-app.xml", "05-twins/03-map.xml")
    leaver = SourceFile("leaver.xml", (SAMPLES / "05-twins/04-map.xml").read_bytes(), deletes=True)
    with pytest.raises(InvalidInput, match=r"line 1: .*Anna' is not there to delete: .*anna' exists"):
        import_files(store, [leaver], actor="anna")
