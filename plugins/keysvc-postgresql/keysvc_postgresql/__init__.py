"""The mapping store on PostgreSQL, 13 or later. The plugin `postgresql`.

    postgresql://keysvc@db.example/keysvc?password-source=file:/etc/keysvc/database-password
    postgresql://keysvc@one.example,two.example/keysvc?target_session_attrs=read-write
    postgresql:///keysvc?host=/run/postgresql

A URL is a connection URI of libpq (PostgreSQL manual, 34.1.1), with `password-source` of keysvc.
"""

from __future__ import annotations

from keysvc.plugin import MappingStore, Opening, Register, hookimpl

KEYSVC_API = 2
LIBPQ_OPTIONS = {
    "host": "directory of the server's UNIX socket, or hosts separated by commas",
    "hostaddr": "addresses of the hosts, where names shall not be looked up",
    "port": "one port, or one for each host",
    "dbname": "the database",
    "user": "the role",
    "passfile": "a file of passwords in libpq's format",
    "service": "a section of pg_service.conf",
    "target_session_attrs": "read-write finds the primary among several hosts",
    "load_balance_hosts": "random or disable",
    "sslmode": "verify-full; prefer where the server is on this machine",
    "sslrootcert": "file of the authorities; the system's",
    "sslcert": "file of the client certificate",
    "sslkey": "file of its key",
    "sslcrl": "file of revoked certificates",
    "channel_binding": "require, prefer or disable",
    "require_auth": "the only ways to authenticate that are accepted",
    "gssencmode": "prefer, require or disable",
    "krbsrvname": "Kerberos service name",
    "connect_timeout": "seconds for each host; 5",
    "application_name": "what pg_stat_activity shows; keysvc",
    "options": "settings of the server's session, as -c name=value",
}


@hookimpl
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register `postgresql:`."""
    register(
        "postgresql",
        open_postgresql,
        summary="a PostgreSQL database",
        options={"password-source": "file:/PATH or env:NAME", **LIBPQ_OPTIONS},
    )


def open_postgresql(opening: Opening) -> MappingStore:
    """Connects at the first call. Raises ConfigurationError."""
    from keysvc_postgresql.store import PostgreSQLMappingStore

    password = opening.prompt("password") if "password-source" in opening.location.options else None
    return PostgreSQLMappingStore(opening.location.reveal(), password)
