"""The targets of the plugins: PKCS#11, LDAP, PostgreSQL, SQL Server, and what notifiers are told."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections import abc
from pathlib import Path

from fuzzing.parsers import SYSTEM_ID
from fuzzing.target import Call, Opened, Target, text_of
from keysvc.model import SecretText
from keysvc.plugin.interfaces import Opening
from keysvc.plugin.location import Location

WEBHOOK_SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def _late(make: abc.Callable[[], Call]) -> abc.Callable[[Path], Opened]:
    """`make` imports the plugin."""
    return lambda _folder: contextlib.nullcontext(make())


def _asked(_what: str) -> SecretText:
    return SecretText(WEBHOOK_SECRET)


def _opener(module: str, name: str, *schemes: str) -> abc.Callable[[], Call]:
    """Opens what a URL of these schemes names, which connects to nothing."""

    def make() -> Call:
        open_ = getattr(importlib.import_module(module), name)

        def call(content: bytes) -> None:
            location = Location.parse(text_of(content))
            files = {"ca-file", "client-certificate", "client-key"} & location.options.keys()
            if location.scheme in schemes and not files:
                open_(Opening(location, _asked, SYSTEM_ID)).close()

        return call

    return make


def _uri() -> Call:
    from keysvc_pkcs11.uri import TokenURI

    return lambda content: TokenURI.parse(Location.parse(text_of(content)).reveal())


def _wire() -> Call:
    from keysvc_pkcs11.wire import read

    return lambda content: read(io.BytesIO(content))


def _answer() -> Call:
    """What the token's process says."""
    from keysvc_pkcs11.faults import fault_of

    def call(content: bytes) -> None:
        kind, _, message = text_of(content).partition(" ")
        fault_of(kind, message)

    return call


def _libpq() -> Call:
    from keysvc_postgresql.store import connection_parameters

    def call(content: bytes) -> None:
        text = text_of(content)
        Location.parse(text)
        connection_parameters(text)

    return call


def _odbc() -> Call:
    from keysvc_mssql.connecting import Server

    return lambda content: Server.of(Location.parse(text_of(content)))


class _Receiver(io.BytesIO):
    """A socket that has heard everything, and answers with what it was given."""

    def makefile(self, *_arguments: object, **_named: object) -> io.BytesIO:
        return io.BytesIO(self.getvalue())

    def sendall(self, _content: bytes) -> None:
        pass

    def settimeout(self, _seconds: float) -> None:
        pass


def _webhook() -> Call:
    from keysvc_webhook.notifier import WebhookNotifier, trust

    secrets = (SecretText(WEBHOOK_SECRET),)
    notifier = WebhookNotifier("host", 443, "/", secrets, trust(None), system_id=SYSTEM_ID, allow_private=True)

    def call(content: bytes) -> None:
        notifier._connect = lambda: _Receiver(content)  # type: ignore[method-assign,return-value,assignment]
        notifier._post("{}", {})

    return call


def _mail() -> Call:
    from keysvc_smtp.notifier import _status

    return lambda content: _status(550, content)


def _directory() -> Call:
    """Names that people have, in a filter."""
    from keysvc_ldap import open_ldap
    from keysvc_ldap.directory import quoted

    authorizer = open_ldap(Opening(Location.parse("ldaps://h/dc=x?domain=N"), _asked, SYSTEM_ID))

    def call(content: bytes) -> None:
        name = authorizer._in_directory(text_of(content))  # type: ignore[attr-defined]
        if name is not None:
            assert not set(quoted(name)) & set("()*")

    return call


def _plugin(name: str, make: abc.Callable[[], Call], needs: str, *seeds: bytes, **other: object) -> Target:
    return Target(name, _late(make), seeds, needs=(needs,), **other)  # type: ignore[arg-type]


def _broken() -> tuple[type[Exception], ...]:
    with contextlib.suppress(ImportError):
        from keysvc_pkcs11.wire import BrokenMessage

        return (BrokenMessage,)
    return ()


OF_PLUGINS = (
    _plugin(
        "pkcs11-uri",
        _uri,
        "keysvc_pkcs11",
        b"pkcs11:token=a;object=k;slot-id=1;id=%01?module-path=/usr/lib/x.so&pin-source=file:/x&timeout=30",
        words=(b"slot-id=", b"timeout=", b"%ff"),
    ),
    _plugin(
        "pkcs11-wire",
        _wire,
        "keysvc_pkcs11",
        b"\0\0\0\x0d\0\0\0\2OK\0\0\0\3abc",
        b"\0\x10\0\0" + bytes(2**20),
        allowed=_broken(),
        maximum=2**20 + 4,
    ),
    _plugin("pkcs11-faults", _answer, "keysvc_pkcs11", b"PinIncorrect ", b"PKCS11Error CKR 0x000000a0"),
    _plugin(
        "webhook-url",
        _opener("keysvc_webhook", "open_webhook", "webhook+https"),
        "keysvc_webhook",
        b"webhook+https://example.com:443/a%20b?allow-private=yes",
        b"webhook+https://[::1]/",
    ),
    _plugin(
        "webhook-answer",
        _webhook,
        "keysvc_webhook",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nRetry-After: 9\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    _plugin(
        "smtp-url",
        _opener("keysvc_smtp", "open_smtp", "smtp", "smtps"),
        "keysvc_smtp",
        b"smtp://user@example.com:587/?from=a@b.example&to=c@d.example,e@f.example",
        b"smtps://[::1]/?from=a@b&to=c@d",
    ),
    _plugin("smtp-answer", _mail, "keysvc_smtp", b"5.7.1 no", b"4.0.0"),
    _plugin(
        "syslog-url",
        _opener("keysvc_syslog", "open_remote", "syslog+udp", "syslog+tcp"),
        "keysvc_syslog",
        b"syslog+udp://example.com:514?facility=local0",
        b"syslog+tcp://[::1]",
    ),
    _plugin(
        "ldap-url",
        _opener("keysvc_ldap", "open_ldap", "ldap", "ldaps", "ldapi"),
        "ldap",
        b"ldaps://example.com:636/dc=example,dc=com?bind-dn=cn%3Da&password-source=env:X&seconds=5&groups=memberof",
        b"ldapi://%2Frun%2Fldapi/dc=x",
    ),
    _plugin("ldap-names", _directory, "ldap", b"N\\anna", b"a*(b)\\c"),
    _plugin(
        "postgresql-url",
        _libpq,
        "keysvc_postgresql",
        b"postgresql://user:p%40@host:5432,other/db?sslmode=verify-full&connect_timeout=10",
        b"postgresql:///db?host=/run",
    ),
    _plugin("mssql-url", _odbc, "keysvc_mssql", b"mssql://sa:p@host%5CX:1433/db?Encrypt=yes", b"mssql+pyodbc://h/d"),
)
