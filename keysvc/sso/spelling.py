"""Finds the row that a name stands for, however it is spelled.

Names are read as they were asked for; only where there is none of that spelling, the mapping store's columns of keys
are asked for another. These columns are an index. Whoever can edit one must not give a user the credential of another:
the key of each name that comes back is computed again, from its spelling, and compared with the key that was asked for.
"""

from __future__ import annotations

import functools
from collections import abc

from keysvc.errors import MappingStoreError
from keysvc.model import Application, Mapping, NameRule, names
from keysvc.plugin.interfaces import LookedUp, MappingStore

PAGE = 500

Rule = abc.Callable[[], NameRule]
"""Reads which names are one, once for what it is handed to."""


def rule_of(store: MappingStore) -> NameRule:
    """Return which names are one in the system."""
    system = store.system()
    return NameRule.EXACT if system is None else system.settings.names


def application(store: MappingStore, name: str) -> Application | None:
    """Return the application that a name stands for."""
    rule = functools.cache(lambda: rule_of(store))
    found = store.application(name)
    if found is None and (spelled := _other(store, rule, name)) is not None:
        found = store.application(spelled)
    if found is not None:
        _check(store, rule, found.name, name)
    return found


def mapping(store: MappingStore, of: str, user: str) -> Mapping | None:
    """Return the mapping of a user in an application."""
    found = look_up(store, of, user)
    return None if found is None else found[1]


def look_up(store: MappingStore, of: str, user: str) -> LookedUp | None:
    """Return an application, and a user's mapping and credential in it. Raises MappingStoreError for rows of another
    name."""
    rule = functools.cache(lambda: rule_of(store))
    found = store.look_up(of, user)
    if found is None:
        there = _other(store, rule, of)
        found = None if there is None else store.look_up(there, user)
        if found is None:
            return None
    if found[1] is None and (spelled := _other(store, rule, user, found[0].name)) is not None:
        found = store.look_up(found[0].name, spelled) or found
    definition, mapped, row = found
    _check(store, rule, definition.name, of)
    if mapped is not None:
        _check(store, rule, mapped.user, user)
        whose = {(definition.name, mapped.user), (mapped.application, mapped.user)}
        if row is not None:
            whose.add((row.application, row.user))
        if len(whose) != 1:
            raise _of_another(store, user)
    return found


def users(store: MappingStore, of: str, wanted: abc.Collection[str]) -> dict[str, str]:
    """Return how those of `wanted` are spelled that are mapped in an application in another spelling."""
    by_key: dict[str, list[str]] = {}
    in_order = list(dict.fromkeys(names.key(user) for user in wanted))
    for start in range(0, len(in_order), PAGE):
        for spelled in store.spellings(in_order[start : start + PAGE], of):
            by_key.setdefault(names.key(spelled), []).append(spelled)
    if not by_key:
        return {}
    rule = rule_of(store)
    found = ((user, _one(by_key.get(names.key(user), ()), user, rule)) for user in wanted)
    return {user: spelled for user, spelled in found if spelled is not None and spelled != user}


def near(store: MappingStore, name: str, of: str | None = None) -> str:
    """Return what to say of a name that is not there, if one is that differs in upper and lower case alone."""
    found = [each for each in store.spellings([names.key(name)], of) if names.same(each, name)]
    return f": {found[0]} exists" if found else ""


def _other(store: MappingStore, rule: Rule, name: str, of: str | None = None) -> str | None:
    if len(name) > names.MAXIMUM_LENGTH:
        return None
    found = store.spellings([names.key(name)], of)
    return _one(found, name, rule()) if found else None


def _one(found: abc.Iterable[str], name: str, rule: NameRule) -> str | None:
    """Return the only one with the key of `name`, or the one that is spelled like it."""
    wanted = rule.key(name)
    same = [each for each in found if rule.key(each) == wanted]
    return name if name in same else same[0] if len(same) == 1 else None


def _check(store: MappingStore, rule: Rule, spelled: str, name: str) -> None:
    if spelled != name and rule().key(spelled) != rule().key(name):
        raise _of_another(store, name)


def _of_another(store: MappingStore, name: str) -> MappingStoreError:
    return MappingStoreError(
        f"{store.info().url} has the row of another name for {name!r}",
        hint="somebody or something else wrote it; restore the database from a backup",
    )
