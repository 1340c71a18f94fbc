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
from keysvc.model import Application, ApplicationType, CredentialKey, EncryptedCredential, Guard, Mapping, SecretText
from keysvc.plugin.changes import Change, ClaimExternalUser, PutCredential, PutMapping
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso import spelling
from keysvc.sso.credentials import check_new, refuse_local
from keysvc.sso.found import Found
from keysvc.sso.version_ciphers import Ciphers

PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before a write that lost a race is repeated, until the caller hears of it: a version is active in the mapping
store a moment before the master secret server announces it."""
BATCH = 500
PAGE = 2000
PAGES_FROM = 200
"""So many of one application are looked for in pages of all that it has, fewer one by one."""

Result = TypeVar("Result")
Audit = abc.Callable[[], abc.Iterable[Change]]
Forget = abc.Callable[[str, str | None], object]


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
    """Thread-safe. `forget` is told of what is in memory no more as it is stored: an application, and a user of it or
    all."""

    def __init__(self, store: MappingStore, ciphers: Ciphers, forget: Forget) -> None:
        self._store = store
        self._ciphers = ciphers
        self._forget = forget

    def store(
        self,
        application: Application,
        new: NewCredential,
        found: Found,
        audit: Audit,
        expected_revision: int | None = None,
        *,
        own: bool = False,
    ) -> int:
        """The version that encrypted it. `found` is what there is of its user. `own` is by its user, who gets no
        external user that another has. Raises NotFound, Changed, AccessDenied, MasterSecretServerUnavailable."""
        attempts = _anew(found)

        def put(cipher: CredentialCipher) -> int:
            there = next(attempts)
            mapping, row = there.mapping, there.credential
            if expected_revision is not None and expected_revision != (row.revision if row else 0):
                raise Changed(f"the credential of {new.user} for {application.name} is not the one that was read")
            put_mapping = list(mapped(application, new, mapping))
            claims = [claimed(put.mapping) for put in put_mapping if own]
            changes: list[Change] = [*claims, *put_mapping, _encrypted(application, new, row, cipher)]
            self._commit(application, changes, audit, cipher)
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
        credentials: list[Change] = []
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
                credentials.append(_encrypted(application, replace(new, fields=after), row, cipher))
                lost += _lost(new.user, before or {}, after)
            is_new = mapping is None if same else row is None
            counts["unchanged" if same and not changed else "created" if is_new else "updated"] += 1
        if faults:
            raise InvalidInput.of_all(faults)
        if audit is not None and (mappings or credentials):
            self._commit(application, [*mappings, *credentials], audit, cipher)
        return Stored(**counts, lost=tuple(lost))

    def _opened(
        self, application: Application, row: EncryptedCredential | None, replace_all: bool
    ) -> dict[str, SecretText] | None:
        """The stored fields. Raises CannotDecrypt, unless they are to be replaced anyway."""
        if row is None:
            return None
        try:
            return self._ciphers.of(row.version).decrypt(application, row.user, row.ciphertext)
        except CannotDecrypt:
            if replace_all:
                return None
        raise CannotDecrypt(
            f"the stored credential of {row.user} for {application.name} does not decrypt: a merge would lose it",
            hint="restore the row; or give every field in the file and --replace",
        )

    def _commit(
        self, application: Application, changes: abc.Iterable[Change], audit: Audit, cipher: CredentialCipher
    ) -> None:
        all_changes = [*changes, *audit()]
        users = {change.credential.user for change in all_changes if isinstance(change, PutCredential)}
        one = users.pop() if len(users) == 1 and application.type is not ApplicationType.GROUP else None
        try:
            self._store.commit(all_changes, Guard(active_version=cipher.version))
        finally:  # also when the answer to the commit was lost
            self._forget(application.name, one)

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
        while after < last and (page := self._store.mappings(self._application, after=after, limit=PAGE)):
            yield from page
            after = page[-1].user

    def _credential_pages(self, first: str, last: str) -> abc.Iterator[EncryptedCredential]:
        after = CredentialKey(self._application, first)
        while after.user < last and (page := self._store.credentials(after=after, limit=PAGE)):
            for row in page:
                if row.application != self._application:
                    return
                yield row
            after = page[-1].key


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
        check_new(application, new.user, new.external_user, mapping)
    if mapping is None:
        refuse_local(application, new.user)
        yield PutMapping(Mapping(application.name, new.user, new.external_user or "", enabled=True))
    elif new.external_user is not None and new.external_user != mapping.external_user:
        yield PutMapping(replace(mapping, external_user=new.external_user))


def _encrypted(
    application: Application, new: NewCredential, row: EncryptedCredential | None, cipher: CredentialCipher
) -> PutCredential:
    ciphertext = cipher.encrypt(application, new.user, new.fields)
    revision = row.revision if row else 0
    return PutCredential(EncryptedCredential(application.name, new.user, cipher.version, ciphertext, revision))
