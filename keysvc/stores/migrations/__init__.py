"""The steps from an empty database to the tables of this release, one file and one function each.

A released step never changes. A new one is a function that adds to what the step before it left, by the statements of
`keysvc.stores.migrations.statements`; it is appended to `MIGRATIONS`, and `keysvc.stores.schema` gets the same tables.
"""

from __future__ import annotations

from collections import abc

from sqlalchemy import Connection

from keysvc.stores.migrations.step_1 import step_1
from keysvc.stores.migrations.step_2 import step_2

__all__ = ["MIGRATIONS", "Migration"]

Migration = abc.Callable[[Connection], None]

MIGRATIONS: tuple[Migration, ...] = (step_1, step_2)
"""What `prepare` applies, in order; the schema version of a store is the number of steps that were applied."""
