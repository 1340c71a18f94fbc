"""Encrypts credentials under the active version and stores them, one by one or many in a commit."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter, abc
from dataclasses import dataclass, field, replace
from typing import TypeVar

from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import (
    AccessDenied,
    CannotDecrypt,
    Changed,
    Conflict,
    InvalidInput,
    KeysvcError,
    NotFound,
    StaleVersion,
)
from keysvc.model import (
    Application,
    ApplicationType,
    CredentialKey,
    EncryptedCredential,
    Guard,
    Mapping,
    SecretText,
    check_new_mapping,
)
from keysvc.plugin import paging
from keysvc.plugin.changes import Change, ClaimExternalUser, PutCredential, PutMapping
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso import spelling
from keysvc.sso.credential_cache import CredentialCache
from keysvc.sso.credentials import credential_of, refuse_local
from keysvc.sso.found import Found
from keysvc.sso.version_ciphers import Ciphers

PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before a write that lost a race is repeated, until the caller hears of it: a version is active in the mapping
store a moment before the master secret server announces it."""
BATCH = 500
PAGES_FROM = 200
"""So many of one application are looked for in pages of all that it has, fewer one by one."""

Result = TypeVar("Result")
Audit = abc.Callable[[], abc.Iterable[Change]]


@dataclass(frozen=True, slots=True)
class Written:
    """A credential as a commit stores it: its change, its fields, and its mapping, which the same commit may change."""

    put: PutCredential
    fields: abc.Mapping[str, SecretText] = field(repr=False)
    mapping: Mapping


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential to be stored, its fields under the labels of the application. `external_user` makes the mapping,
    enabled, when there is none, and changes it when it differs. `place` is where it was read, for an error about it."""

    user: str
    fields: abc.Mapping[str, SecretText] = field(repr=False)
    external_user: str | None = None
    place: str = ""

    @classmethod
    def of(
        cls,
        application: Application,
        user: str,
        fields: abc.Mapping[str, SecretText],
        external_user: str | None,
        place: str = "",
    ) -> NewCredential:
        """In a host group, `user` is the external user."""
        host_group = application.type is ApplicationType.HOST_GROUP
        return cls(external_user if host_group and external_user else user, fields, external_user, place)

    def spelled(self, application: Application, user: str) -> NewCredential:
        """Of the same user as the mapping store spells it; in a host group, the external user is that too."""
        if user == self.user:
            return self
        external_user = user if application.type is ApplicationType.HOST_GROUP else self.external_user
        return replace(self, user=user, external_user=external_user)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of many credentials."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    lost: tuple[str, ...] = ()
    """The values that are replaced or deleted, by user and label."""


class Storing:
    """Thread-safe. What is in `memory` follows what is stored."""

    def __init__(self, store: MappingStore, ciphers: Ciphers, memory: CredentialCache) -> None:
        self._store = store
        self._ciphers = ciphers
        self._memory = memory

    def store(
        self,
        application: Application,
        new: NewCredential,
        found: Found,
        audit: Audit,
        expected_revision: int | None = None,
        *,
        own: bool = False,
        keep: bool = False,
    ) -> int:
        """The version that encrypted it. `found` is what there is of its user. `own` is by its user, who gets no
        external user that another has. With `keep`, fields that are not given keep their values. Raises NotFound,
        Changed, AccessDenied, MasterSecretServerUnavailable; with `keep` CannotDecrypt."""
        attempts = _anew(found)

        def put(cipher: CredentialCipher) -> int:
            there = next(attempts)
            mapping, row = there.mapping, there.credential
            if expected_revision is not None and expected_revision != (row.revision if row else 0):
                raise Changed(f"the credential of {new.user} for {application.name} is not the one that was read")
            put_mapping = list(mapped(application, new, mapping))
            claims = [claimed(put.mapping) for put in put_mapping if own]
            before = self._opened(application, row, replace_all=False) if keep else None
            merged = replace(new, fields={**(before or {}), **new.fields})
            written = _written(application, merged, row, cipher, _after(put_mapping, mapping))
            self._commit(application, [*claims, *put_mapping], [written], audit, cipher)
            return cipher.version

        return self._under_the_active_version(put)

    def store_many(
        self,
        application: Application,
        news: abc.Sequence[NewCredential],
        audit: Audit | None,
        *,
        replace_all: bool = False,
    ) -> Stored:
        """Store them in one commit; without `audit`, nothing. A field that is not named keeps its value, unless
        `replace_all`. A credential that is the same already, and opens, stays."""
        sources = itertools.chain(
            [_There(self._store, application.name, [new.user for new in news])],
            itertools.repeat(_There(self._store, application.name)),
        )
        put = functools.partial(self._put_many, application, news, sources, audit, replace_all)
        return self._under_the_active_version(put)

    def _put_many(  # noqa: PLR0917  bound once, with partial
        self,
        application: Application,
        news: abc.Sequence[NewCredential],
        sources: abc.Iterator[_There],
        audit: Audit | None,
        replace_all: bool,
        cipher: CredentialCipher,
    ) -> Stored:
        """One attempt: the next one asks the next of `sources` what is there."""
        there = next(sources)
        news = there.spelled(application, news)
        counts: Counter[str] = Counter()
        mappings: list[Change] = []
        credentials: list[Written] = []
        faults: list[KeysvcError] = []
        lost: list[str] = []
        for new in news:
            row, mapping = there.credential(new.user), there.mapping(new.user)
            try:
                changed = list(mapped(application, new, mapping))
                before = self._opened(application, row, replace_all)
            except (AccessDenied, CannotDecrypt, InvalidInput, NotFound) as error:
                faults.append(InvalidInput(f"{new.place}: {error}" if new.place else str(error), hint=error.hint))
                continue
            mappings += changed
            after = dict(new.fields) if replace_all else {**(before or {}), **new.fields}
            same = before == after or (row is None and not after and not replace_all)
            if not same:
                merged = replace(new, fields=after)
                credentials.append(_written(application, merged, row, cipher, _after(changed, mapping)))
                lost += _lost(new.user, before or {}, after)
            is_new = mapping is None if same else row is None
            counts["unchanged" if same and not changed else "created" if is_new else "updated"] += 1
        if faults:
            raise InvalidInput.of_all(faults)
        if audit is not None and (mappings or credentials):
            self._commit(application, mappings, credentials, audit, cipher)
        return Stored(**counts, lost=tuple(lost))

    def _opened(
        self, application: Application, row: EncryptedCredential | None, replace_all: bool
    ) -> dict[str, SecretText] | None:
        """The stored fields. Raises CannotDecrypt, unless they are to be replaced anyway."""
        if row is None:
            return None
        try:
            return self._ciphers.decrypt(application, row)
        except CannotDecrypt:
            if replace_all:
                return None
        raise CannotDecrypt(
            f"the stored credential of {row.user} for {application.name} does not decrypt: a merge would lose it",
            hint="restore the row; or give every field in the file and --replace",
        )

    def _commit(
        self,
        application: Application,
        others: abc.Iterable[Change],
        written: abc.Sequence[Written],
        audit: Audit,
        cipher: CredentialCipher,
    ) -> None:
        changes = [*others, *(each.put for each in written), *audit()]
        remapped = {change.mapping.user for change in changes if isinstance(change, PutMapping)}
        users = remapped.union(each.mapping.user for each in written)
        shared = application.type is ApplicationType.GROUP
        try:
            self._store.commit(changes, Guard(active_version=cipher.id))
        except BaseException:  # the answer to the commit may have been lost
            self._memory.expire(application.name, users.pop() if len(users) == 1 and not shared else None)
            raise
        if shared and remapped:  # members of groups may get another account now
            self._memory.forget(application.name)
            return
        for user in remapped.difference(each.mapping.user for each in written):
            self._memory.forget(application.name, user)
        for each in written:
            self._remember(application, each, shared=shared)

    def _remember(self, application: Application, written: Written, *, shared: bool) -> None:
        """A new row begins at a revision that only the mapping store knows, and is in no memory."""
        stored = written.put.credential
        if stored.revision == 0:
            self._memory.forget(application.name, stored.user)
        else:
            revision = stored.revision + 1
            now = credential_of(application, written.mapping, written.fields, stored.version, revision)
            self._memory.rewrite(now, shared=shared)

    def _under_the_active_version(self, put: abc.Callable[[CredentialCipher], Result]) -> Result:
        for pause in PAUSES:
            try:
                return put(self._ciphers.to_encrypt())
            except StaleVersion:
                time.sleep(pause)
                self._ciphers.learn_active_version()
            except Changed:
                raise
            except Conflict:
                time.sleep(pause)
        return put(self._ciphers.to_encrypt())


class _There:
    """What the mapping store has of some users of an application: read in pages when they are many. The pages reach
    from the first of them to the last, so that batches in the order of users read every page once."""

    def __init__(self, store: MappingStore, application: str, users: abc.Sequence[str] = ()) -> None:
        self._store = store
        self._application = application
        self._mappings: dict[str, Mapping] | None = None
        self._credentials: dict[str, EncryptedCredential] | None = None
        self._read = frozenset(users) if len(users) >= PAGES_FROM else frozenset()
        if self._read:
            first, last = min(users), max(users)
            wanted = self._read - {first}
            before, row = store.mapping(application, first), store.credential(application, first)
            self._mappings = {first: before} if before is not None else {}
            self._mappings |= {each.user: each for each in self._mapping_pages(first, last) if each.user in wanted}
            self._credentials = {first: row} if row is not None else {}
            self._credentials |= {
                each.user: each for each in self._credential_pages(first, last) if each.user in wanted
            }

    def spelled(self, application: Application, news: abc.Sequence[NewCredential]) -> abc.Sequence[NewCredential]:
        """Return them with the users spelled as they are mapped."""
        unknown = [new.user for new in news if new.user not in self._read or self.mapping(new.user) is None]
        others = spelling.users(self._store, application.name, unknown)
        return [new.spelled(application, others.get(new.user, new.user)) for new in news] if others else news

    def mapping(self, user: str) -> Mapping | None:
        if self._mappings is not None and user in self._read:
            return self._mappings.get(user)
        return self._store.mapping(self._application, user)

    def credential(self, user: str) -> EncryptedCredential | None:
        if self._credentials is not None and user in self._read:
            return self._credentials.get(user)
        return self._store.credential(self._application, user)

    def _mapping_pages(self, after: str, last: str) -> abc.Iterator[Mapping]:
        def read(user: str) -> abc.Sequence[Mapping]:
            return self._store.mappings(self._application, after=user, limit=paging.PAGE) if user < last else ()

        return paging.rows(read, lambda mapping: mapping.user, after)

    def _credential_pages(self, first: str, last: str) -> abc.Iterator[EncryptedCredential]:
        end = CredentialKey(self._application, last)

        def read(key: CredentialKey) -> abc.Sequence[EncryptedCredential]:
            return self._store.credentials(after=key, limit=paging.PAGE) if key < end else ()

        rows = paging.rows(read, lambda row: row.key, CredentialKey(self._application, first))
        return itertools.takewhile(lambda row: row.application == self._application, rows)


def _anew(found: Found) -> abc.Iterator[Found]:
    """What was found, and for each attempt after the first what is there then."""
    yield found
    while True:
        yield found.again()


def _lost(user: str, before: abc.Mapping[str, SecretText], after: abc.Mapping[str, SecretText]) -> abc.Iterator[str]:
    for label, value in before.items():
        if after.get(label) != value:
            yield f"{user}: {label} is {'replaced' if label in after else 'deleted'}"


def claimed(mapping: Mapping) -> ClaimExternalUser:
    """What keeps a user from an external user that another has."""
    return ClaimExternalUser(mapping.application, mapping.user, mapping.external_user)


def mapped(application: Application, new: NewCredential, mapping: Mapping | None) -> abc.Iterator[PutMapping]:
    """The change that makes the mapping what `new` says. Raises NotFound, AccessDenied, InvalidInput."""
    if mapping is None and new.external_user is None:
        raise NotFound(
            f"{new.user} has no mapping for {application.name}",
            hint=f"keysvc mapping set '{application.name}' '{new.user}' EXTERNAL_USER --enable",
        )
    if new.external_user is not None:
        check_new_mapping(application, new.user, new.external_user, mapping)
    if mapping is None:
        refuse_local(application, new.user)
        yield PutMapping(Mapping(application.name, new.user, new.external_user or "", enabled=True))
    elif new.external_user is not None and new.external_user != mapping.external_user:
        yield PutMapping(replace(mapping, external_user=new.external_user))


def _after(puts: abc.Sequence[PutMapping], before: Mapping | None) -> Mapping:
    """The mapping after a commit, which is `before` unless the commit puts it."""
    if not puts and before is not None:
        return before
    return puts[0].mapping


def _written(
    application: Application,
    new: NewCredential,
    row: EncryptedCredential | None,
    cipher: CredentialCipher,
    mapping: Mapping,
) -> Written:
    ciphertext = cipher.encrypt(application, new.user, new.fields)
    revision = row.revision if row else 0
    put = PutCredential(EncryptedCredential(application.name, new.user, cipher.version, ciphertext, revision))
    return Written(put, new.fields, mapping)
