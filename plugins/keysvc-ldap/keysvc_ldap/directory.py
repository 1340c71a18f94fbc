"""A connection to an LDAP server, by python-ldap: its only importer. Verifies certificates, follows no referral."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections import abc
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import ldap
import ldap.filter

from keysvc_ldap import Settings
from keysvc_ldap.connecting import connected, through_tls

TLS_1_2 = 0x303


class Problem(Exception):
    """The directory does not answer, or not so that it can be used; in one line, without a secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with the attributes that were asked for."""

    dn: str
    attributes: abc.Mapping[str, abc.Sequence[bytes]] = field(repr=False)

    def texts(self, attribute: str) -> list[str]:
        """Its values; none when it lacks the attribute, whose name may come in another case."""
        values = (v for name, v in self.attributes.items() if name.casefold() == attribute.casefold())
        return [value.decode("utf-8", "replace") for each in values for value in each]


def quoted(value: str) -> str:
    """What stands for just this value in a filter (RFC 4515)."""
    return str(ldap.filter.escape_filter_chars(value))


class Directory:
    """Connected and bound while the context lasts, which is `seconds` at most. Everything raises Problem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            with contextlib.ExitStack() as ending:
                self._connection = self._connected(ending)
                self._ending = ending.pop_all()
        except ssl.SSLCertVerificationError as error:
            raise Problem(f"its certificate is not accepted: {error.verify_message}") from None
        except TimeoutError:
            raise Problem("it took too long") from None
        except OSError as error:
            raise Problem(getattr(error, "reason", None) or error.strerror or "the connection broke") from None
        except ldap.LDAPError as error:
            raise Problem(_what(error)) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.close()

    def _connected(self, ending: contextlib.ExitStack) -> Any:
        settings = self._settings
        made: socket.socket | None = None
        if settings.host and settings.start_tls:
            made = ending.enter_context(connected(settings.host, settings.port, settings.seconds))
        elif settings.host:
            made = ending.enter_context(through_tls(settings.host, settings.port, settings.seconds, settings.ca_file))
        uri = "ldapi://" if settings.host and not settings.start_tls else settings.uri
        # libldap closes what it is given, when it is unbound
        connection = ldap.initialize(uri, fileno=None if made is None else os.dup(made.fileno()))
        ending.callback(connection.unbind_ext)
        connection.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, settings.seconds)
        connection.set_option(ldap.OPT_TIMEOUT, settings.seconds)
        if settings.start_tls:
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, TLS_1_2)
            if settings.ca_file:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, settings.ca_file)
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # last: it puts the options above into effect
            connection.start_tls_s()
        connection.simple_bind_s(settings.bind_dn, settings.password.reveal())
        return connection

    def search(self, base: str, matching: str, attributes: list[str]) -> list[Entry]:
        """Everything below `base` that matches; nothing below one that is not there."""
        return self._ask(base, ldap.SCOPE_SUBTREE, matching, attributes)

    def entry(self, dn: str, attributes: list[str]) -> Entry | None:
        """The one that is called so."""
        found = self._ask(dn, ldap.SCOPE_BASE, "(objectClass=*)", attributes)
        return found[0] if found else None

    def _ask(self, base: str, scope: int, matching: str, attributes: list[str]) -> list[Entry]:
        try:
            found = self._connection.search_ext_s(base, scope, matching, attributes, timeout=self._settings.seconds)
        except ldap.NO_SUCH_OBJECT:
            if scope == ldap.SCOPE_BASE:
                return []
            raise Problem(f"it has no {base}") from None
        except ldap.LDAPError as error:
            raise Problem(_what(error)) from None
        return [Entry(dn, values) for dn, values in found if dn is not None]  # None: a referral to elsewhere


def _what(error: Any) -> str:
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = [str(told[part]) for part in ("desc", "info") if told.get(part)]
    return " ".join(": ".join(said).split()) or type(error).__name__
