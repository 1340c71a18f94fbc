"""The keys of names in a SQL mapping store: new names whose key another has are refused where names are folded."""

from __future__ import annotations

import itertools
from collections import abc
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, func, select, true

from keysvc.errors import Conflict
from keysvc.model import names
from keysvc.plugin import changes as change
from keysvc.stores import schema

CHUNK: Final = 500
_TABLES: Final = ((schema.applications, "name"), (schema.mappings, "user"), (schema.identities, "name"))


@dataclass(frozen=True, slots=True)
class NewName:
    """A name that a commit adds to a table; of a mapping, in an application."""

    table: Table
    column: str
    application: str
    name: str

    @property
    def key(self) -> str:
        """What it is compared by."""
        return names.key(self.name)


class NamesFolded(Exception):
    """A commit adds names in a system where they are folded: it needs the guard row for itself."""


def new_names(changes: abc.Iterable[change.Change]) -> list[NewName]:
    """Return the names that a commit adds."""
    found: list[NewName] = []
    for each in changes:
        match each:
            case change.PutApplication(application=put) if put.revision == 0:
                found.append(NewName(schema.applications, "name", "", put.name))
            case change.PutMapping(mapping=put) if put.revision == 0:
                found.append(NewName(schema.mappings, "user", put.application, put.user))
            case change.PutIdentity(identity=put) | change.RedeemEnrolment(identity=put) if put.revision == 0:
                found.append(NewName(schema.identities, "name", "", put.name))
    return found


def refuse_twins(connection: Connection, news: abc.Sequence[NewName]) -> None:
    """Raise Conflict where a new name has the key of another. The guard row is locked: no row comes meanwhile."""
    seen: dict[tuple[str, str, str], str] = {}
    for new in news:
        other = seen.setdefault((new.table.name, new.application, new.key), new.name)
        if other != new.name:
            raise _twin(new, other)
    alike = sorted(news, key=lambda new: (new.table.name, new.application))
    for _, group in itertools.groupby(alike, lambda new: (new.table.name, new.application)):
        of = list(group)
        for start in range(0, len(of), CHUNK):
            _refuse_stored(connection, of[start : start + CHUNK])


def _refuse_stored(connection: Connection, news: abc.Sequence[NewName]) -> None:
    table, application = news[0].table, news[0].application
    name, key = table.c[news[0].column], table.c[f"{news[0].column}_key"]
    by_key = {new.key: new for new in news}
    where = key.in_(by_key) & _within(table, application)
    for there, its_key in connection.execute(select(name, key).where(where)):
        if there != by_key[its_key].name:
            raise _twin(by_key[its_key], there)


def spelled(connection: Connection, keys: abc.Collection[str], application: str | None) -> abc.Sequence[str]:
    """Return the names of applications, or of the users of one, that have one of these keys."""
    table, column = (schema.applications, "name") if application is None else (schema.mappings, "user")
    where = table.c[f"{column}_key"].in_(list(keys)) & _within(table, application or "")
    return connection.scalars(select(table.c[column]).where(where).order_by(table.c[column])).all()


def refuse_stored_twins(connection: Connection) -> None:
    """Raise Conflict where two names have one key already. The guard row is locked: no row comes meanwhile."""
    for table, column in _TABLES:
        key = table.c[f"{column}_key"]
        within = [table.c.application] if table is schema.mappings else []
        twins = select(key).group_by(*within, key).having(func.count() > 1).limit(1)
        found = connection.scalars(twins).first()
        if found is not None:
            raise Conflict(f"two of the {table.name} have the key {found!r}")


def _within(table: Table, application: str) -> ColumnElement[bool]:
    return table.c.application == application if table is schema.mappings else true()


def _twin(new: NewName, other: str) -> Conflict:
    where = f" in {new.application!r}" if new.application else ""
    return Conflict(f"{other!r} exists{where}, and {new.name!r} is the same name", hint=f"write {other}")
