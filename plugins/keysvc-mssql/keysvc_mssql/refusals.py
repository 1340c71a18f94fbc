"""The errors of SQL Server that are nobody's fault, by their numbers.

The SQLSTATE does not tell them apart: of a database that is being recovered, of one that has moved to another replica
and of a mistake in a statement it is 42000. keysvc's statements are fixed, so a server that gives no number is taken to
be unavailable too.
"""

from __future__ import annotations

import enum
from types import MappingProxyType

from sqlalchemy.exc import DBAPIError, ProgrammingError


class Refusal(enum.Enum):
    """What keysvc does."""

    UNDONE = "repeats the transaction"
    ELSEWHERE = "closes every connection of the pool, connects again and repeats; unavailable if that fails too"
    BUSY = "unavailable: what is asked may succeed later"


U, E, B = Refusal.UNDONE, Refusal.ELSEWHERE, Refusal.BUSY
NUMBERS = MappingProxyType(
    {
        1205: (U, "deadlock"),
        1222: (U, "a lock was waited for too long"),
        3960: (U, "another changed a row under snapshot isolation"),
        596: (E, "the session was killed"),
        913: (E, "the database is not found by its number"),
        921: (E, "the database is not recovered yet"),
        922: (E, "the database is being recovered"),
        923: (E, "the database is in restricted use"),
        924: (E, "the database is in use by a single user"),
        926: (E, "the database is suspect"),
        927: (E, "the database is being restored"),
        942: (E, "the database is offline"),
        945: (E, "files of the database are not accessible"),
        952: (E, "the database is in transition"),
        954: (E, "the database is a mirror"),
        955: (E, "the mirror has no quorum"),
        976: (E, "the replica is secondary and takes no queries"),
        978: (E, "the replica takes only connections of ApplicationIntent=ReadOnly"),
        979: (E, "the replica takes no connections of ApplicationIntent=ReadOnly"),
        981: (E, "the replica is becoming primary or secondary"),
        982: (E, "the secondary replica has no snapshot yet"),
        983: (E, "the replica is neither primary nor secondary"),
        988: (E, "the availability group has no quorum"),
        3906: (E, "the database is read-only: perhaps a secondary"),
        3908: (E, "the database is in emergency mode"),
        4060: (E, "the database cannot be opened"),
        4064: (E, "the login's default database cannot be opened"),
        4221: (E, "the secondary replica waits for transactions of before the failover"),
        5901: (E, "a checkpoint failed"),
        6001: (E, "the server is shutting down"),
        6002: (E, "the server is shutting down"),
        6005: (E, "the server is shutting down"),
        6006: (E, "the server was told to shut down"),
        8179: (E, "the server has forgotten a prepared statement"),
        17142: (E, "the server is paused"),
        17187: (E, "the server is starting"),
        18401: (E, "the server is upgrading its scripts"),
        40143: (E, "Azure SQL: the database is moving"),
        40197: (E, "Azure SQL: the service failed over"),
        40540: (E, "Azure SQL: the database is read-only for now"),
        40613: (E, "Azure SQL: the database is not available"),
        42108: (E, "Azure SQL: the database is paused"),
        42109: (E, "Azure SQL: the database is resuming"),
        701: (B, "the server is out of memory"),
        802: (B, "the buffer pool is out of memory"),
        1101: (B, "the file group is full"),
        1105: (B, "the file group is full"),
        8645: (B, "memory was waited for too long"),
        8651: (B, "memory is short"),
        9002: (B, "the transaction log is full"),
        10922: (B, "the resource governor refuses"),
        10928: (B, "Azure SQL: a limit is reached"),
        10929: (B, "Azure SQL: a limit is reached"),
        40501: (B, "Azure SQL: the service is busy"),
        40544: (B, "Azure SQL: the database is full"),
        40549: (B, "Azure SQL: the transaction took too long"),
        40550: (B, "Azure SQL: too many locks"),
        40551: (B, "Azure SQL: too much of tempdb"),
        40552: (B, "Azure SQL: too much of the log"),
        40553: (B, "Azure SQL: too much memory"),
        49918: (B, "Azure SQL: not enough resources"),
        49919: (B, "Azure SQL: too many requests to create or update"),
        49920: (B, "Azure SQL: too many operations"),
    }
)

_LOST = ("IMC06", "connection is broken", "kill state")
_UNDONE = ("40001", "Serialization failure")


def refusal(error: BaseException | None) -> Refusal | None:
    """What an error of a package is, if it is one of these."""
    number = getattr(error, "keysvc_number", None) or 0
    if number in NUMBERS:
        return NUMBERS[number][0]
    told = f"{getattr(error, 'driver_error', '')} {error}"
    if any(sign in told for sign in _UNDONE):
        return Refusal.UNDONE
    return Refusal.ELSEWHERE if any(sign in told for sign in _LOST) else None


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the server refused for reasons of its own, or does not say why. A connection that never came about is
    always unavailable."""
    without_number = isinstance(error, ProgrammingError) and getattr(error.orig, "keysvc_number", None) is None
    return error.statement is None or without_number or refusal(error.orig) is not None
