"""keysvc status, keysvc doctor"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keysvc.cli import rotation
from keysvc.cli.output import ago, print_json, print_table, warn
from keysvc.cli.shared import ConfigOption, JsonOption, load

if TYPE_CHECKING:
    from keysvc.installation.config import Config
    from keysvc.master.protectors import ProtectorStatus
    from keysvc.master.status import SystemStatus, VersionStatus


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(doctor)


def status(
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how everything is.

    State, versions, lease, SSO servers, rotation and backup. Exit status 1 when no master secret server is active.

    \b
    keysvc status
    keysvc status --json | jq .state
    """
    settings = load(config)
    while True:
        found = read(settings)
        if watch:
            typer.echo("\033[2J\033[H", nl=False)
        if as_json:
            print_json(as_contract(found))
        else:
            show(found)
        if not watch and found.master is None:
            raise typer.Exit(1)
        if not watch:
            return
        time.sleep(1)


def read(config: Config) -> SystemStatus:
    """From the master secret server, which knows most; without it, from the mapping store."""
    from keysvc.errors import MasterSecretServerUnavailable
    from keysvc.installation import assembly
    from keysvc.master.status import system_status

    client = assembly.master_client(config, patient=False)
    try:
        return client.status()
    except MasterSecretServerUnavailable as error:
        store = assembly.open_mapping_store(config)
        try:
            return system_status(store, config.polling, [str(error)])
        finally:
            store.close()
    finally:
        client.close()


def as_contract(found: SystemStatus) -> dict[str, Any]:
    """The JSON that the command contract names."""
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(found)
    if plain["rotation"] is not None:
        plain["rotation"]["from"] = plain["rotation"].pop("from_version")
    return plain


def show(found: SystemStatus) -> None:
    """For people."""
    typer.echo(f"state    {found.state}")
    typer.echo(f"system   {found.system_id or 'none yet'}")
    typer.echo(f"master   {found.master or 'none holds the lease'}, epoch {found.epoch}")
    made = (
        f"{ago(found.backup.created_at)}, versions {', '.join(map(str, found.backup.versions))}"
        if found.backup
        else "none"
    )
    typer.echo(f"backup   {made}")
    if found.rotation is not None:
        typer.echo(f"rotation {rotation.line(found.rotation)}")
    if found.next_rotation_at is not None:
        typer.echo(f"next     a rotation on {found.next_rotation_at:%Y-%m-%d %H:%M} UTC")
    typer.echo()
    print_table(
        ("version", "state", "created", "credentials"),
        version_rows(found),
        empty="no versions",
    )
    print_table(
        ("SSO server", "version", "last seen", "may encrypt"),
        [(s.name, s.version, ago(s.last_seen_at), s.can_encrypt) for s in found.servers],
        empty="no SSO server has polled yet: keysvc server enroll NAME",
    )
    show_protectors(found)
    if found.standbys:
        show_standbys(found)
    for problem in found.problems:
        warn(problem)
    for warning in found.warnings:
        warn(warning)


def version_rows(found: SystemStatus) -> list[tuple[object, ...]]:
    """What a table of versions shows."""
    return [(v.version, _state(v), ago(v.created_at), v.rows) for v in found.versions]


def _state(version: VersionStatus) -> str:
    return f"{version.state.value}{', compromised' if version.compromised_at else ''}"


def show_standbys(found: SystemStatus) -> None:
    """Who would take over."""
    print_table(
        ("standby", "at", "version", "last seen", "ready"),
        [(s.name, s.url, s.version, ago(s.last_seen_at), "yes" if s.ready else s.problem) for s in found.standbys],
        empty="no standby: keysvc server enroll NAME --role master",
    )


def show_protectors(found: SystemStatus) -> None:
    """Which protector opened which version, and when that was proved."""
    print_table(
        ("protector", "root", "opens versions", "proved"),
        [(p.url.partition("?")[0], p.root, _opened(p), ago(p.proved_at)) for p in found.protectors],
        empty="protectors: proved by a running master secret server, or by keysvc doctor on its machine",
    )


def _opened(protector: ProtectorStatus) -> str:
    if protector.with_shares:
        return f"{', '.join(map(str, protector.with_shares))} with shares, not proved"
    return ", ".join(map(str, protector.opens)) or "none"


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check this installation; say how to repair it.

    Exit status 1 when something is wrong.

    \b
    keysvc doctor
    """
    from keysvc.installation import config as configuration
    from keysvc.installation.doctor import examine

    findings = examine(configuration.load(config))
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.what}{'' if finding.ok else f'; {finding.hint}'}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
