"""The authorizer that asks the directory. A list of groups that the server cut off is an error, as no list is. One
group that cannot be read is left out, as one that is absent is."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

from keysvc.model import names
from keysvc.plugin import AuthorizerUnavailable
from keysvc_ldap import Settings
from keysvc_ldap.directory import Directory, Entry, Problem, any_of, chunks

MAXIMUM_NAME = 256
MAXIMUM_GROUPS = 2000
OWN_NAME = ("entryDN", "distinguishedName")
"""Attributes in which directories keep an entry's own name: RFC 5020, and Active Directory."""


@dataclass(frozen=True, slots=True)
class Person:
    """The entry of somebody, and the name as the entry spells it."""

    entry: Entry
    name: str


class LDAPAuthorizer:
    """A connection for each question, closed behind it. Any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __repr__(self) -> str:
        return f"LDAPAuthorizer({self._settings.uri}/{self._settings.base})"

    def groups_of(self, name: str) -> abc.Collection[str]:
        """Through other groups as well. Raises AuthorizerUnavailable."""
        here = self._in_directory(name)
        if here is None:
            return ()
        try:
            with Directory(self._settings) as directory:
                person = self._person(directory, here)
                return () if person is None else self._groups(directory, person)
        except Problem as problem:
            raise AuthorizerUnavailable(f"the directory {self._settings.uri}: {problem}") from None

    def close(self) -> None:
        """Nothing is held."""

    def _in_directory(self, name: str) -> str | None:
        r"""The name without its domain; None for one that cannot be in this directory, such as MACHINE\account."""
        if not name.strip() or len(name) > MAXIMUM_NAME or not name.isprintable():
            return None
        domain, separator, account = name.rpartition("\\")
        if separator and not names.same(domain, self._settings.domain):
            return None
        return account

    def _person(self, directory: Directory, name: str) -> Person | None:
        """A directory compares more loosely than keysvc, blanks and invisible characters do not count there: what it
        finds must be called just so."""
        attribute = self._settings.user_attribute
        wanted = [attribute] if self._settings.by_search else [attribute, "memberOf", *OWN_NAME]
        found = directory.search(self._settings.base, any_of([attribute], [name]), wanted)
        people = [Person(entry, own) for entry in found if (own := _spelled(name, entry.texts(attribute))) is not None]
        if len(people) > 1:
            raise Problem(f"{len(people)} entries have the {attribute} {name}")
        return people[0] if people else None

    def _groups(self, directory: Directory, person: Person) -> abc.Collection[str]:
        settings, groups, asked = self._settings, dict[str, Entry](), set[str]()
        naming = [attribute for attribute in OWN_NAME if person.entry.texts(attribute)]
        if settings.member_attribute.casefold() == "memberuid":  # of names, not of entries: never nested
            return self._names(self._with_members(directory, [person.name]))
        found: abc.Iterable[Entry]
        new: abc.Collection[Entry] = [person.entry]
        while new:
            if settings.by_search:
                found = self._with_members(directory, [entry.dn for entry in new])
            else:
                named = {names.key(dn): dn for entry in new for dn in entry.texts("memberOf")}
                unread = {key: dn for key, dn in named.items() if key not in asked}
                asked |= unread.keys()
                _check_number(person, len(asked))
                found = directory.entries(list(unread.values()), [settings.group_attribute, "memberOf"], naming)
            fresh = {names.key(entry.dn): entry for entry in found if names.key(entry.dn) not in groups}
            groups |= fresh
            _check_number(person, len(groups))
            new = fresh.values()
        return self._names(groups.values())

    def _with_members(self, directory: Directory, members: abc.Sequence[str]) -> list[Entry]:
        settings, found = self._settings, list[Entry]()
        for some in chunks(members):
            matching = any_of([settings.member_attribute], some)
            found += directory.search(settings.group_base, matching, [settings.group_attribute])
        return found

    def _names(self, groups: abc.Iterable[Entry]) -> abc.Collection[str]:
        prefix = f"{self._settings.domain}\\" if self._settings.domain else ""
        names = (name for group in groups for name in group.texts(self._settings.group_attribute))
        return tuple(dict.fromkeys(prefix + name for name in names))


def _spelled(name: str, texts: abc.Iterable[str]) -> str | None:
    """Return the text that is the name but for upper and lower case."""
    return next((text for text in texts if names.key(text) == names.key(name)), None)


def _check_number(person: Person, groups: int) -> None:
    if groups > MAXIMUM_GROUPS:
        raise Problem(f"{person.name} is in more than {MAXIMUM_GROUPS} groups")
