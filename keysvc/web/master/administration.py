"""What SSO administrators ask of the master secret server besides versions and certificates: notifiers, plugins, the
doctor, the audit's proof, the switch of the system, and imports."""

from __future__ import annotations

from collections import abc
from dataclasses import asdict, dataclass

from keysvc import errors
from keysvc.entsso.differences import import_differences
from keysvc.entsso.importing import ImportedFile, SourceFile, import_files
from keysvc.master.notifier_states import NotifierStates
from keysvc.master.service import MasterSecretServer
from keysvc.model import Role
from keysvc.web.asgi.routing import Call, NoContent, NoParameters, Operation, Operations
from keysvc.web.master import messages

ADMINISTERING = (Role.ADMINISTRATOR,)
NOT_MASTER = (errors.MasterSecretServerUnavailable, errors.Fenced)
MAXIMUM_DIFFERENCES = 2000


@dataclass(frozen=True, slots=True)
class Here:
    """What only the machine of the master secret server knows."""

    plugins: abc.Callable[[], abc.Iterable[messages.PluginEntry]] = lambda: ()
    examine: abc.Callable[[], abc.Iterable[messages.FindingEntry]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Administration:
    """The operations. `active` raises NotActive on a standby."""

    active: abc.Callable[[], MasterSecretServer]
    here: Here

    def operations(self) -> Operations:
        """All of them, for SSO administrators."""
        return [*self._of_notifiers(), *self._of_the_machine(), *self._of_the_system()]

    def _of_notifiers(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/notifiers",
                summary="The notifiers, what waits for each, and the events that were parked",
                handler=lambda _call: self.active().notifiers(),
                answer=NotifierStates,
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="POST",
                path="/v1/notifiers/retry",
                summary="Offer parked events again",
                handler=self.retry,
                content=messages.RetryRequest,
                answer=messages.Retried,
                roles=ADMINISTERING,
                errors=(errors.NotFound, *NOT_MASTER),
            ),
            Operation(
                method="POST",
                path="/v1/notifiers/test",
                summary="Put a test event into the outbox, for every notifier that wants such events",
                handler=lambda call: self.active().send_test(call.caller.name),
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
        ]

    def _of_the_machine(self) -> Operations:
        return [
            Operation(
                method="GET",
                path="/v1/plugins",
                summary="The plugins on the machine of the master secret server",
                handler=lambda _call: messages.PluginPage(tuple(self.here.plugins())),
                answer=messages.PluginPage,
                roles=ADMINISTERING,
            ),
            Operation(
                method="GET",
                path="/v1/doctor",
                summary="Check the installation of the master secret server",
                handler=lambda _call: messages.FindingPage(tuple(self.here.examine())),
                answer=messages.FindingPage,
                roles=ADMINISTERING,
            ),
        ]

    def _of_the_system(self) -> Operations:
        return [
            Operation(
                method="PATCH",
                path="/v1/system",
                summary="Switch the system off, so that lookups and changes are refused, or on",
                handler=self.switch,
                content=messages.SystemSwitch,
                roles=ADMINISTERING,
                errors=(errors.Conflict, *NOT_MASTER),
            ),
            Operation(
                method="GET",
                path="/v1/audit/proof",
                summary="Verify the audit: find entries that were removed, changed, reordered or added",
                handler=self.prove,
                answer=messages.AuditProof,
                roles=ADMINISTERING,
                errors=NOT_MASTER,
            ),
            Operation(
                method="POST",
                path="/v1/imports",
                summary="Import files of Enterprise SSO, or say what that would change",
                handler=self.import_,
                content=messages.ImportRequest,
                answer=messages.ImportAnswer,
                roles=ADMINISTERING,
                errors=(errors.NotFound, errors.Conflict, *NOT_MASTER),
            ),
        ]

    def retry(self, call: Call[NoParameters, messages.RetryRequest]) -> messages.Retried:
        """At once."""
        asked = call.content
        return messages.Retried(self.active().retry_parked(call.caller.name, asked.event_id, asked.notifier))

    def switch(self, call: Call[NoParameters, messages.SystemSwitch]) -> None:
        """SSO servers notice within one poll interval."""
        self.active().switch_system(call.caller.name, enabled=call.content.enabled)

    def prove(self, _call: Call[NoParameters, NoContent]) -> messages.AuditProof:
        """Reads every entry."""
        found = self.active().verify_audit()
        return messages.AuditProof(
            tuple(messages.TrailProof(f.trail.value, f.entries, f.unsealed, f.problems) for f in found)
        )

    def import_(self, call: Call[NoParameters, messages.ImportRequest]) -> messages.ImportAnswer:
        """All or nothing."""
        asked, actor, store = call.content, call.caller.name, self.active().store
        files = [SourceFile(each.name, each.content, each.deletes) for each in asked.files]
        if not asked.dry_run:
            done = import_files(store, files, actor=actor, enable=asked.enable)
            return messages.ImportAnswer(tuple(map(_entry, done)), dry_run=False)
        done, found = import_differences(store, files, actor=actor, enable=asked.enable)
        shown = tuple(messages.DifferenceEntry(**asdict(each)) for each in found[:MAXIMUM_DIFFERENCES])
        return messages.ImportAnswer(tuple(map(_entry, done)), True, shown, len(found) - len(shown))


def _entry(done: ImportedFile) -> messages.ImportedEntry:
    return messages.ImportedEntry(done.name, done.holds, **asdict(done.imported))
