"""Enrolling SSO servers, applications and administrators: one-time join tokens, certificates, revocation."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from collections import abc
from dataclasses import replace
from datetime import datetime, timedelta

from keysvc.crypto import certificates
from keysvc.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    KeysvcError,
    NotFound,
    ProtocolError,
    RateLimited,
    Revoked,
)
from keysvc.master.events import STORE_RIGHTS, EventKind, audit, audit_of_member, event, told
from keysvc.master.join_token import JoinToken
from keysvc.master.term import Term
from keysvc.model import Enrolment, Identity, Role, SecretText, host_name, names, utc_now
from keysvc.plugin.changes import (
    UNGUARDED,
    Change,
    ForgetEnrolments,
    PutEnrolment,
    PutIdentity,
    RedeemEnrolment,
)
from keysvc.plugin.interfaces import MappingStore

TOKEN_LIFETIME = timedelta(hours=1)
RENEWAL_PAUSE = timedelta(hours=1)
ATTEMPTS = 20
"""How often a change is repeated whose row another changed between reading and writing."""
AUTHORITY_ENDING = timedelta(days=365)
"""How long before it expires the authority's end is reported: every certificate expires with it."""
ENDING_PART = 6
"""A certificate is renewed in the last third of its life; one that is in the last sixth was not."""


def token_hash(secret: SecretText) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def admitted(
    peer: certificates.Peer, system_id: str, identity: Identity | None, authority: bytes, now: datetime
) -> Identity:
    """Return `identity` when it is that of the peer's very certificate, which `authority` (PEM) signed and which is
    valid `now`. Raises AccessDenied, Revoked."""
    known = enrolled_as(peer, system_id, identity, authority)
    peer.check(authority, now)
    return known


def enrolled_as(peer: certificates.Peer, system_id: str, identity: Identity | None, authority: bytes) -> Identity:
    """As `admitted`, whatever the dates of the certificate are. Raises AccessDenied, Revoked."""
    if peer.system_id != system_id or identity is None or identity.role is not peer.role:
        raise AccessDenied(f"{peer.name} is not enrolled in this system", hint="keysvc server enroll NAME")
    peer.check_issuer(authority)
    if peer.serial not in (identity.serial, identity.previous_serial):
        raise AccessDenied(
            f"the certificate of {peer.name} was replaced by another enrolment",
            hint=f"use the newer one; if it is lost, {_let_in_again(identity)}",
        )
    if identity.revoked_at is not None:
        raise Revoked(f"the certificate of {peer.name} was revoked", hint=_let_in_again(identity))
    return identity


def _let_in_again(peer: Identity) -> str:
    """An administrator who was revoked may have been the only one, and a master nobody can ask."""
    if peer.role in (Role.ADMINISTRATOR, Role.MASTER):
        return f"on the machine that holds the authority: keysvc server readmit {peer.name}"
    return f"an SSO administrator may let it in again: keysvc server enroll {peer.name}"


class Identities:
    """The identities and join tokens of a system. Each change reads the row, then compares and swaps it.

    Identities are also kept in memory, so that a poll costs no database work.
    """

    def __init__(self, store: MappingStore, system_id: str, term: Term, authority: certificates.KeyPair) -> None:
        self._system_id = system_id
        self._store = store
        self._term = term
        self._authority = authority
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._contested: set[str] = set()
        self._telling = threading.Lock()  # one of two who ask at once records it
        self._seen: dict[str, str] = {}
        self._known = {identity.name: identity for identity in store.identities()}

    @property
    def authority_certificate(self) -> bytes:
        """PEM; public."""
        return self._authority.certificate

    def admit(self, peer: certificates.Peer) -> Identity:
        """Raises AccessDenied unless this very certificate is enrolled, valid now and not revoked. Does not block."""
        known = self._known.get(peer.name)
        identity = admitted(peer, self._system_id, known, self._authority.certificate, utc_now())
        if identity.previous_may_renew and peer.serial == identity.serial:
            self._seen[peer.name] = peer.serial
        return identity

    def all(self) -> list[Identity]:
        """By name."""
        with self._lock:
            return [self._known[name] for name in sorted(self._known)]

    def enroll(self, name: str, role: Role, actor: str) -> JoinToken:
        """Make a one-time join token, good for an hour, and delete those that expired. Raises InvalidInput, also for a
        name that is somebody else's but for upper and lower case: accounts are compared without."""
        certificates.check_name(name)
        names.check("server", name)
        for other in self.all():
            if other.name != name and names.same(other.name, name):
                raise InvalidInput(f"{other.name} is enrolled already", hint="names differ by more than case")
        token, enrolment = _token(self._authority, name, role)
        made = audit(actor, "identity.token-made", name, role=role.value)
        self._term.commit(ForgetEnrolments(utc_now()), PutEnrolment(enrolment), made)
        return token

    def tokens(self) -> list[Enrolment]:
        """The join tokens that can be redeemed now, by name."""
        now = utc_now()
        return [enrolment for enrolment in self._store.enrolments() if enrolment.expires_at >= now]

    def cancel_tokens(self, name: str, actor: str) -> int:
        """End the join tokens of a name. Returns how many. Raises NotFound when there is none."""
        for _ in range(ATTEMPTS):
            ended = _ended([each for each in self.tokens() if each.name == name], actor)
            if not ended:
                raise NotFound(f"no join token of {name} can be redeemed", hint="keysvc server tokens")
            with contextlib.suppress(Conflict):  # one was redeemed meanwhile
                self._term.commit(*ended)
                return len(ended) - 1
        raise Conflict(f"the join tokens of {name} change too fast")

    def redeem(self, secret: SecretText, request: bytes) -> tuple[Identity, bytes]:
        """Redeem a token: an identity and its certificate for the key in `request`. Raises AccessDenied."""
        enrolment = self._store.enrolment(token_hash(secret))
        now = utc_now()
        if enrolment is None or enrolment.redeemed_at or enrolment.ended_at or enrolment.expires_at < now:
            raise AccessDenied(
                "the join token is unknown, used, cancelled, or older than an hour",
                hint="make a new one: keysvc server enroll NAME",
            )
        before = self._store.identity(enrolment.name)
        certificate = self._sign(request, enrolment.name, enrolment.role, now)
        identity = _identity(enrolment.name, enrolment.role, certificate, now, before)
        enrolled = told(identity.name, EventKind.IDENTITY_ENROLLED, identity.name, role=identity.role.value)
        try:
            redemption = RedeemEnrolment(enrolment.token_hash, enrolment.revision, now, identity)
            self._commit(identity, [redemption, *enrolled])
        except (Conflict, NotFound):
            raise AccessDenied(
                "the join token was used or cancelled meanwhile", hint="make a new one: keysvc server enroll NAME"
            ) from None
        return identity, certificate

    def renew(self, name: str, serial: str, request: bytes) -> bytes:
        """Return a new certificate for the key in `request`, in place of that with `serial`, which stays good until it
        expires: another process of that machine may not have seen the new one yet.

        The one with `serial` was admitted. It renews in the last third of its life, once an hour. One that was replaced
        renews once more, until the new one is seen: the answer may be lost. Raises Revoked, AccessDenied, RateLimited.
        """
        now, known = utc_now(), self._store.identity(name)
        if known is None or known.revoked_at is not None:
            raise Revoked(f"the certificate of {name} was revoked", hint=_let_in_again(known) if known else None)
        if serial != known.serial and not self._may_renew_again(known, serial):
            self._report_contested(known, serial)
            raise AccessDenied(
                f"the certificate of {name} was replaced, and the new one is in use or was renewed",
                hint="if this machine does not have the new one, somebody copied its key: revoke it and enrol it again",
            )
        if not _may_be_renewed(known, serial, now):
            raise RateLimited(
                f"the certificate of {name} is not due for renewal",
                hint="it is renewed in the last third of its life, at most once an hour",
            )
        return self._renewed(known, serial, request, now)

    def renew_own(self, peer: certificates.Peer, request: bytes) -> bytes:
        """Return a new certificate for this master secret server itself, whatever the dates of the old one are: who
        holds the authority and the lease needs no certificate to ask for one. Raises AccessDenied, Revoked."""
        now, known = utc_now(), self._store.identity(peer.name)
        identity = enrolled_as(peer, self._system_id, known, self._authority.certificate)
        return self._renewed(identity, peer.serial, request, now)

    def _renewed(self, known: Identity, serial: str, request: bytes, now: datetime) -> bytes:
        certificate = self._sign(request, known.name, known.role, now)
        renewed = replace(
            _identity(known.name, known.role, certificate, now, known),
            previous_serial=serial,
            previous_may_renew=serial == known.serial,
        )
        change = audit_of_member(known.name, "identity.renewed", known.name)
        self._commit(renewed, [PutIdentity(renewed), change])
        return certificate

    def record_seen(self) -> None:
        """Store that new certificates were seen: those that they replaced renew no more. By the worker alone."""
        for name, serial in list(self._seen.items()):
            identity = self._store.identity(name)
            if identity is not None and identity.serial == serial and identity.previous_may_renew:
                seen = replace(identity, previous_may_renew=False)
                with contextlib.suppress(Conflict):  # what it is now is looked at when it is seen again
                    self._commit(seen, [PutIdentity(seen)])
            if self._seen.get(name) == serial:
                del self._seen[name]

    def tell_of_ending(self) -> None:
        """An event for each certificate that was not renewed in time, and for an authority in its last year, once in
        the life of this process."""
        with self._telling:
            self._tell_of_ending(utc_now())

    def _tell_of_ending(self, now: datetime) -> None:
        authority = certificates.serial(self._authority.certificate)
        if self.authority_warnings() and authority not in self._told:
            ends = certificates.not_after(self._authority.certificate)
            told_of = event(EventKind.AUTHORITY_ENDING, subject=self._system_id, expires_at=str(ends))
            self._term.commit(told_of)
            self._told.add(authority)
        ending = [i for i in self.all() if i.revoked_at is None and _ends_soon(i, now) and i.serial not in self._told]
        if ending:
            events = [
                event(EventKind.CERTIFICATE_ENDING, subject=i.name, role=i.role.value, expires_at=str(i.expires_at))
                for i in ending
            ]
            self._term.commit(*events)
            self._told.update(identity.serial for identity in ending)

    def authority_warnings(self) -> tuple[str, ...]:
        """That the authority is in its last year."""
        ends = certificates.not_after(self._authority.certificate)
        if ends - utc_now() > AUTHORITY_ENDING:
            return ()
        return (
            f"the certificate authority ends on {ends:%Y-%m-%d}, and every certificate with it: plan its replacement",
        )

    def revoke(self, name: str, actor: str, *, force: bool = False) -> None:
        """Deny an identity from now on, and end the join tokens of its name. Repeatable. Raises NotFound; without
        `force` ProtocolError for the only master, whom nobody could replace."""
        for _ in range(ATTEMPTS):
            identity = self._store.identity(name)
            if identity is None:
                raise NotFound(f"nobody is enrolled as {name}", hint="keysvc server list; keysvc server cancel NAME")
            if identity.role is Role.ADMINISTRATOR and name == actor:
                raise ProtocolError("an administrator cannot revoke itself", hint="let another administrator do it")
            if not force and self._is_only_master(identity):
                raise ProtocolError(
                    f"{name} is the only master secret server: after its next start nothing works",
                    hint="enrol another first, or use --force; on this machine keysvc server readmit NAME undoes it",
                )
            changes = _ended([each for each in self._store.enrolments() if each.name == name], actor)
            if identity.revoked_at is None:
                identity = replace(identity, revoked_at=utc_now())
                changes += [PutIdentity(identity), *told(actor, EventKind.IDENTITY_REVOKED, name)]
            if not changes:
                return
            with contextlib.suppress(Conflict):  # it was renewed, or a token redeemed, meanwhile
                self._commit(identity, changes)
                return
        raise Conflict(f"the identity {name} changes too fast")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _is_only_master(self, identity: Identity) -> bool:
        masters = {each.name for each in self._store.identities() if _is_live_master(each)}
        return masters == {identity.name}

    def _sign(self, request: bytes, name: str, role: Role, now: datetime) -> bytes:
        hosts = [host_name(role, self._system_id)]
        return certificates.sign_request(
            self._authority, request, name, role, now=now, hosts=hosts, system_id=self._system_id
        )

    def _commit(self, identity: Identity, changes: abc.Sequence[Change]) -> None:
        """And know what became of the identity, also when the answer of the mapping store was lost."""
        try:
            self._term.commit(*changes)
        except KeysvcError:
            with contextlib.suppress(KeysvcError):
                self._know(self._store.identity(identity.name))
            raise
        self._know(replace(identity, revision=identity.revision + 1))

    def _know(self, identity: Identity | None) -> None:
        with self._lock:
            known = self._known.get(identity.name) if identity is not None else None
            if identity is not None and (known is None or known.revision < identity.revision):
                self._known[identity.name] = identity

    def _report_contested(self, known: Identity, serial: str) -> None:
        """Store an event, once for each certificate in the life of this process. The renewal is refused in any case."""
        if serial not in self._contested:
            contested = event(EventKind.CERTIFICATE_CONTESTED, subject=known.name, role=known.role.value)
            with contextlib.suppress(KeysvcError):
                self._term.commit(contested)
                self._contested.add(serial)

    def _may_renew_again(self, known: Identity, serial: str) -> bool:
        was_seen = self._seen.get(known.name) == known.serial
        return serial == known.previous_serial and known.previous_may_renew and not was_seen


def _is_live_master(identity: Identity) -> bool:
    return identity.role is Role.MASTER and identity.revoked_at is None


def readmit(store: MappingStore, authority: certificates.KeyPair, name: str) -> tuple[JoinToken, Identity]:
    """Make a join token for an identity that cannot get in: expired, lost or revoked. Redeeming it clears a revocation.

    For whoever holds the authority's key and the login to the mapping store, where no administrator can get in. Raises
    NotFound; ConfigurationError for an authority without its key.
    """
    certificates.check_key(authority)
    identity = store.identity(name)
    if identity is None:
        known = ", ".join(sorted(each.name for each in store.identities() if each.role is not Role.SERVER))
        raise NotFound(f"nobody is enrolled as {name}", hint=f"administrators, masters and applications are: {known}")
    token, enrolment = _token(authority, identity.name, identity.role)
    readmitted = told(STORE_RIGHTS, EventKind.IDENTITY_READMITTED, identity.name, role=identity.role.value)
    store.commit([PutEnrolment(enrolment), *readmitted], UNGUARDED)
    return token, identity


def _token(authority: certificates.KeyPair, name: str, role: Role) -> tuple[JoinToken, Enrolment]:
    token = JoinToken(certificates.fingerprint(authority.certificate), SecretText(secrets.token_urlsafe(24)))
    return token, Enrolment(token_hash(token.secret), name, role, utc_now() + TOKEN_LIFETIME)


def _ended(enrolments: abc.Sequence[Enrolment], actor: str) -> list[Change]:
    """The changes that end these tokens, and one that records it; none for none."""
    if not enrolments:
        return []
    name, now = enrolments[0].name, utc_now()
    ended: list[Change] = [PutEnrolment(replace(enrolment, ended_at=now)) for enrolment in enrolments]
    return [*ended, audit(actor, "identity.token-cancelled", name, tokens=len(ended))]


def _identity(name: str, role: Role, certificate: bytes, now: datetime, before: Identity | None) -> Identity:
    serial, ends = certificates.serial(certificate), certificates.not_after(certificate)
    return Identity(name, role, serial, now, expires_at=ends, revision=before.revision if before else 0)


def _may_be_renewed(identity: Identity, serial: str, now: datetime) -> bool:
    """A certificate that was replaced was due already; one that was issued in the future is due now."""
    if now < identity.enrolled_at:
        return True
    if now - identity.enrolled_at < RENEWAL_PAUSE:
        return False
    ends = identity.expires_at
    return serial != identity.serial or ends is None or ends - now < (ends - identity.enrolled_at) / 3


def _ends_soon(identity: Identity, now: datetime) -> bool:
    ends = identity.expires_at
    return ends is not None and ends - now < (ends - identity.enrolled_at) / ENDING_PART
