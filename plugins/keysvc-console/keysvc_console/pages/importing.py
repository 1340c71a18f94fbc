"""Files of Enterprise SSO: first what they would change, then the change."""

from __future__ import annotations

import secrets

from starlette.datastructures import UploadFile

from keysvc.errors import InvalidInput
from keysvc.web.master.messages import DifferenceEntry, ImportRequest, ImportSource
from keysvc_console.calls import Answer, Call, Equivalent, Go, Page, Place

MAXIMUM_BYTES = 1_400_000
"""Of all files: their request to the master secret server may have two million, and says them in Base64."""
COMMANDS = [
    Equivalent("Dry run", "keysvc import-entsso DIR --dry-run", 'POST /v1/imports {"dry_run": true, …}'),
    Equivalent("Import", "keysvc import-entsso DIR --enable", 'POST /v1/imports {"dry_run": false, …}'),
    Equivalent("Export", "keysvc export-entsso DIR", ""),
]


def ask(_call: Call) -> Page:
    """Which files?"""
    return Page("import.html", "Import from Enterprise SSO", {"planned": None}, COMMANDS)


def run(call: Call) -> Answer:
    """A dry run shows what would change, and keeps the files; the import is of just those."""
    if call.given("step") == "import":
        return _import(call)
    files, enable = _files(call), call.given("enable") == "yes"
    planned = call.reach.master.import_files(ImportRequest(files, enable, dry_run=True))
    seen = secrets.token_urlsafe(16)
    call.session.kept = seen, ImportRequest(files, enable, dry_run=False)
    values = {"planned": planned, "groups": grouped(planned.differences), "enable": enable, "seen": seen}
    return Page("import.html", "Import from Enterprise SSO", values, COMMANDS)


def _import(call: Call) -> Go:
    seen, asked = call.session.kept or ("", None)
    if not isinstance(asked, ImportRequest) or seen != call.given("seen"):
        raise InvalidInput("the dry run is gone", hint="choose the files again, and look at what they would change")
    done = call.reach.master.import_files(asked).files
    call.session.kept = None
    for each in done:
        counts = f"{each.created} created, {each.updated} updated, {each.unchanged} unchanged, {each.deleted} deleted"
        call.session.note(f"{each.name}: {counts}.")
    call.session.note("Imported. Enterprise SSO exports no credentials: bring them by keysvc credential import.")
    return Go("/import")


def grouped(differences: tuple[DifferenceEntry, ...]) -> list[tuple[str, str, list[DifferenceEntry]]]:
    """By what they are about, in their order."""
    groups: dict[tuple[str, str], list[DifferenceEntry]] = {}
    for each in differences:
        groups.setdefault((each.what, each.subject), []).append(each)
    return [(what, subject, lines) for (what, subject), lines in groups.items()]


def _files(call: Call) -> tuple[ImportSource, ...]:
    found: list[ImportSource] = []
    for part, deletes in (("files", False), ("deletes", True)):
        uploads = [each for each in call.form.getlist(part) if isinstance(each, UploadFile)]
        found += [ImportSource(each.filename[-256:], each.file.read(), deletes) for each in uploads if each.filename]
    if not found:
        raise InvalidInput("there is no file", hint="choose the files that Enterprise SSO exported")
    if sum(len(each.content) for each in found) > MAXIMUM_BYTES:
        raise InvalidInput(
            f"the files have more than {MAXIMUM_BYTES:,} bytes", hint="import them by keysvc import-entsso DIR"
        )
    return tuple(found)


PLACES = (Place("/import", "Import", "Single sign-on", lambda rights: rights.administers),)
ROUTES = (("/import", ask, False), ("/import", run, True))
