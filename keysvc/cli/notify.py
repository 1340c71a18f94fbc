"""keysvc notify"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import ago, print_json, print_table
from keysvc.cli.shared import ConfigOption, JsonOption, administration, load

if TYPE_CHECKING:
    from keysvc.errors import KeysvcError
    from keysvc.installation.config import Config, NotifierSettings

app = typer.Typer(rich_markup_mode=None)
MANY = 1000
NotifierOption = Annotated[str, typer.Option("--notifier", metavar="NAME", help="Only this notifier.")]


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the notifiers, and the events that they refused or did not accept for long.

    \b
    keysvc notify list
    """
    settings = load(config)
    store = administration(config, changing=False).store
    pending = {each.shown: len(store.events(MANY, pending_for=each.shown)) for each in settings.notifier_settings}
    parked = store.parked_events(MANY)
    if as_json:
        notifiers = [
            {
                "name": each.shown,
                "events": each.events,
                "severity": each.severity,
                "pending": pending[each.shown],
                "parked": sum(letter.notifier == each.shown for letter in parked),
            }
            for each in settings.notifier_settings
        ]
        print_json({"notifiers": notifiers, "parked": parked})
        return
    print_table(
        ("notifier", "events", "from severity", "pending", "parked"),
        [
            (
                each.shown,
                " ".join(each.events),
                each.severity,
                pending[each.shown],
                sum(letter.notifier == each.shown for letter in parked),
            )
            for each in settings.notifier_settings
        ],
        empty=f"no notifier: name one in {settings.path}",
    )
    if parked:
        typer.echo()
        print_table(
            ("event id", "kind", "happened", "notifier", "why it was not accepted"),
            [(p.event.event_id, p.event.kind, ago(p.event.at), p.notifier, p.reason) for p in parked],
            empty="",
        )
        typer.echo("offer them again: keysvc notify retry --all", err=True)


@app.command()
def retry(
    event_id: Annotated[str, typer.Argument(metavar="[EVENT_ID]", help="As `keysvc notify list` shows it.")] = "",
    config: ConfigOption = None,
    notifier: NotifierOption = "",
    every: Annotated[bool, typer.Option("--all", help="Every parked event.")] = False,
) -> None:
    """Offer parked events to their notifiers again.

    \b
    keysvc notify retry --all
    """
    from keysvc.errors import InvalidInput
    from keysvc.master.notifier_states import parked_as_named
    from keysvc.plugin.changes import UNGUARDED

    if every == bool(event_id):
        raise InvalidInput("name an event, or all of them", hint="keysvc notify retry EVENT_ID, or --all")
    store = administration(config).store
    wanted = parked_as_named(store, event_id, notifier)
    store.commit(wanted, UNGUARDED)
    typer.echo(f"{len(wanted)} offered again; the master secret server delivers them")


@app.command("test")
def deliver_test(config: ConfigOption = None, notifier: NotifierOption = "", as_json: JsonOption = False) -> None:
    """Deliver a test event from here, now, past the outbox and past every filter.

    \b
    keysvc notify test --notifier pager
    """
    from keysvc.errors import NotFound
    from keysvc.plugin.logs import log_to_stderr

    log_to_stderr()  # which is where the notifier log: writes
    settings = load(config)
    wanted = [each for each in settings.notifier_settings if notifier in {"", each.shown}]
    if not wanted:
        raise NotFound(f"there is no notifier {notifier}", hint="keysvc notify list")
    problems = {each.shown: _problem(settings, each) for each in wanted}
    told = [(name, problem is None, str(problem or "")) for name, problem in problems.items()]
    if as_json:
        print_json([dict(zip(("name", "accepted", "problem"), each, strict=True)) for each in told])
    else:
        print_table(("notifier", "accepted", "why not"), told, empty="")
    for problem in problems.values():
        if problem is not None:
            raise problem


def _problem(settings: Config, notifier: NotifierSettings) -> KeysvcError | None:
    import contextlib

    from keysvc.errors import KeysvcError, NotifierRefused
    from keysvc.installation.assembly import open_notifier
    from keysvc.master.events import EventKind, event

    try:
        with contextlib.closing(open_notifier(settings, notifier.url)) as opened:
            opened.deliver(event(EventKind.NOTIFIER_TEST, subject=notifier.shown).event)
    except KeysvcError as error:
        return error
    except Exception as error:  # noqa: BLE001  its text could hold a secret
        return NotifierRefused(f"the notifier failed: {type(error).__name__}")
    return None
