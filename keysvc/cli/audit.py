"""keysvc audit"""

from __future__ import annotations

import heapq
from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration, load
from keysvc.errors import AuditBroken, InvalidInput

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.master.audit_trails import Checkpoint, Verified
    from keysvc.model import AuditEntry, AuditTrail
    from keysvc.plugin.audit_chain import AuditKeys
    from keysvc.plugin.interfaces import MappingStore

app = typer.Typer(rich_markup_mode=None)
TrailOption = Annotated[
    str | None,
    typer.Option(metavar="TRAIL", help="Only changes, deleted-applications, deleted-mappings, lookups or members."),
]
AfterOption = Annotated[int, typer.Option(metavar="SEQUENCE", help="Only what came later; with --trail.")]


@app.command("list")
def list_(
    config: ConfigOption = None, trail: TrailOption = None, after: AfterOption = 0, as_json: JsonOption = False
) -> None:
    """List the audit, oldest first.

    \b
    keysvc audit list --trail changes --after 100
    """
    store = administration(config, changing=False).store
    found = list(_entries(store, _trails(trail, after), after))
    if as_json:
        print_json([_plain(entry) for entry in found])
        return
    print_table(
        ("trail", "sequence", "at", "who", "from", "what", "on", "result"),
        [
            (e.trail.value, e.sequence, f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.origin, e.action, e.subject, e.result)
            for e in found
        ],
        empty="nothing yet",
    )


@app.command()
def export(config: ConfigOption = None, trail: TrailOption = None, after: AfterOption = 0) -> None:
    """Write the audit as JSON lines, oldest first, and after it where each trail ends.

    Keep it somewhere else: `keysvc audit verify --against FILE` proves that the trails still continue from there.

    \b
    keysvc audit export > /media/archive/audit-2026-11.jsonl
    keysvc audit export --trail changes --after 100
    """
    import msgspec

    store = administration(config, changing=False).store
    chosen = _trails(trail, after)
    heads = [head for head in store.audit_heads() if head.trail in chosen]
    for entry in _entries(store, chosen, after):
        typer.echo(msgspec.json.encode(_plain(entry)))
    for head in heads:
        end = {"trail": head.trail, "end": head.sequence, "link": head.link.hex(), "version": head.sealed_version}
        typer.echo(msgspec.json.encode(end))


@app.command()
def verify(
    config: ConfigOption = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `keysvc audit export` wrote earlier.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find entries that were removed, changed, reordered or added by somebody else. Status 1 when there are any.

    It needs the master secret: from the key store where this configuration names one, else from the master secret
    server.

    \b
    keysvc audit verify
    keysvc audit verify --against /media/archive/audit-2026-11.jsonl
    """
    from keysvc.master import audit_trails
    from keysvc.model import AuditTrail

    known = _marks(against) if against is not None else {}
    settings = load(config)
    store = administration(config, changing=False).store
    keys = _keys(settings, store)
    found = [audit_trails.verify(store, trail, keys, known.get(trail)) for trail in AuditTrail]
    if as_json:
        print_json(
            [{"trail": f.trail, "entries": f.entries, "unsealed": f.unsealed, "problems": f.problems} for f in found]
        )
    else:
        for each in found:
            _show(each)
    if broken := [each.trail.value for each in found if each.problems]:
        raise AuditBroken(f"not proved: the audit trail {', '.join(broken)}")


@app.command()
def accept(
    trail: Annotated[str, typer.Argument(metavar="TRAIL")],
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Accept a trail that was found broken, from its end on. What is before stays, and is proved no more.

    Only where the key store is, while the master secret server is stopped.

    \b
    keysvc audit accept changes
    """
    from keysvc.master import audit_trails
    from keysvc.master.term import hold

    chosen = _trails(trail, 0)[0]
    settings = load(config)
    found = administration(config)
    if not yes:
        typer.confirm(f"Give up the proof of what the trail {trail} holds until now?", abort=True)
    keys = _keys_of_key_store(settings, found.store)
    with hold(found.store) as term:
        audit_trails.accept(term, chosen, keys, found.actor)
    typer.echo(f"the trail {trail} is proved from now on")


@app.command()
def level(
    config: ConfigOption = None,
    positive: Annotated[int | None, typer.Option(min=0, max=3, help="Look-ups that succeeded.")] = None,
    negative: Annotated[int | None, typer.Option(min=0, max=3, help="Look-ups that failed.")] = None,
) -> None:
    """Show or set which look-ups are recorded. Changes always are.

    Succeeded: 0 none, 1 by external user or ticket, 2 all that asked the mapping store, 3 also those from memory.
    Failed: 0 none, 1 refused, 2 also what is not there, 3 any.

    \b
    keysvc audit level --positive 2 --negative 2
    """
    found = administration(config, changing=positive is not None or negative is not None)
    settings = found.audit_levels(positive, negative)
    typer.echo(f"positive {settings.audit_positive_level}, negative {settings.audit_negative_level}")


def _show(found: Verified) -> None:
    unsealed = f", {found.unsealed} not sealed yet" if found.unsealed else ""
    typer.echo(f"{found.trail.value:<22}{found.entries} entries{unsealed}: {'BROKEN' if found.problems else 'whole'}")
    for problem in found.problems[:20]:
        typer.echo(f"  {problem}")
    if len(found.problems) > 20:
        typer.echo(f"  and {len(found.problems) - 20} more: --json")


def _trails(name: str | None, after: int) -> list[AuditTrail]:
    from keysvc.model import AuditTrail

    if name is None and after:
        raise InvalidInput("each trail has its own numbers: --after needs --trail", hint="--trail changes")
    if name is not None and name not in set(AuditTrail):
        raise InvalidInput(f"there is no trail {name}", hint=f"one of {', '.join(AuditTrail)}")
    return [AuditTrail(name)] if name else list(AuditTrail)


def _entries(store: MappingStore, trails: abc.Iterable[AuditTrail], after: int) -> abc.Iterator[AuditEntry]:
    from keysvc.plugin.paging import audit_entries

    return heapq.merge(*(audit_entries(store, trail, after) for trail in trails), key=lambda entry: entry.at)


def _plain(entry: AuditEntry) -> dict[str, object]:
    return {
        "trail": entry.trail,
        "sequence": entry.sequence,
        "at": entry.at,
        "actor": entry.actor,
        "origin": entry.origin,
        "action": entry.action,
        "subject": entry.subject,
        "result": entry.result,
        "detail": entry.detail,
        "link": entry.link.hex(),
    }


def _marks(path: Path) -> dict[AuditTrail, Checkpoint]:
    """Where each trail ended when it was exported."""
    import msgspec

    from keysvc.cli.shared import as_text, read_file
    from keysvc.crypto.unreadable import UNREADABLE
    from keysvc.master.audit_trails import Checkpoint
    from keysvc.model import AuditTrail

    content, source = read_file(path)
    text = as_text(content, source)
    marks: dict[AuditTrail, Checkpoint] = {}
    try:
        for line in text.splitlines():
            read = msgspec.json.decode(line)
            if "end" in read:
                marks[AuditTrail(read["trail"])] = Checkpoint(int(read["end"]), bytes.fromhex(read["link"]))
    except (*UNREADABLE, ValueError, KeyError, TypeError):
        raise InvalidInput(f"{source} is not what keysvc audit export writes") from None
    if not marks:
        raise InvalidInput(f"{source} does not say where the trails ended", hint="its last lines are missing")
    return marks


def _keys(settings: Config, store: MappingStore) -> AuditKeys:
    if settings.key_store is not None:
        return _keys_of_key_store(settings, store)
    from keysvc.crypto.audit import audit_keys
    from keysvc.errors import MasterSecretServerUnavailable
    from keysvc.installation import assembly
    from keysvc.model import MasterSecret

    client = assembly.master_client(settings)
    try:
        answer = client.poll((), None)
        if answer is None:
            raise MasterSecretServerUnavailable("the master secret server names no version")
        secrets = [MasterSecret(r.version, r.created_at, client.fetch(r.version)) for r in answer.versions]
        client.leave()
    finally:
        client.close()
    return audit_keys(secrets, settings.system_id)


def _keys_of_key_store(settings: Config, store: MappingStore) -> AuditKeys:
    from keysvc.cli.prompts import key_store_prompt
    from keysvc.crypto.audit import audit_keys
    from keysvc.installation import assembly

    key_store = assembly.open_key_store(settings, key_store_prompt(settings))
    try:
        secrets = [(record, key_store.unseal(record.version)) for record in store.versions().live]
    finally:
        key_store.close()
    return audit_keys((secret for record, secret in secrets if record.describes(secret)), settings.system_id)
