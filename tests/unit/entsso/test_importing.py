"""A file comes into the mapping store whole, once, with its audit entry; or nothing of it does."""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from typing import Any

import pytest

from keysvc.entsso.importing import ATTEMPTS, Imported, SourceFile, import_files
from keysvc.errors import Conflict, InvalidInput, NotConfigured
from keysvc.model import ApplicationType, AuditTrail, Flags, Guard, Settings
from keysvc.plugin.changes import UNGUARDED, Change, DeleteApplication, PutApplication
from keysvc.plugin.interfaces import MappingStore

Sample = abc.Callable[[str], bytes]
FIELDS = '<field ordinal="0" label="User"/><field ordinal="1" label="Password"/>'


def import_one(store: MappingStore, content: bytes, source: str, *, actor: str, **options: Any) -> Imported:
    files = [SourceFile(source, content, options.pop("deletes", False))]
    (done,) = import_files(store, files, actor=actor, **options)
    return done.imported


def delete_mappings(store: MappingStore, content: bytes, source: str, *, actor: str) -> Imported:
    return import_one(store, content, source, actor=actor, deletes=True)


import_applications = import_mappings = import_settings = import_one


def apply(store: MappingStore, body: str, name: str = "A") -> Imported:
    content = f'<sso><application name="{name}">{body}</application></sso>'
    return import_applications(store, content.encode(), "x.xml", actor="anna")


def mapping(user: str, external_user: str, application: str = "A") -> bytes:
    return (
        f"<sso><mapping><windowsUserId>{user}</windowsUserId><externalApplication>{application}</externalApplication>"
        f"<externalUserId>{external_user}</externalUserId></mapping></sso>"
    ).encode()


def everything(store: MappingStore) -> object:
    applications = store.applications()
    mappings = [store.mappings(application.name, limit=5000) for application in applications]
    return store.system(), applications, mappings, store.audit()


class Interrupted:
    """A store in which others change something right before each of the next commits."""

    def __init__(self, store: MappingStore, interruptions: abc.Sequence[abc.Callable[[], object]]) -> None:
        self._store = store
        self._interruptions = list(interruptions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, changes: abc.Sequence[Change], guard: Guard) -> None:
        if self._interruptions:
            self._interruptions.pop(0)()
        self._store.commit(changes, guard)


def test_the_samples_are_imported_whole_and_a_second_time_changes_nothing(store: MappingStore, sample: Sample) -> None:
    applications, mappings = sample("applications.xml"), sample("mappings.xml")
    assert import_applications(store, applications, "a", actor="anna") == Imported(6, 0, 0)
    assert import_mappings(store, mappings, "m", actor="anna") == Imported(1200, 0, 0)
    assert import_applications(store, applications, "a", actor="anna") == Imported(0, 0, 6)
    assert import_mappings(store, mappings, "m", actor="anna") == Imported(0, 0, 1200)
    left = sample("mappings-delete.xml")
    assert delete_mappings(store, left, "d", actor="anna") == Imported(0, 0, 0, deleted=25)
    assert delete_mappings(store, left, "d", actor="anna") == Imported(0, 0, 25)
    assert sum(len(store.mappings(a.name, limit=5000)) for a in store.applications()) == 1175


def test_an_imported_application_is_as_the_file_says_with_the_defaults_of_enterprise_sso(
    store: MappingStore, sample: Sample
) -> None:
    import_applications(store, sample("applications.xml"), "a", actor="anna")
    found = store.application("EDI-PARTNERS")
    assert found is not None
    assert found.type is ApplicationType.GROUP
    assert found.flags == Flags(enabled=True, disable_credential_cache=True)
    assert found.contact == "edi@nordwind.example"
    assert [f.label for f in found.fields] == ["User Id", "Password", "Client Certificate PIN"]
    ids = {a.application_id for a in store.applications()}
    assert len(ids) == 6
    assert all(len(bytes.fromhex(i)) == 16 for i in ids)


@pytest.mark.parametrize(
    ("name", "run", "line", "reason"),
    [
        ("broken-duplicate-mapping.xml", import_mappings, 3, "is there already, on line 2"),
        ("broken-duplicate-mapping.xml", delete_mappings, 3, "is there already, on line 2"),
        ("broken-unknown-application.xml", import_mappings, 3, "there is no application 'SAP-QAS'"),
        ("broken-unknown-application.xml", delete_mappings, 3, "there is no application 'SAP-QAS'"),
        ("broken-entity-bomb.xml", import_applications, 2, "a DOCTYPE is not allowed"),
        ("broken-no-userid-field.xml", import_applications, 6, "must be yes or no, not 'perhaps'"),
        ("broken-truncated.xml", import_applications, 3, "unclosed token"),
    ],
)
def test_a_broken_sample_is_refused_with_its_line_and_changes_nothing(
    store: MappingStore, sample: Sample, name: str, run: abc.Callable[..., Imported], line: int, reason: str
) -> None:
    import_applications(store, sample("applications.xml"), "a", actor="anna")
    before = everything(store)
    with pytest.raises(InvalidInput) as caught:
        run(store, sample(name), name, actor="anna")
    assert str(caught.value).startswith(f"{name} line {line}: ")
    assert reason in str(caught.value)
    assert everything(store) == before


def test_a_new_application_needs_its_fields(store: MappingStore) -> None:
    with pytest.raises(InvalidInput, match=r"^x\.xml line 1: the application 'A' is new and has no field ordinal 0"):
        apply(store, '<flags enableApp="yes"/>')


def test_a_new_application_starts_disabled(store: MappingStore) -> None:
    apply(store, FIELDS)
    found = store.application("A")
    assert found is not None
    assert found.flags == Flags()


def test_an_update_changes_what_it_gives_and_nothing_else(store: MappingStore) -> None:
    apply(store, f"<description>old</description><contact>c</contact><appUserAccount>U</appUserAccount>{FIELDS}")
    before = store.application("A")
    assert before is not None
    changes = '<description>new</description><appAdminAccount>M</appAdminAccount><flags enableApp="yes"/>'
    assert apply(store, changes) == Imported(0, 1, 0)
    assert apply(store, changes) == Imported(0, 0, 1)
    assert store.application("A") == replace(
        before,
        description="new",
        administrator_accounts=("M",),
        flags=Flags(enabled=True),
        revision=before.revision + 1,
    )


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ('<field ordinal="0" label="User"/>', "its fields"),
        ('<field ordinal="0" label="User"/><field ordinal="1" label="password"/>', "its fields"),
        ('<field ordinal="0" label="User"/><field ordinal="1" label="Password" masked="no"/>', "its fields"),
        ('<flags groupApp="yes"/>', "its type"),
        ('<flags configStoreApp="yes"/>', "its type"),
        ("<windowsAccount>W</windowsAccount>", "its type"),
        ('<flags adminAccountSame="yes"/>', "adminAccountSame"),
    ],
)
def test_what_is_fixed_at_creation_cannot_be_changed(store: MappingStore, body: str, what: str) -> None:
    apply(store, FIELDS)
    before = everything(store)
    with pytest.raises(InvalidInput, match=rf"^x\.xml line 1: the application 'A' exists: {what} cannot change$"):
        apply(store, body)
    assert everything(store) == before


@pytest.mark.parametrize(
    "kind",
    [
        '<flags groupApp="no"/>',
        '<flags groupApp="yes"/>',
        '<flags configStoreApp="yes" groupApp="no"/>',
        "<windowsAccount>W</windowsAccount>",
        '<windowsAccount>W</windowsAccount><flags groupApp="no" hostInitiatedSSO="yes"/>',
        '<flags groupApp="yes" hostInitiatedSSO="yes"/>',
    ],
)
def test_the_file_that_created_an_application_never_contradicts_it(store: MappingStore, kind: str) -> None:
    assert apply(store, FIELDS + kind) == Imported(1, 0, 0)
    assert apply(store, FIELDS + kind) == Imported(0, 0, 1)


@pytest.mark.parametrize(
    ("created", "later"),
    [
        ('<flags groupApp="yes"/>', '<flags groupApp="no"/>'),
        ('<flags configStoreApp="yes"/>', '<flags configStoreApp="no"/>'),
        ('<flags configStoreApp="yes"/>', '<flags groupApp="yes"/>'),
        ("<windowsAccount>W</windowsAccount>", "<appUserAccount>U</appUserAccount>"),
    ],
)
def test_another_type_is_noticed(store: MappingStore, created: str, later: str) -> None:
    apply(store, FIELDS + created)
    with pytest.raises(InvalidInput, match="its type cannot change"):
        apply(store, later)


def test_a_file_with_one_fault_changes_nothing_of_the_rest(store: MappingStore) -> None:
    content = f'<sso><application name="A">{FIELDS}</application>\n<application name="B"/></sso>'
    with pytest.raises(InvalidInput, match="line 2: the application 'B' is new"):
        import_applications(store, content.encode(), "x", actor="anna")
    assert store.applications() == []


@pytest.mark.parametrize("enable", [False, True])
def test_a_new_mapping_starts_disabled_unless_told(store: MappingStore, enable: bool) -> None:
    apply(store, FIELDS)
    assert import_mappings(store, mapping("u", "X"), "x", actor="anna", enable=enable) == Imported(1, 0, 0)
    found = store.mapping("A", "u")
    assert found is not None
    assert found.enabled is enable


def test_a_mapping_gets_its_new_external_user_and_stays_enabled(store: MappingStore) -> None:
    apply(store, FIELDS)
    import_mappings(store, mapping("u", "X"), "x", actor="anna", enable=True)
    assert import_mappings(store, mapping("u", "Y"), "x", actor="anna") == Imported(0, 1, 0)
    found = store.mapping("A", "u")
    assert found is not None
    assert (found.external_user, found.enabled) == ("Y", True)


def test_a_mapping_without_external_user_can_only_be_deleted(store: MappingStore) -> None:
    apply(store, FIELDS)
    import_mappings(store, mapping("u", "X"), "x", actor="anna")
    content = mapping("u", "?").replace(b"<externalUserId>?</externalUserId>", b"")
    with pytest.raises(InvalidInput, match=r"line 1: .* needs <externalUserId>"):
        import_mappings(store, content, "x", actor="anna")
    assert delete_mappings(store, content, "x", actor="anna") == Imported(0, 0, 0, deleted=1)


def test_every_import_leaves_one_audit_entry(store: MappingStore, sample: Sample) -> None:
    import_applications(store, sample("applications.xml"), "a.xml", actor="anna")
    import_mappings(store, sample("mappings.xml"), "m.xml", actor="bert")
    delete_mappings(store, sample("mappings-delete.xml"), "d.xml", actor="cleo")
    import_settings(store, sample("global-info.xml"), "x" * 2000, actor="dora")
    entries = store.audit()
    assert [(e.actor, e.action, e.subject[:5]) for e in entries] == [
        ("anna", "application.imported", "a.xml"),
        ("bert", "mapping.imported", "m.xml"),
        ("dora", "settings.imported", "xxxxx"),
    ]
    deleted = store.audit(AuditTrail.DELETED_MAPPINGS)
    assert [(e.actor, e.action, e.subject[:5]) for e in deleted] == [("cleo", "mapping.import-deleted", "d.xml")]
    assert entries[1].detail["created"] == 1200
    assert len(str(entries[1].detail["sha256"])) == 64


def test_settings_are_replaced_where_the_file_gives_them(store: MappingStore, sample: Sample) -> None:
    before = store.system()
    assert before is not None
    assert import_settings(store, sample("global-info.xml"), "g", actor="anna") == Imported(0, 1, 0)
    assert import_settings(store, sample("global-info.xml"), "g", actor="anna") == Imported(0, 0, 1)
    content = b"<sso><globalInfo><ticketTimeout>7</ticketTimeout></globalInfo></sso>"
    import_settings(store, content, "g", actor="anna")
    assert store.system() == replace(
        before,
        settings=Settings(
            r"NORDWIND\SSO Administrators",
            r"NORDWIND\SSO Affiliate Administrators",
            "nw-mss-01",
            ticket_timeout_minutes=7,
            audit_credential_lookups=5000,
            names=before.settings.names,
        ),
    )


def test_settings_need_a_system(unconfigured: MappingStore, sample: Sample) -> None:
    with pytest.raises(NotConfigured):
        import_settings(unconfigured, sample("global-info.xml"), "g", actor="anna")


def test_a_concurrent_change_is_kept_and_the_import_done_upon_it(store: MappingStore) -> None:
    apply(store, FIELDS)
    other = Interrupted(store, [lambda: apply(store, "<contact>theirs</contact>")])
    assert apply(other, "<description>ours</description>") == Imported(0, 1, 0)  # type: ignore[arg-type]
    found = store.application("A")
    assert found is not None
    assert (found.contact, found.description) == ("theirs", "ours")


def test_an_application_that_goes_away_meanwhile_is_an_unknown_one(store: MappingStore) -> None:
    apply(store, FIELDS)
    other: Any = Interrupted(store, [lambda: store.commit([DeleteApplication("A")], UNGUARDED)])
    with pytest.raises(InvalidInput, match="there is no application 'A'"):
        import_mappings(other, mapping("u", "X"), "x", actor="anna")


def test_an_import_gives_up_after_some_conflicts(store: MappingStore) -> None:
    apply(store, FIELDS)

    def disturb() -> None:
        known = store.application("A")
        assert known is not None
        store.commit([PutApplication(known)], UNGUARDED)

    patient: Any = Interrupted(store, [disturb] * (ATTEMPTS - 1))
    assert apply(patient, "<contact>a</contact>") == Imported(0, 1, 0)
    hopeless: Any = Interrupted(store, [disturb] * ATTEMPTS)
    with pytest.raises(Conflict):
        apply(hopeless, "<contact>b</contact>")
