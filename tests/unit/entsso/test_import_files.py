"""Many files come in together, in one commit: what one creates another may use."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from time import perf_counter

import pytest

from keysvc.entsso.importing import ImportedFile, SourceFile, import_files
from keysvc.errors import InvalidInput
from keysvc.model import AuditTrail
from keysvc.plugin.interfaces import MappingStore

Sample = abc.Callable[[str], bytes]
NAMES = ("mappings.xml", "applications.xml", "global-info.xml")  # not the order in which they are needed
APPLICATION = '<application name="{name}"><field ordinal="0" label="User"/>{more}</application>'
MAPPING = (
    "<mapping><windowsUserId>{user}</windowsUserId><externalApplication>{application}</externalApplication>"
    "<externalUserId>{external}</externalUserId></mapping>"
)


def sso(*entries: str) -> bytes:
    return f"<sso>\n{chr(10).join(entries)}\n</sso>".encode()


def application(name: str = "A", more: str = "") -> str:
    return APPLICATION.format(name=name, more=more)


def mapping(user: str, external: str, application: str = "A") -> str:
    return MAPPING.format(user=user, external=external, application=application)


def run(store: MappingStore, *files: SourceFile, **options: bool) -> list[ImportedFile]:
    return list(import_files(store, files, actor="anna", **options))


def counts(store: MappingStore) -> tuple[int, int]:
    found = store.applications()
    return len(found), sum(len(store.mappings(a.name, limit=5000)) for a in found)


def test_the_samples_come_in_whole_whatever_their_order_and_a_second_time_change_nothing(
    store: MappingStore, sample: Sample
) -> None:
    files = [SourceFile(name, sample(name)) for name in NAMES]
    done = run(store, *files)
    assert [(each.name, each.imported.created) for each in done] == [
        ("global-info.xml", 0),
        ("applications.xml", 6),
        ("mappings.xml", 1200),
    ]
    assert counts(store) == (6, 1200)
    again = run(store, *files)
    assert all((each.imported.created, each.imported.updated) == (0, 0) for each in again)
    gone = run(store, *files, SourceFile("mappings-delete.xml", sample("mappings-delete.xml"), deletes=True))
    assert (gone[-1].imported.deleted, counts(store)) == (25, (6, 1175))


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("broken-duplicate-mapping.xml", "line 3: 'SAP-PRD' / 'NORDWIND\\anna.weber' is there already, on line 2"),
        ("broken-entity-bomb.xml", "line 2: a DOCTYPE"),
        ("broken-no-userid-field.xml", "line 6: the flag enableapp must be yes or no, not 'perhaps'"),
        ("broken-truncated.xml", "line 3: not well-formed XML"),
        ("broken-unknown-application.xml", "line 3: there is no application 'SAP-QAS'"),
    ],
)
def test_one_broken_file_keeps_all_of_them_out(store: MappingStore, sample: Sample, name: str, where: str) -> None:
    files = [SourceFile(each, sample(each)) for each in (*NAMES, name)]
    with pytest.raises(InvalidInput) as caught:
        run(store, *files)
    assert str(caught.value).startswith(f"{name} {where}")
    assert (counts(store), len(store.audit())) == ((0, 0), 0)


def test_a_dry_run_tells_what_would_be_and_changes_nothing(store: MappingStore, sample: Sample) -> None:
    files = [SourceFile(name, sample(name)) for name in NAMES]
    assert run(store, *files, dry_run=True)[2].imported.created == 1200
    assert (counts(store), len(store.audit())) == ((0, 0), 0)
    with pytest.raises(InvalidInput):
        run(store, *files, SourceFile("x", sso(mapping("anna", "A", "NONE"))), dry_run=True)


def test_each_file_has_its_audit_entry(store: MappingStore, sample: Sample) -> None:
    run(
        store,
        *(SourceFile(name, sample(name)) for name in NAMES),
        SourceFile("gone.xml", sample("mappings-delete.xml"), deletes=True),
    )
    assert [entry.action for entry in store.audit()] == [
        "settings.imported",
        "application.imported",
        "mapping.imported",
    ]
    (gone,) = store.audit(AuditTrail.DELETED_MAPPINGS)
    assert (gone.subject, gone.detail["deleted"]) == ("gone.xml", 25)


def test_an_update_in_a_later_file_leaves_out_what_it_does_not_change(store: MappingStore) -> None:
    create = SourceFile("1.xml", sso(application(more="<contact>old</contact><flags enableApp='yes'/>")))
    update = SourceFile("2.xml", b'<sso><application name="A"><contact>new</contact></application></sso>')
    assert [each.imported.updated for each in run(store, update, create)] == [0, 1]
    (found,) = store.applications()
    assert (found.contact, found.flags.enabled, len(found.fields)) == ("new", True, 1)


def test_two_files_may_say_the_same_of_a_user_and_not_another_thing(store: MappingStore) -> None:
    first = [SourceFile("1.xml", sso(application())), SourceFile("2.xml", sso(mapping("anna", "A")))]
    with pytest.raises(InvalidInput, match=r"^3\.xml line 2: 'anna' is mapped to 'A' in 2\.xml line 2$"):
        run(store, *first, SourceFile("3.xml", sso(mapping("anna", "B"))))
    done = run(store, *first, SourceFile("3.xml", sso(mapping("anna", "A"))))
    assert [each.imported.unchanged for each in done] == [0, 0, 1]


def test_a_user_is_mapped_once_in_a_file_however_he_is_written(store: MappingStore) -> None:
    content = sso(mapping("anna", "A"), mapping("Anna", "B"))
    with pytest.raises(InvalidInput, match=r"^2 line 3: 'A' / 'Anna' is there already, on line 2$"):
        run(store, SourceFile("1", sso(application())), SourceFile("2", content))


HOST = "<windowsAccount>D\\batch</windowsAccount>"


def test_many_external_users_of_a_host_group_are_mapped_to_its_account(store: MappingStore) -> None:
    host = SourceFile("1", sso(application("HOST", HOST)))
    without = mapping("x", "JOB3", "HOST").replace("<windowsUserId>x</windowsUserId>", "")
    run(store, host, SourceFile("2", sso(*(mapping(r"D\BATCH", f"JOB{n}", "HOST") for n in range(3)), without)))
    assert [(m.user, m.external_user) for m in store.mappings("HOST")] == [(f"JOB{n}", f"JOB{n}") for n in range(4)]
    with pytest.raises(InvalidInput, match=r"is 'D\\batch', not 'D\\other'"):
        run(store, SourceFile("2", sso(mapping(r"D\other", "JOB4", "HOST"))))
    with pytest.raises(InvalidInput, match="'HOST' / 'JOB0' is there already"):
        run(store, SourceFile("2", sso(mapping(r"D\batch", "JOB0", "HOST"), mapping(r"D\batch", "JOB0", "HOST"))))
    gone = run(store, SourceFile("2", sso(mapping(r"D\batch", "JOB0", "HOST")), deletes=True))
    assert (gone[0].imported.deleted, len(store.mappings("HOST"))) == (1, 3)


def test_only_a_host_group_does_without_the_windows_user(store: MappingStore) -> None:
    without = mapping("x", "A").replace("<windowsUserId>x</windowsUserId>", "")
    with pytest.raises(InvalidInput, match="line 2: the mapping has no <windowsUserId>"):
        run(store, SourceFile("1", sso(application())), SourceFile("2", sso(without)))


def test_accounts_of_one_machine_need_their_flag(store: MappingStore) -> None:
    local = r"<appUserAccount>BUILTIN\Users</appUserAccount>"
    with pytest.raises(InvalidInput, match=r"^1 line 2: 'BUILTIN\\Users' is an account of one machine"):
        run(store, SourceFile("1", sso(application(more=local))))
    allowed = application(more=local + '<flags allowLocalAccounts="yes"/>')
    run(store, SourceFile("1", sso(allowed)), SourceFile("2", sso(mapping(r".\anna", "A"))))
    with pytest.raises(InvalidInput, match=r"^2 line 2: '\.\\anna' is an account of one machine"):
        run(store, SourceFile("1", sso(application("B"))), SourceFile("2", sso(mapping(r".\anna", "A", "B"))))


@pytest.mark.parametrize(
    "content",
    [
        b'<SSO xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="sso.xsd">%s</SSO>',
        b'<sso xmlns="urn:x"><!-- made by hand -->%s<!-- end --></sso>',
        b"\xef\xbb\xbf<?xml version='1.0'?>\r\n<sso>\r\n%s\r\n</sso>\r\n",
    ],
)
def test_what_tools_add_to_a_file_does_not_matter(store: MappingStore, content: bytes) -> None:
    run(store, SourceFile("1", content % application(more='<flags groupAdapter="no"/>').encode()))
    assert counts(store) == (1, 0)


def test_the_ticket_time_out_of_an_application_is_read(store: MappingStore) -> None:
    run(store, SourceFile("1", sso(application(more='<flags allowTickets="yes" appTicketTimeOut="5"/>'))))
    assert store.applications()[0].ticket_timeout_minutes == 5
    run(store, SourceFile("1", sso(application(more="<contact>x</contact>"))))
    assert store.applications()[0].ticket_timeout_minutes == 5
    run(store, SourceFile("1", sso(application(more="<appTicketTimeOut>7</appTicketTimeOut>"))))
    assert store.applications()[0].ticket_timeout_minutes == 7
    run(store, SourceFile("1", sso(application(more='<flags appTicketTimeOut="0"/>'))))
    assert store.applications()[0].ticket_timeout_minutes is None


def test_a_flag_that_keysvc_cannot_keep_is_refused_when_it_is_on(store: MappingStore) -> None:
    with pytest.raises(InvalidInput, match="line 2: keysvc has nothing like the flag windowscreds"):
        run(store, SourceFile("1", sso(application(more='<flags windowsCreds="yes"/>'))))


def test_twenty_thousand_mappings_come_in_and_are_looked_over_again(store: MappingStore, tmp_path: Path) -> None:
    many = sso(*(mapping(f"user.{n}", f"U{n}") for n in range(20_000)))
    files = SourceFile("1", sso(application())), SourceFile("2", many)
    began = perf_counter()
    assert run(store, *files)[1].imported.created == 20_000
    assert run(store, *files)[1].imported.unchanged == 20_000
    assert perf_counter() - began < 60  # a few seconds; looked up one by one, minutes
