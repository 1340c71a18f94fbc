"""keysvc secret rotate, pause, resume, throttle, verify"""

from __future__ import annotations

import sys
import time
from collections import abc
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.output import duration, print_json, print_table, progress, warn
from keysvc.cli.shared import ConfigOption, JsonOption, administrator, load, open_store

if TYPE_CHECKING:
    from keysvc.master.status import RotationStatus, SystemStatus
    from keysvc.master.verification import Verification
    from keysvc.web.master.client import MasterClient

RateOption = Annotated[
    int | None,
    typer.Option("--max-rows-per-second", metavar="N", min=0, max=10**9, help="Until changed again; 0: no limit."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (rotate, pause, resume, throttle, verify):
        app.command()(command)


def rotate(
    config: ConfigOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until every credential is under the new version.")] = False,
    compromised: Annotated[
        int | None,
        typer.Option(
            metavar="VERSION", min=1, max=2**31 - 1, help="Others know it: its credentials first, then destroy it."
        ),
    ] = None,
    max_rows_per_second: RateOption = None,
) -> None:
    """Generate a new version, let every SSO server fetch it, make it active, re-encrypt every credential.

    One may begin before the last has finished. With --compromised, what is under that version is re-encrypted first.
    The version is destroyed as soon as no credential is under it and a backup holds the active version.

    \b
    keysvc secret rotate --wait
    keysvc secret rotate --compromised 3
    """
    with administrator(load(config)) as client:
        if max_rows_per_second is not None:
            client.change_rotation(max_rows_per_second=max_rows_per_second)
        begun = client.rotate(compromised)
        if begun.state == "announced":
            typer.echo(f"version {begun.version} is announced; it becomes active when every live SSO server holds it")
        else:
            typer.echo(f"what is under version {compromised} is re-encrypted under version {begun.version} first")
        found = client.status()
        if found.rotation is not None and found.rotation.phase == "paused":
            warn("rotations are paused: keysvc secret resume")
        if wait:
            found = _wait_for(client, begun.version)
            typer.echo(f"version {begun.version} is active, and every credential is under it")
        if compromised is not None:
            warn(f"whoever knows version {compromised} may have read what was under it: change those passwords too")
        if wait and (found.backup is None or begun.version not in found.backup.versions):
            warn("make a new backup: keysvc secret backup FILE")


def pause(config: ConfigOption = None) -> None:
    """Pause rotations, the present one and later ones, until they are resumed.

    \b
    keysvc secret pause
    """
    with administrator(load(config)) as client:
        client.change_rotation(paused=True)
    typer.echo("rotations are paused: keysvc secret resume")


def resume(config: ConfigOption = None) -> None:
    """Resume rotations.

    \b
    keysvc secret resume
    """
    with administrator(load(config)) as client:
        client.change_rotation(paused=False)
    typer.echo("rotations go on")


def throttle(
    config: ConfigOption = None,
    max_rows_per_second: Annotated[
        int, typer.Option("--max-rows-per-second", metavar="N", min=0, max=10**9, help="0: no limit.")
    ] = 0,
) -> None:
    """Limit how fast credentials are re-encrypted, at once and until changed again.

    \b
    keysvc secret throttle --max-rows-per-second 500
    """
    with administrator(load(config)) as client:
        client.change_rotation(max_rows_per_second=max_rows_per_second)
    limit = f"at most {max_rows_per_second:,} a second" if max_rows_per_second else "as fast as possible"
    typer.echo(f"credentials are re-encrypted {limit}")


def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Decrypt every credential, on this machine, and count them by version. Changes nothing.

    Exit status 1 when any does not decrypt; it is named, without what it holds.

    \b
    keysvc secret verify
    keysvc secret verify --json | jq .undecryptable
    """
    settings = load(config)
    from keysvc.master.verification import verify as verifying

    store = open_store(settings)
    with administrator(settings) as client:
        total = sum(store.rows_by_version().values())
        with progress("decrypting", total) as show:
            found = verifying(store, settings.system_id, client.every_version, show)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found.undecryptable_rows:
        from keysvc.errors import CannotDecrypt

        raise CannotDecrypt(f"{found.undecryptable_rows:,} of {found.rows:,} credentials do not decrypt")


def _show(found: Verification) -> None:
    print_table(
        ("version", "credentials", "do not decrypt"),
        [(v.version, v.rows, v.undecryptable) for v in found.versions],
        empty="no credentials",
    )
    for row in found.undecryptable:
        typer.echo(f"does not decrypt: {row.user} for {row.application}, version {row.version}")
    if not found.undecryptable_rows:
        typer.echo(f"all {found.rows:,} credentials decrypt; it took {found.seconds} s")


def line(r: RotationStatus) -> str:
    """A rotation in one line, for people."""
    parts = [f"{r.from_version} → {r.to}", r.phase, f"{r.done:,} of {r.total:,} credentials"]
    if r.waiting_for:
        parts.append(f"waiting for {', '.join(r.waiting_for)}")
    if r.rows_per_second is not None and r.remaining_seconds is not None:
        parts += [f"{r.rows_per_second:,}/s", f"{duration(r.remaining_seconds)} left"]
    if r.max_rows_per_second is not None:
        parts.append(f"at most {r.max_rows_per_second:,}/s")
    return ", ".join(parts)


def _wait_for(client: MasterClient, version: int) -> SystemStatus:
    """Asks no oftener than is light for the mapping store, which counts its rows each time."""
    said: tuple[object, ...] = ()
    try:
        with progress("rotating", 0) as show:
            for found in _statuses(client):
                if found.rotation is None and (found.active_version or 0) >= version:
                    return found
                if found.rotation is not None:
                    r = found.rotation
                    show(r.done, r.total, f"version {r.to}, {_said(r)}")
                    step = (r.phase, r.waiting_for, 10 * r.done // max(r.total, 1))
                    if step != said and not sys.stderr.isatty():
                        typer.echo(f"rotation {line(r)}", err=True)
                    said = step
    except KeyboardInterrupt:
        warn(f"the rotation to version {version} continues without this command: keysvc status --watch")
        raise
    raise AssertionError  # statuses never end


def _said(r: RotationStatus) -> str:
    if r.phase == "announced" and r.waiting_for:
        return f"waiting for {', '.join(r.waiting_for)}"
    if r.remaining_seconds is None:
        return r.phase
    return f"{r.rows_per_second:,}/s, {duration(r.remaining_seconds)} left"


def _statuses(client: MasterClient) -> abc.Iterator[SystemStatus]:
    from keysvc.errors import MasterSecretServerUnavailable

    while True:
        asked = time.monotonic()
        try:
            yield client.status()
        except MasterSecretServerUnavailable:
            time.sleep(1)
        time.sleep(max(0.3, 10 * (time.monotonic() - asked)))
