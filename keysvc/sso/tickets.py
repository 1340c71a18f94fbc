"""Tickets: one program asks for one in a user's name, another trades it, once, for that user's credential."""

from __future__ import annotations

import secrets
from collections import abc
from dataclasses import dataclass
from datetime import datetime, timedelta

from keysvc.crypto import tickets
from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import AccessDenied, CannotDecrypt, Conflict, NotConfigured
from keysvc.model import Application, SecretText, UsedTicket, utc_now
from keysvc.plugin.changes import UNGUARDED, Change, UseTicket
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso import spelling

MAXIMUM_LIFETIME = timedelta(days=30)
"""Of a ticket that no application lets time out."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""How far the clocks of two SSO servers may be apart."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whoever has `text` may trade it for a credential of `user`, once, until `expires_at` at the latest."""

    text: SecretText
    user: str
    expires_at: datetime


class Tickets:
    """Any SSO server of the system redeems what any other issued. `cipher` gives that of a version, or of the active
    one for None; it raises CannotDecrypt for a version that is gone."""

    def __init__(self, store: MappingStore, cipher: abc.Callable[[int | None], CredentialCipher]) -> None:
        self._store = store
        self._cipher = cipher

    def issue(self, user: str, requester: str) -> Ticket:
        """Raises AccessDenied when no application takes tickets."""
        taking = [a for a in self._store.applications() if a.flags.enabled and a.flags.allow_tickets]
        if not taking:
            raise AccessDenied("no application takes tickets", hint="one needs the flag allowTickets")
        issued_at = utc_now().replace(microsecond=0)
        expires_at = issued_at + max(self._lifetime(application) for application in taking)
        claims = tickets.Claims(secrets.token_bytes(tickets.ID_BYTES), user, requester, issued_at, expires_at)
        return Ticket(tickets.sign(self._cipher(None), claims), user, expires_at)

    def open(self, application: Application, text: SecretText, sender: str | None) -> tickets.Claims:
        """What a ticket says that `application` may take now. Raises AccessDenied."""
        try:
            claims = tickets.verify(self._cipher(tickets.version_of(text)), text)
        except CannotDecrypt:
            raise AccessDenied(
                "the ticket is of a version of the master secret that is gone", hint=tickets.ASK_AGAIN
            ) from None
        if not application.flags.allow_tickets:
            raise AccessDenied(f"{application.name} takes no tickets", hint="it needs the flag allowTickets")
        if application.flags.validate_tickets and sender is None:
            raise AccessDenied(
                f"{application.name} takes a ticket only with the user whom it was sent by", hint="give its sender"
            )
        if sender is not None and sender != claims.user and not self._are_one(sender, claims.user):
            raise AccessDenied(f"the ticket is not of {sender}", logged="the ticket is of another user")
        now = utc_now()
        ends = min(claims.expires_at, claims.issued_at + self._lifetime(application))
        if now >= ends or claims.issued_at > now + CLOCKS_DIFFER:
            raise AccessDenied("the ticket has ended", hint=tickets.ASK_AGAIN)
        return claims

    def use(self, claims: tickets.Claims, *audit: Change) -> None:
        """Once, with what records it. Raises AccessDenied the second time. What ended everywhere is forgotten."""
        used = UsedTicket(claims.ticket_id.hex(), claims.expires_at)
        try:
            self._store.commit([UseTicket(used, utc_now() - 2 * CLOCKS_DIFFER), *audit], UNGUARDED)
        except Conflict:
            raise AccessDenied("the ticket was used already", hint=tickets.ASK_AGAIN) from None

    def _are_one(self, one: str, other: str) -> bool:
        rule = spelling.rule_of(self._store)
        return rule.key(one) == rule.key(other)

    def _lifetime(self, application: Application) -> timedelta:
        if not application.flags.timeout_tickets:
            return MAXIMUM_LIFETIME
        if application.ticket_timeout_minutes is not None:
            return timedelta(minutes=application.ticket_timeout_minutes)
        system = self._store.system()
        if system is None:
            raise NotConfigured("the mapping store holds no system any more")
        return timedelta(minutes=system.settings.ticket_timeout_minutes)
