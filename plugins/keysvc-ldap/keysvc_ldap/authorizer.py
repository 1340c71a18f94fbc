"""Asks the directory. What it does not say in full, it has not said: half a list of groups is none."""

from __future__ import annotations

from collections import abc

from keysvc.model import names
from keysvc.plugin import AuthorizerUnavailable
from keysvc_ldap import Settings
from keysvc_ldap.directory import Directory, Entry, Problem, quoted

MAXIMUM_NAME = 256
MAXIMUM_GROUPS = 2000
TOGETHER = 50
"""How many members a search for their groups names."""


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
                return () if person is None else self._groups(directory, person, here)
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

    def _person(self, directory: Directory, name: str) -> Entry | None:
        """A directory compares more loosely than keysvc, blanks and invisible characters do not count there: what it
        finds must be called just so."""
        attribute = self._settings.user_attribute
        wanted = [attribute, "memberOf"]
        found = directory.search(self._settings.base, f"({attribute}={quoted(name)})", wanted)
        called_so = [e for e in found if names.key(name) in names.keys(e.texts(attribute))]
        if len(called_so) > 1:
            raise Problem(f"{len(called_so)} entries have the {attribute} {name}")
        return called_so[0] if called_so else None

    def _groups(self, directory: Directory, person: Entry, name: str) -> abc.Collection[str]:
        groups: dict[str, Entry] = {}
        if self._settings.member_attribute.casefold() == "memberuid":  # of names, not of entries: never nested
            new = self._with_members(directory, [name])
        elif self._settings.by_search:
            new = self._with_members(directory, [person.dn])
        else:
            new = self._named_by(directory, [person])
        while new:
            fresh = {names.key(entry.dn): entry for entry in new if names.key(entry.dn) not in groups}
            groups.update(fresh)
            if len(groups) > MAXIMUM_GROUPS:
                raise Problem(f"{name} is in more than {MAXIMUM_GROUPS} groups")
            if not fresh or self._settings.member_attribute.casefold() == "memberuid":
                break
            if self._settings.by_search:
                new = self._with_members(directory, [entry.dn for entry in fresh.values()])
            else:
                new = self._named_by(directory, list(fresh.values()))
        return self._names(groups.values())

    def _with_members(self, directory: Directory, members: abc.Sequence[str]) -> list[Entry]:
        settings, found = self._settings, []
        for start in range(0, len(members), TOGETHER):
            named = (f"({settings.member_attribute}={quoted(member)})" for member in members[start : start + TOGETHER])
            found += directory.search(settings.group_base, f"(|{''.join(named)})", [settings.group_attribute])
        return found

    def _named_by(self, directory: Directory, entries: abc.Sequence[Entry]) -> list[Entry]:
        wanted = [self._settings.group_attribute, "memberOf"]
        names = dict.fromkeys(dn for entry in entries for dn in entry.texts("memberOf"))
        return [found for dn in names if (found := directory.entry(dn, wanted)) is not None]

    def _names(self, groups: abc.Iterable[Entry]) -> abc.Collection[str]:
        prefix = f"{self._settings.domain}\\" if self._settings.domain else ""
        names = (name for group in groups for name in group.texts(self._settings.group_attribute))
        return tuple(dict.fromkeys(prefix + name for name in names))
