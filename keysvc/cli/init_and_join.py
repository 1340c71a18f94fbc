"""keysvc init, keysvc join"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli.prompts import key_store_prompt, passphrase
from keysvc.cli.shared import (
    PassphraseFileOption,
    as_text,
    open_store,
    read_file,
    with_the_stores_rights,
    without_secret,
)
from keysvc.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from keysvc.installation.init_and_join import InitResult
    from keysvc.model import SecretText
    from keysvc.web.asgi.messages import JoinAnswer

DirOption = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where everything is kept.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(join)


Settings = dict[str, str | tuple[str, ...]]
AdvertiseOption = Annotated[
    str | None, typer.Option(metavar="URL", help="How others reach this machine, when it listens on every address.")
]
KeyStoreOption = Annotated[
    str | None, typer.Option(metavar="URL", callback=without_secret, help="Default: file:// under DIR.")
]
MappingStoreOption = Annotated[
    str | None, typer.Option(metavar="URL", callback=without_secret, help="Default: sqlite:/// under DIR.")
]
NamesOption = Annotated[
    str, typer.Option(metavar="folded|exact", help="Whether Anna and anna are one name; folded is for good.")
]


def init(
    directory: DirOption,
    key_store: KeyStoreOption = None,
    mapping_store: MappingStoreOption = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:7443",
    backup: Annotated[Path | None, typer.Option(metavar="FILE", help="Back the master secret up at once.")] = None,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Do not ask for a backup now.")] = False,
    advertise: AdvertiseOption = None,
    poll_interval: Annotated[str, typer.Option(metavar="DURATION")] = "30s",
    lease_ttl: Annotated[str, typer.Option(metavar="DURATION")] = "15s",
    authority: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your own certificate authority: certificate.pem and key.pem.")
    ] = None,
    names: NamesOption = "folded",
    passphrase_file: PassphraseFileOption = None,
    allow_extractable_kek: Annotated[
        bool, typer.Option("--allow-extractable-kek", help="Take a KEK of your own that could leave its HSM.")
    ] = False,
) -> None:
    """Configure a new system.

    Generates its master secret, and keeps all that it makes under DIR.

    \b
    keysvc init --dir /var/lib/keysvc --backup /media/usb/keysvc-backup.age
    keysvc init --dir ./try --no-backup
    """
    from keysvc.cli.output import warn
    from keysvc.installation import init_and_join
    from keysvc.master.status import BACKUP_HINT, NO_BACKUP
    from keysvc.model import NameRule

    if allow_extractable_kek:
        key_store = _allow_extractable(key_store)
    if backup is not None and no_backup:
        raise typer.BadParameter("--backup and --no-backup exclude each other")
    if names not in list(NameRule):
        raise typer.BadParameter("--names is folded or exact")
    _require_free(backup)
    secret_of_backup = passphrase("passphrase of the backup", passphrase_file, new=True) if backup else None

    def prompt(what: str) -> object:
        from keysvc.installation import config as configuration

        return key_store_prompt(configuration.load(directory / configuration.FILE_NAME))(what)

    called = advertise or _ask_what_others_call_it(listen)
    wishes = init_and_join.InitOptions(
        key_store, mapping_store, listen, poll_interval, lease_ttl, authority, called, NameRule(names)
    )
    made = init_and_join.install(directory, wishes, prompt)  # type: ignore[arg-type]
    config = made.config
    typer.echo(f"system {config.system_id} is configured: version 1 of its master secret is sealed and read back")
    typer.echo(f"sealed under: {made.root}")
    actor = with_the_stores_rights(config)
    if backup is not None and secret_of_backup is not None:
        _back_up(made, backup, secret_of_backup, actor)
    elif not no_backup:
        warn(f"{NO_BACKUP}; {BACKUP_HINT}")
    typer.echo(f"next: keysvc --config {config.path} serve")


def _ask_what_others_call_it(listen: str) -> str | None:
    """The URL that is typed, where this machine listens beyond loopback; None where nobody can be asked."""
    from keysvc.installation import config as configuration

    host, port = configuration.host_and_port("listen", listen)
    if configuration.is_loopback(host) or not sys.stdin.isatty():
        return None
    usual = None
    with contextlib.suppress(ConfigurationError):  # it calls itself localhost
        usual = configuration.url_of(listen)
    answer: str = typer.prompt("What others call this machine: a name or a URL", default=usual, err=True)
    return answer if "://" in answer else f"https://{answer}:{port}"


def _allow_extractable(key_store: str | None) -> str:
    if key_store is None:
        raise typer.BadParameter("--allow-extractable-kek is about the KEK of a pkcs11: --key-store")
    return f"{key_store}{'&' if '?' in key_store else '?'}allow-extractable-kek=yes"


def _require_free(backup: Path | None) -> None:
    from keysvc.master.backup import require_free

    if backup is not None:
        require_free(backup)


def _back_up(made: InitResult, backup: Path, secret: SecretText, actor: str) -> None:
    from keysvc.master import backup as backups
    from keysvc.master.term import hold

    store = open_store(made.config)
    with hold(store) as term:
        record = backups.write_and_prove(backup, [made.secret], made.config.system_id, secret)
        backups.record(term, record, actor)
    typer.echo(f"the backup {backup.absolute()} is written and proved")


def _read_token(file: Path | None, argument: str | None) -> str:
    """Raises InvalidInput, which never shows what was given."""
    if argument not in (None, "-"):
        raise InvalidInput(
            "a token is a secret, and every account of this machine can read the arguments of a command",
            hint="make a new one, and give --token-file FILE, or --token-file - with it on standard input",
        )
    if argument == "-" or str(file) == "-":
        return as_text(sys.stdin.buffer.readline(1024), "standard input")
    if file is None:
        raise typer.BadParameter("--token-file FILE is needed, or --token-file -")
    return as_text(*read_file(file))


def join(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the master secret server: https://HOST:PORT.")],
    directory: DirOption,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `keysvc server enroll` printed; `-` reads it from stdin.")
    ] = None,
    token: Annotated[str | None, typer.Option(hidden=True, metavar="-", help="As --token-file -.")] = None,
    mapping_store: Annotated[
        str | None, typer.Option(metavar="URL", callback=without_secret, help="When it is another from here.")
    ] = None,
    agent: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where this machine's agent is.")] = "127.0.0.1:7444",
    key_store: Annotated[
        str | None, typer.Option(metavar="URL", callback=without_secret, help="Of a master; default: file:// in DIR.")
    ] = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where a master listens.")] = "127.0.0.1:7443",
    advertise: AdvertiseOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="DIR is configured: replace its certificate and key alone.")
    ] = False,
) -> None:
    """Enrol this machine, with a one-time token.

    As an SSO server, or whatever role the token was made for.

    \b
    keysvc join https://master:7443 --token-file token --dir /etc/keysvc
    keysvc join https://master:7443 --token-file - --dir /var/lib/keysvc --listen 0.0.0.0:7443
    """
    from keysvc.installation import config as configuration
    from keysvc.master.join_token import JoinToken
    from keysvc.plugin.safe_files import write_durably
    from keysvc.web.master import client
    from keysvc.web.tls.identity_files import IDENTITY

    path = directory.absolute() / configuration.FILE_NAME
    if again:
        _join_again(url, path, token_file, token)
        return
    if path.exists():
        hint = "give --dir a new or an empty directory; or --again, to replace its certificate"
        raise ConfigurationError(f"{path} exists", hint=hint)
    configuration.host_and_port("agent", agent)
    configuration.host_and_port("listen", listen)
    parsed = JoinToken.parse(_read_token(token_file, token))
    own_url = advertise or configuration.url_of(listen)
    answer = client.join(url, parsed, directory.absolute())
    settings: Settings = {"system_id": answer.system_id, "mapping_store": mapping_store or answer.mapping_store}
    settings["master"] = url.rstrip("/")
    follow_up = {"master": "serve", "server": "agent"}.get(answer.role, "credential get APP USER")
    if answer.role == "master":
        key_store = key_store or (directory.absolute() / "secret").as_uri()
        settings |= {"master": (own_url, url.rstrip("/")), "key_store": key_store, "listen": listen}
        settings |= _of_a_master(answer, advertise)
    else:
        settings |= {"identity": IDENTITY, "agent": agent}
    write_durably(path, configuration.dump(settings).encode())
    typer.echo(f"enrolled as {answer.name} ({answer.role}) of system {answer.system_id}")
    typer.echo(f"next: keysvc --config {path} {follow_up}")


def _of_a_master(answer: JoinAnswer, advertise: str | None) -> Settings:
    from keysvc.web.tls.identity_files import MASTER_IDENTITY

    return {
        "authority": "authority",
        "identity": MASTER_IDENTITY,
        "poll_interval": f"{answer.poll_interval_seconds:g}s",
        "lease_ttl": f"{answer.lease_ttl_seconds:g}s",
        **({"advertise": advertise} if advertise else {}),
    }


def _join_again(url: str, path: Path, token_file: Path | None, token: str | None) -> None:
    """Replace the certificate and key of a machine that is configured, and nothing else. The token must be of the same
    system, which is checked before it is spent."""
    from keysvc.installation import config as configuration
    from keysvc.master.join_token import JoinToken
    from keysvc.web.master import client

    settings = configuration.load(path)
    parsed = JoinToken.parse(_read_token(token_file, token))
    answer = client.join(url, parsed, settings.directory, settings.identity, settings.system_id)
    typer.echo(f"enrolled again as {answer.name} ({answer.role}) of system {answer.system_id}")
    typer.echo("a service that runs here takes it by itself; after --new-authority, restart it", err=True)
