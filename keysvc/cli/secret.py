"""keysvc secret"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keysvc.cli import rotation
from keysvc.cli.output import ago, print_json, print_table, warn
from keysvc.cli.prompts import key_store_prompt, passphrase, warn_of_work
from keysvc.cli.shared import (
    ConfigOption,
    JsonOption,
    PassphraseFileOption,
    administrator,
    load,
    open_store,
    require_administrator,
    with_the_stores_rights,
    without_secret,
)

if TYPE_CHECKING:
    from keysvc.installation.init_and_join import InitOptions
    from keysvc.model import SecretText
    from keysvc.plugin.interfaces import Prompt

app = typer.Typer(rich_markup_mode=None)
rotation.add_to(app)
DEFAULT_LISTEN = "127.0.0.1:7443"
FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the versions, and which protectors opened them when that was last proved.

    \b
    keysvc secret list
    """
    from keysvc.cli import status

    found = status.read(load(config))
    if as_json:
        print_json(found.versions)
    else:
        print_table(
            ("version", "state", "created", "credentials"),
            status.version_rows(found),
            empty="no versions",
        )
        status.show_protectors(found)


@app.command()
def backup(file: FileArgument, config: ConfigOption = None, passphrase_file: PassphraseFileOption = None) -> None:
    """Write every version into an age file under a passphrase, and prove that it opens. Never overwrites.

    \b
    keysvc secret backup /media/usb/keysvc-2026-11.age
    """
    settings = load(config)
    with administrator(settings) as client:
        from keysvc.master.backup import require_free, write_and_prove

        require_free(file)
        secret_of_backup = passphrase("passphrase of the backup", passphrase_file, new=True)
        secrets = client.every_version()
        made = write_and_prove(file, secrets, settings.system_id, secret_of_backup)
        client.record_backup(made)
    typer.echo(f"versions {', '.join(map(str, made.versions))} are in {file.resolve()}, written and proved")
    typer.echo(f"rehearse it now and then: keysvc secret rehearse {file.resolve()}")


@app.command()
def rehearse(
    file: FileArgument,
    config: ConfigOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that a backup opens and decrypts a sample of today's credentials. Changes nothing.

    \b
    keysvc secret rehearse /media/usb/keysvc-2026-11.age
    """
    settings = load(config)
    require_administrator(settings)
    from keysvc.crypto.backup_file import work_factor
    from keysvc.master.backup import read_file, rehearse as rehearsal

    content = read_file(file)
    warn_of_work(work_factor(content), str(file))
    store = open_store(settings)
    found = rehearsal(content, passphrase("passphrase of the backup", passphrase_file), store)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{file} opens: versions {', '.join(map(str, found.versions))}, made {ago(found.created_at)}")
    typer.echo(f"it opens {found.readable} of today's {found.rows} credentials; {found.checked} of them were decrypted")
    if found.missing:
        warn(f"it lacks versions {', '.join(map(str, found.missing))}: make a new backup: keysvc secret backup FILE")


@app.command()
def restore(
    file: FileArgument,
    config: ConfigOption = None,
    passphrase_file: PassphraseFileOption = None,
    new_authority: Annotated[
        bool, typer.Option("--new-authority", help="The first machine is lost with the certificate authority.")
    ] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="With --new-authority: where everything is kept.")
    ] = None,
    mapping_store: Annotated[
        str | None,
        typer.Option(metavar="URL", callback=without_secret, help="With --new-authority: the one that is left."),
    ] = None,
    key_store: Annotated[
        str | None,
        typer.Option(metavar="URL", callback=without_secret, help="With --new-authority; default: file:// in DIR."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="With --new-authority; default: 127.0.0.1:7443.")
    ] = None,
    advertise: Annotated[
        str | None, typer.Option(metavar="URL", help="With --new-authority: how others reach this machine.")
    ] = None,
) -> None:
    """Seal the versions of a backup into the key store, on the master secret server while it is stopped.

    With --new-authority DIR becomes the master secret server. Every certificate of the lost authority is revoked.

    \b
    keysvc secret restore /media/usb/keysvc-2026-11.age
    keysvc secret restore keysvc.age --new-authority --dir /var/lib/keysvc --mapping-store postgresql://keysvc@db/keysvc
    """
    if new_authority:
        if directory is None or mapping_store is None:
            raise typer.BadParameter("--new-authority needs --dir and --mapping-store")
        from keysvc.installation.init_and_join import InitOptions

        wishes = InitOptions(key_store, mapping_store, listen or DEFAULT_LISTEN, advertise=advertise)
        _rebuild(file, passphrase_file, directory, wishes)
        return
    if any((directory, mapping_store, key_store, listen, advertise)):
        raise typer.BadParameter(
            "--dir, --mapping-store, --key-store, --listen and --advertise belong to --new-authority"
        )
    settings = load(config)
    with_the_stores_rights(settings)
    from keysvc.crypto.backup_file import work_factor
    from keysvc.installation.assembly import open_key_store
    from keysvc.master.backup import read_file, restore as restoring

    content = read_file(file)
    warn_of_work(work_factor(content), str(file))
    store = open_store(settings)
    with contextlib.closing(open_key_store(settings, key_store_prompt(settings))) as opened:
        restored = restoring(content, passphrase("passphrase of the backup", passphrase_file), store, opened)
    typer.echo(f"versions {', '.join(map(str, restored))} are sealed in the key store and read back")
    typer.echo(f"next: keysvc --config {settings.path} serve")


def _rebuild(file: Path, passphrase_file: Path | None, directory: Path, wishes: InitOptions) -> None:
    from keysvc.crypto.backup_file import work_factor
    from keysvc.installation import config as configuration, new_authority
    from keysvc.master.backup import read_file

    content = read_file(file)
    warn_of_work(work_factor(content), str(file))
    path = directory.absolute() / configuration.FILE_NAME

    def prompt(what: str) -> SecretText:
        return key_store_prompt(configuration.load(path))(what)

    made = new_authority.rebuild(
        directory, wishes, content, passphrase("passphrase of the backup", passphrase_file), prompt
    )
    with_the_stores_rights(made.config)
    typer.echo(f"versions {', '.join(map(str, made.restored))} are sealed in the key store and read back")
    if made.missing:
        warn(f"the backup lacks versions {', '.join(map(str, made.missing))}: look for a newer one")
    typer.echo(f"system {made.config.system_id} has a new certificate authority")
    typer.echo(f"{path.parent} has the certificate of its administrator")
    for identity in made.again:
        typer.echo(f"has to enrol again: keysvc server enroll {identity.name} --role {identity.role.value}")
    typer.echo(f"next: keysvc --config {path} serve")


@app.command()
def destroy(
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, max=2**31 - 1)],
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Even while no backup holds the active version.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Destroy a version that retired, for good: after a scan finds no credential under it.

    \b
    keysvc secret destroy 1
    """
    with administrator(load(config)) as client:
        if not yes:
            typer.confirm(f"Destroy version {version}? Old copies of the mapping store become unreadable", abort=True)
        client.destroy(version, force=force)
    typer.echo(f"version {version} is destroyed")


@app.command()
def reseal(
    to: Annotated[
        str,
        typer.Option("--to", metavar="URL", callback=without_secret, help="The key store that the versions move into."),
    ],
    config: ConfigOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the versions in the old key store too.")] = False,
) -> None:
    """Move every version into another key store, or under another root, while the master secret server is stopped.

    All are sealed there and read back before the configuration names it; then the old key store is emptied.
    After an interruption, run the same command again.

    \b
    keysvc secret reseal --to 'file:///var/lib/keysvc/secret-2027?key-file=/mnt/keys/2027.key'
    """
    settings = load(config)
    actor = require_administrator(settings)
    from keysvc.installation import key_store_changes

    moved = key_store_changes.reseal(
        Path(settings.path), to, actor, lambda url: key_store_prompt(settings, key_store_changes.shown(url)), keep=keep
    )
    typer.echo(f"versions {', '.join(map(str, moved))} are sealed in {key_store_changes.shown(to)} and read back")
    typer.echo(f"next: keysvc --config {settings.path} serve")


@app.command()
def protect(
    url: Annotated[
        str, typer.Argument(metavar="URL", callback=without_secret, help="A key store with a root of its own.")
    ],
    config: ConfigOption = None,
) -> None:
    """Seal every version into a recovery key store too, while the master secret server is stopped.

    From then on each new version is sealed there as well, before it is announced. For one that is named already it
    completes what that lacks.

    \b
    keysvc secret protect 'file:///mnt/second/keysvc?key-file=/mnt/third/keysvc.key'
    """
    settings = load(config)
    actor = require_administrator(settings)
    from keysvc.installation import key_store_changes

    sealed = key_store_changes.protect(
        Path(settings.path), url, actor, lambda at: key_store_prompt(settings, key_store_changes.shown(at))
    )
    typer.echo(f"versions {', '.join(map(str, sealed))} are sealed in {key_store_changes.shown(url)} too and read back")
    typer.echo(f"next: keysvc --config {settings.path} serve")


@app.command()
def shares(
    threshold: Annotated[int, typer.Option(metavar="M", min=2, max=16, help="How many open it.")],
    of: Annotated[int, typer.Option("--of", metavar="N", min=2, max=16, help="How many are made.")],
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the sealed versions are to be.")],
    to_files: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each share into a file of its own, not on the terminal.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make SLIP-39 shares of a new root that nobody keeps, each shown once and typed back before any counts.

    Prints the URL of the key store that they open. The master secret server may run meanwhile.

    \b
    keysvc secret shares --threshold 3 --of 5 --dir /mnt/second/shares
    """
    settings = load(config)
    require_administrator(settings)
    from keysvc.cli.shares import make

    url = make(threshold, of, directory.absolute(), to_files)
    typer.echo(f"{of} shares are confirmed; any {threshold} of them open what is sealed from now on in")
    typer.echo(url)
    typer.echo(f"next, while keysvc serve is stopped: keysvc --config {settings.path} secret protect '{url}'")


@app.command()
def recover(
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", callback=without_secret, help="The key store that is left.")
    ] = None,
    from_shares: Annotated[bool, typer.Option("--from-shares", help="Ask for shares, one by one.")] = False,
    share_file: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A share; repeat it.")] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", callback=without_secret, help="Default: where the lost one was."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Bring the system up from a recovery key store alone, when the key store is lost for good.

    Seals all that it gives into a fresh key store, reads it back and decrypts a sample of today's credentials.

    \b
    keysvc secret recover --from 'file:///mnt/second/keysvc?key-file=/mnt/third/keysvc.key'
    keysvc secret recover --from-shares
    """
    if source is None and not from_shares:
        raise typer.BadParameter("--from URL or --from-shares is needed")
    settings = load(config)
    actor = with_the_stores_rights(settings)
    from keysvc.cli.shares import key_store_of, prompt_for
    from keysvc.installation import key_store_changes

    left = key_store_of(settings, source) if from_shares or source is None else source
    holders = prompt_for(share_file)

    def prompts(url: str) -> Prompt:
        return holders if from_shares and url == left else key_store_prompt(settings, key_store_changes.shown(url))

    done = key_store_changes.recover(Path(settings.path), left, to, actor, prompts)
    typer.echo(f"versions {', '.join(map(str, done.versions))} are sealed in the key store again and read back")
    typer.echo(f"{done.checked} of today's credentials were decrypted with them")
    if done.missing:
        warn(f"versions {', '.join(map(str, done.missing))} were not there: keysvc secret restore FILE")
    typer.echo(f"next: keysvc --config {settings.path} serve")
