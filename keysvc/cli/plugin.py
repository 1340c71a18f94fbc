"""keysvc plugin"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keysvc.cli.authoring.project import Kind
from keysvc.cli.output import print_json, print_table
from keysvc.cli.prompts import passphrase
from keysvc.cli.shared import JsonOption, without_secret
from keysvc.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from keysvc.model import SecretText
    from keysvc.plugin.loading import PluginReport, Registry
    from keysvc.testing.check import Promise

app = typer.Typer(rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A word; it becomes the URL scheme too.")]
KindOption = Annotated[Kind, typer.Option("--kind", help="What it is to be.")]
WhichKindOption = Annotated[Kind | None, typer.Option("--kind", help="Where a scheme is of several kinds.")]
DirOption = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="A new or an empty directory; keysvc-NAME unless given.")
]
URLArgument = Annotated[
    str,
    typer.Argument(
        metavar="URL", callback=without_secret, help="Of a key store, a mapping store, a notifier or an authorizer."
    ),
]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the plugins that are installed, and what is wrong with those that do not work.

    \b
    keysvc plugin list
    keysvc plugin list --json
    """
    from keysvc.installation.assembly import allowed_plugins

    found = allowed_plugins().reports
    if as_json:
        print_json(found)
        return
    print_table(
        ("plugin", "distribution", "version", "kinds", "URL schemes", "health"),
        [
            (r.name, r.distribution, r.version, ", ".join(r.kinds), ", ".join(f"{s}:" for s in r.schemes), health(r))
            for r in found
        ],
        empty="none: keysvc itself is not installed properly",
    )


def health(report: PluginReport) -> str:
    """In one line: `ok`, or what is wrong and what to do."""
    return f"{report.problem}; {report.hint}" if report.problem else "ok"


@app.command()
def new(name: NameArgument, kind: KindOption, directory: DirOption = None) -> None:
    """Write a whole project for a plugin that works as it stands, with its tests.

    \b
    keysvc plugin new memo --kind key-store
    keysvc plugin new memo --kind notifier --dir .
    """
    from keysvc.cli.authoring import project
    from keysvc.installation.assembly import allowed_plugins

    taken = [report.distribution for report in allowed_plugins().reports if name in {report.name, *report.schemes}]
    if taken:
        raise InvalidInput(f"{taken[0]} has a plugin {name} already", hint="choose another name")
    made = project.write(name, kind, directory)
    typer.echo(f"{made.directory}:")
    for file in made.files:
        typer.echo(f"  {file}")
    demo = f"\n  keysvc demo {made.option} '{made.url}'" if made.option else ""
    typer.echo(
        f"Next, in that directory:\n  python -m pytest\n  pip install -e .\n  keysvc plugin list\n"
        f"  keysvc plugin check '{made.url}'{demo}"
    )


@app.command()
def check(url: URLArgument, kind: WhichKindOption = None, as_json: JsonOption = False) -> None:
    """Check on this machine whether what a URL names keeps its promises; it may be in use.

    Runs the quick part of the conformance suite. A key store gets versions from 4,000,000,000 on, of a system of their
    own, a mapping store an application keysvc-plugin-check-…: both are removed again. An empty database gets keysvc's
    tables, and keeps them. A notifier gets four events notifier.test. Needs keysvc[testing].

    \b
    keysvc plugin check 'pkcs11:token=prod;object=keysvc?module-path=/usr/lib/softhsm/libsofthsm2.so'
    keysvc plugin check sqlite:////tmp/new.db
    """
    try:
        from keysvc.testing import check as checking
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed", hint="pip install 'keysvc[testing]'") from None
    registry = _registry_of(url, kind)
    asked: dict[str, SecretText] = {}
    out = sys.stdout  # pytest has its own meanwhile

    def prompt(what: str) -> SecretText:
        if what not in asked:
            asked[what] = passphrase(what, None, variable="KEYSVC_KEY_STORE_PASSPHRASE")
        return asked[what]

    def tell(promise: Promise) -> None:
        why = f": {promise.why}" if promise.why else ""
        typer.echo(f"{promise.outcome:<8} {promise.text}{why}", file=out)

    promises = checking.run(
        registry.kind,
        lambda system_id: registry.open(url, prompt, system_id),
        (lambda _promise: None) if as_json else tell,
    )
    broken = [promise for promise in promises if promise.outcome == "broken"]
    if as_json:
        print_json(promises)
    else:
        article = "an" if registry.kind.startswith("a") else "a"
        typer.echo(f"{len(promises)} promises of {article} {registry.kind}, {len(broken)} broken")
    if broken or not promises:
        raise typer.Exit(1)


def _registry_of(url: str, kind: Kind | None) -> Registry[Any]:
    """The only kind of part that opens this URL, or the one that was asked for."""
    from keysvc.installation.assembly import allowed_plugins
    from keysvc.plugin.location import Location

    scheme = Location.parse(url).scheme
    found = [
        registry
        for registry in allowed_plugins().registries
        if kind in {None, registry.kind.replace(" ", "-")}
        and {scheme, scheme.partition("+")[0]} & registry.registrations.keys()
    ]
    if len(found) > 1:
        kinds = " or ".join(registry.kind.replace(" ", "-") for registry in found)
        raise InvalidInput(f"{scheme}: is of several kinds", hint=f"give --kind {kinds}")
    return found[0] if found else next(iter(allowed_plugins().registries))
