"""What `keysvc secret restore --new-authority` does: the first machine is lost with the certificate authority, and the
mapping store and a backup of the master secret are left."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass, replace
from pathlib import Path

from keysvc.crypto import backup_file
from keysvc.errors import ConfigurationError, KeysvcError
from keysvc.installation import config as configuration
from keysvc.installation.assembly import open_key_store, open_mapping_store
from keysvc.installation.config import Config
from keysvc.installation.init_and_join import InitOptions, make_identities, taken_back_on, write_configuration
from keysvc.master import backup
from keysvc.master.events import STORE_RIGHTS, EventKind, told
from keysvc.model import Identity, SecretText, utc_now
from keysvc.plugin.changes import Change, PutEnrolment, PutIdentity
from keysvc.plugin.interfaces import MappingStore, Prompt


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A system that a new machine serves: the `restored` versions, those in use that the backup lacks, and who has to
    enrol again."""

    config: Config
    restored: tuple[int, ...]
    missing: tuple[int, ...]
    again: tuple[Identity, ...]


def rebuild(directory: Path, wishes: InitOptions, content: bytes, passphrase: SecretText, prompt: Prompt) -> Rebuilt:
    """Make `directory`, new or empty, the master secret server of the mapping store's system, with a new authority.

    One commit at the end makes it so, and revokes every certificate and join token of the old authority: until then the
    old one counts. After an error the directory is as it was. Raises LeaseHeld where another master secret server is
    active: it has the authority. Else what `backup.restore` raises.
    """
    path = directory.absolute() / configuration.FILE_NAME
    if path.exists():
        raise ConfigurationError(f"{path} exists", hint="give --dir a new or an empty directory")
    write_configuration(path, wishes, backup_file.read_header(content).system_id)
    with taken_back_on(path.parent, KeysvcError):
        config = configuration.load(path)
        with (
            contextlib.closing(open_mapping_store(config)) as store,
            contextlib.closing(open_key_store(config, prompt)) as key_store,
        ):
            again: list[Identity] = []

            def also() -> abc.Sequence[Change]:
                changes, others = _replaced(store, make_identities(config), config.system_id)
                again.extend(others)
                return changes

            restored = backup.restore(content, passphrase, store, key_store, also)
            missing = tuple(sorted(store.versions().live.numbers.difference(restored)))
            return Rebuilt(config, restored, missing, tuple(again))


def _replaced(
    store: MappingStore, made: abc.Sequence[Identity], system_id: str
) -> tuple[abc.Sequence[Change], abc.Sequence[Identity]]:
    """Let in those that were `made`, and nobody else. Also returns who was let in before."""
    now, before = utc_now(), {identity.name: identity for identity in store.identities()}
    mine = [replace(each, revision=before[each.name].revision if each.name in before else 0) for each in made]
    others = [
        identity
        for identity in before.values()
        if identity.revoked_at is None and identity.name not in {each.name for each in mine}
    ]
    changes: list[Change] = [PutIdentity(identity) for identity in mine]
    changes += [PutIdentity(replace(identity, revoked_at=now)) for identity in others]
    changes += [PutEnrolment(replace(enrolment, ended_at=now)) for enrolment in store.enrolments()]
    return [*changes, *told(STORE_RIGHTS, EventKind.AUTHORITY_REPLACED, system_id, revoked=len(others))], others
