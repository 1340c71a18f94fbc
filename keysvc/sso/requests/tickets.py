"""Requests about tickets: issue one, trade it for a credential."""

from __future__ import annotations

from keysvc.model import AuditTrail, SecretText
from keysvc.sso import lookup_audit
from keysvc.sso.credentials import Credential
from keysvc.sso.entries import of_user
from keysvc.sso.permissions import Right
from keysvc.sso.requests.request import Name, Request
from keysvc.sso.tickets import Ticket
from keysvc.sso.work import Work

REDEEMED = "ticket.redeemed"


class IssueTicket(Request[Ticket], frozen=True):
    """For `user`, or for the caller itself."""

    user: str | None = None

    needs = (Right.ISSUE_TICKETS,)

    def act(self, work: Work) -> Ticket:
        work.services.require_enabled()
        user = self.user if self.user is not None else work.caller.name
        return work.services.tickets.issue(user, work.caller.name)


class RedeemTicket(Request[Credential], frozen=True):
    """`sender` is whom the ticket came from: an application that validates tickets demands it."""

    application: Name
    ticket: SecretText
    sender: str | None = None

    needs = (Right.REDEEM_TICKETS,)

    def act(self, work: Work) -> Credential:
        services, actor = work.services, work.caller.name
        with services.lookups.of(actor, self.application, "a ticket", lookup_audit.RECORDED_ALREADY):
            services.require_enabled()
            claims = services.tickets.open(work.found.definition, self.ticket, self.sender)
            credential, _ = services.stored.of_user(self.application, claims.user)
            detail, trail = {"requester": claims.requester}, AuditTrail.MEMBERS  # there is one for each sign-on
            entry = of_user(actor, REDEEMED, self.application, claims.user, detail, trail=trail)
            services.tickets.use(claims, *work.recorded(entry))
        return credential
