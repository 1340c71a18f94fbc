"""A connection to an LDAP server, by python-ldap: its only importer. Verifies certificates, follows no referral."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import ssl
import time
from collections import abc
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import ldap
import ldap.filter
from ldap.controls.libldap import SimplePagedResultsControl

from keysvc_ldap import Settings
from keysvc_ldap.connecting import connected, through_tls

log = logging.getLogger("keysvc.ldap")
TLS_1_2 = 0x303
PAGE = 500
"""Entries of one page. Domain controllers give 1000 at most."""
TOGETHER = 50
"""How many names one search contains, and how many requests are on their way at once."""
RANGE = re.compile(r"(.+);range=(\d+)-(\d+|\*)", re.IGNORECASE)
"""An attribute of which the server returned some values, the first and the last by number; `*` when none follow."""
WHOLE_DIRECTORY = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.BUSY,
    ldap.DECODING_ERROR,
    ldap.ENCODING_ERROR,
    ldap.LOCAL_ERROR,
    ldap.NO_MEMORY,
)
"""Errors that say nothing of what was asked for: the next question would fail as well."""


class Problem(Exception):
    """The directory does not answer, or not so that it can be used; in one line, without a secret."""


class Refused(Problem):
    """The directory answers, and does not return what was asked for."""


class Absent(Refused):
    """It has no such entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with the attributes that were asked for, whose names are folded, and all values of each."""

    dn: str
    attributes: abc.Mapping[str, abc.Sequence[bytes]] = field(repr=False)

    def texts(self, attribute: str) -> list[str]:
        """Return the values of an attribute; none when the entry lacks it."""
        return [value.decode("utf-8", "replace") for value in self.attributes.get(attribute.casefold(), ())]


def quoted(value: str) -> str:
    """Return what stands for just this value in a filter (RFC 4515)."""
    return str(ldap.filter.escape_filter_chars(value))


def any_of(attributes: abc.Iterable[str], values: abc.Iterable[str]) -> str:
    """Return the filter for entries that have one of the values in one of the attributes."""
    names = list(attributes)
    return f"(|{''.join(f'({name}={quoted(value)})' for value in values for name in names)})"


def chunks(values: abc.Sequence[str]) -> abc.Iterator[abc.Sequence[str]]:
    """Yield the values in parts that fit in one search."""
    for start in range(0, len(values), TOGETHER):
        yield values[start : start + TOGETHER]


class Directory:
    """A connection, bound while the context lasts. One deadline holds for everything in it, connecting included.
    Everything raises Problem."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = contextlib.ExitStack()
        self._deadline = time.monotonic() + settings.seconds

    def __enter__(self) -> Self:
        try:
            with contextlib.ExitStack() as ending:
                self._connection = self._connected(ending)
                self._ending = ending.pop_all()
        except ssl.SSLCertVerificationError as error:
            raise Problem(f"its certificate is not accepted: {error.verify_message}") from None
        except (OSError, ldap.LDAPError) as error:
            raise self._problem(error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.close()

    def _connected(self, ending: contextlib.ExitStack) -> Any:
        settings = self._settings
        made: socket.socket | None = None
        if settings.host and settings.start_tls:
            made = ending.enter_context(connected(settings.host, settings.port, self._left()))
        elif settings.host:
            made = ending.enter_context(through_tls(settings.host, settings.port, self._left(), settings.ca_file))
        uri = "ldapi://" if settings.host and not settings.start_tls else settings.uri
        # libldap closes what it is given, when it is unbound
        connection = ldap.initialize(uri, fileno=None if made is None else os.dup(made.fileno()))
        ending.callback(connection.unbind_ext)
        connection.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_DEREF, ldap.DEREF_NEVER)
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, self._left())
        connection.set_option(ldap.OPT_TIMEOUT, self._left())
        if settings.start_tls:
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, TLS_1_2)
            if settings.ca_file:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, settings.ca_file)
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # last: it puts the options above into effect
            connection.start_tls_s()
            connection.set_option(ldap.OPT_TIMEOUT, self._left())
        connection.simple_bind_s(settings.bind_dn, settings.password.reveal())
        return connection

    def search(self, base: str, matching: str, attributes: abc.Sequence[str]) -> list[Entry]:
        """Return everything below `base` that matches, page by page where the server can."""
        found: list[Entry] = []
        page = SimplePagedResultsControl(False, size=PAGE, cookie=b"")
        while True:
            try:
                entries, controls = self._answer(self._sent(base, ldap.SCOPE_SUBTREE, matching, attributes, page))
            except Absent:
                raise Refused(f"it has no {base}") from None
            found += entries
            page.cookie = next((c.cookie for c in controls if c.controlType == page.controlType), b"")
            if not page.cookie:
                return found

    def entries(
        self, dns: abc.Sequence[str], attributes: abc.Sequence[str], naming: abc.Sequence[str]
    ) -> abc.Collection[Entry]:
        """Return the entries of these names, without those that are absent, in another directory or refused: of the
        last two the log tells. One search looks for many of them where the server keeps an entry's own name in one of
        the attributes `naming`; the rest are asked for one by one, without waiting for each answer."""
        found: dict[str, Entry] = {}
        wanted = {dn.casefold() for dn in dns}
        for some in chunks(dns) if naming else ():
            with contextlib.suppress(Refused):  # a search that is too large, or not for everybody
                answer = self.search(self._settings.base, any_of(naming, some), attributes)
                found |= {entry.dn.casefold(): entry for entry in answer if entry.dn.casefold() in wanted}
        refusals: dict[str, str] = {}
        for some in chunks([dn for dn in dns if dn.casefold() not in found]):
            sent = {dn: self._sent(dn, ldap.SCOPE_BASE, "(objectClass=*)", attributes) for dn in some}
            for dn, request in sent.items():
                try:
                    found |= {dn.casefold(): entry for entry in self._answer(request)[0]}
                except Absent:
                    continue
                except Refused as refusal:
                    refusals[dn] = str(refusal)
        if refusals:
            named = "; ".join(f"{dn}: {why}" for dn, why in list(refusals.items())[:3])
            log.warning("the directory does not return %d groups, which are left out: %s", len(refusals), named)
        return found.values()

    def _sent(
        self,
        base: str,
        scope: int,
        matching: str,
        attributes: abc.Sequence[str],
        *controls: SimplePagedResultsControl,
    ) -> int:
        """Send a search; return its number."""
        try:
            return int(self._connection.search_ext(base, scope, matching, list(attributes), serverctrls=list(controls)))
        except ldap.LDAPError as error:
            raise self._problem(error) from None

    def _answer(self, request: int) -> tuple[list[Entry], abc.Sequence[Any]]:
        """Return the entries, each with all its values, and the controls of the answer."""
        found, controls = self._result(request)
        return [self._complete(dn, attributes) for dn, attributes in found], controls

    def _result(self, request: int) -> tuple[list[tuple[str, abc.Mapping[str, list[bytes]]]], abc.Sequence[Any]]:
        """As the server sends it, without references to other directories."""
        try:
            _, found, _, controls = self._connection.result3(request, timeout=self._left())
        except ldap.LDAPError as error:
            raise self._problem(error) from None
        return [(dn, attributes) for dn, attributes in found if dn is not None], controls

    def _complete(self, dn: str, attributes: abc.Mapping[str, abc.Sequence[bytes]]) -> Entry:
        """Fetch the values that the server held back ([MS-ADTS] 3.1.1.3.1.3.3)."""
        values: dict[str, list[bytes]] = {}
        for name, some in attributes.items():
            ranged = RANGE.fullmatch(name)
            held = values.setdefault((ranged[1] if ranged else name).casefold(), [])
            held += some
            held += self._rest(dn, ranged) if ranged else ()
        return Entry(dn, values)

    def _rest(self, dn: str, ranged: re.Match[str]) -> abc.Iterator[bytes]:
        """Yield the values behind a range."""
        while ranged[3] != "*":
            following = f"{ranged[1]};range={int(ranged[3]) + 1}-*"
            found, _ = self._result(self._sent(dn, ldap.SCOPE_BASE, "(objectClass=*)", [following]))
            ranged, values = _values_from(following, found[0][1] if found else {})
            yield from values

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Problem("it took too long")
        return left

    def _problem(self, error: Any) -> Problem:
        if time.monotonic() >= self._deadline or isinstance(error, (TimeoutError, ldap.TIMEOUT)):
            return Problem("it took too long")
        if isinstance(error, OSError):
            return Problem(getattr(error, "reason", None) or error.strerror or "the connection broke")
        if isinstance(error, WHOLE_DIRECTORY):
            return Problem(_what(error))
        return Absent("it has no such entry") if isinstance(error, ldap.NO_SUCH_OBJECT) else Refused(_what(error))


def _values_from(
    wanted: str, attributes: abc.Mapping[str, abc.Sequence[bytes]]
) -> tuple[re.Match[str], abc.Sequence[bytes]]:
    """Return the name, parsed, and the values of the one attribute that begins as `wanted` does."""
    first = wanted.rpartition("-")[0].casefold()
    for name, values in attributes.items():
        ranged = RANGE.fullmatch(name)
        if ranged and name.rpartition("-")[0].casefold() == first and (ranged[3] == "*" or values):
            return ranged, values
    raise Problem(f"it keeps {wanted} back")


def _what(error: Any) -> str:
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = [str(told[part]) for part in ("desc", "info") if told.get(part)]
    return " ".join(": ".join(said).split()) or type(error).__name__
