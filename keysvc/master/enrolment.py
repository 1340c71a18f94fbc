"""Letting SSO servers, applications and administrators in: one-time join tokens, certificates, revocation."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import replace
from datetime import datetime, timedelta

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, Conflict, InvalidInput, NotFound, ProtocolError, Revoked
from keysvc.master.events import EventKind, audit, event, told
from keysvc.master.join_token import JoinToken
from keysvc.master.lease import Leadership
from keysvc.model import Enrolment, Identity, Role, SecretText, host_name, utc_now
from keysvc.plugin.changes import PutEnrolment, PutIdentity, RedeemEnrolment
from keysvc.plugin.interfaces import MappingStore

TOKEN_LIFETIME = timedelta(hours=1)
ENDING_PART = 6
"""A certificate is renewed in the last third of its life; one that is in the last sixth was not."""


def token_hash(secret: SecretText) -> str:
    """What is kept of a token."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def admitted(peer: certificates.Peer, system_id: str, identity: Identity | None) -> Identity:
    """`identity`, when it is that of the peer's very certificate. Raises AccessDenied, Revoked."""
    if peer.system_id != system_id or identity is None or identity.role is not peer.role:
        raise AccessDenied(f"{peer.name} is not enrolled in this system", hint="keysvc server enroll NAME")
    if peer.serial not in (identity.serial, identity.previous_serial):
        raise AccessDenied(f"the certificate of {peer.name} was replaced by another enrolment", hint="enrol it again")
    if identity.revoked_at is not None:
        raise Revoked(f"the certificate of {peer.name} was revoked")
    return identity


class Identities:
    """Who is let in. Known in memory, so that a poll costs no database work."""

    def __init__(
        self, store: MappingStore, system_id: str, leadership: Leadership, authority: certificates.KeyPair
    ) -> None:
        self._system_id = system_id
        self._store = store
        self._leadership = leadership
        self._authority = authority
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._known = {identity.name: identity for identity in store.identities()}

    @property
    def authority_certificate(self) -> bytes:
        """PEM; public."""
        return self._authority.certificate

    def admit(self, peer: certificates.Peer) -> Identity:
        """Raises AccessDenied unless this very certificate is enrolled and not revoked."""
        return admitted(peer, self._system_id, self._known.get(peer.name))  # of one moment, and waits for no commit

    def all(self) -> list[Identity]:
        """By name."""
        with self._lock:
            return [self._known[name] for name in sorted(self._known)]

    def enroll(self, name: str, role: Role, actor: str) -> JoinToken:
        """Make a one-time join token, good for an hour. Raises InvalidInput, also for a name that is somebody else's
        but for upper and lower case: accounts are compared without."""
        certificates.check_name(name)
        for other in self.all():
            if other.name != name and other.name.casefold() == name.casefold():
                raise InvalidInput(f"{other.name} is enrolled already", hint="names differ by more than case")
        token = JoinToken(certificates.fingerprint(self._authority.certificate), SecretText(secrets.token_urlsafe(24)))
        enrolment = Enrolment(token_hash(token.secret), name, role, utc_now() + TOKEN_LIFETIME)
        self._store.commit(
            [PutEnrolment(enrolment), audit(actor, "identity.token-made", name, role=role.value)],
            self._leadership.guard,
        )
        return token

    def redeem(self, secret: SecretText, request: bytes) -> tuple[Identity, bytes]:
        """Redeem a token: an identity and its certificate for the key in `request`. Raises AccessDenied."""
        key = token_hash(secret)
        enrolment = self._store.enrolment(key)
        now = utc_now()
        if enrolment is None or enrolment.redeemed_at is not None or enrolment.expires_at < now:
            raise AccessDenied(
                "the join token is unknown, used, or older than an hour",
                hint="make a new one: keysvc server enroll NAME",
            )
        certificate = certificates.sign_request(
            self._authority,
            request,
            enrolment.name,
            enrolment.role,
            now=now,
            hosts=[host_name(enrolment.role, self._system_id)],
            system_id=self._system_id,
        )
        identity = _identity(enrolment.name, enrolment.role, certificate, now)
        try:
            self._store.commit(
                [
                    RedeemEnrolment(key, now),
                    PutIdentity(identity),
                    *told(identity.name, EventKind.IDENTITY_ENROLLED, identity.name, role=identity.role.value),
                ],
                self._leadership.guard,
            )
        except (Conflict, NotFound):
            raise AccessDenied("the join token was used meanwhile") from None
        with self._lock:
            self._known[identity.name] = identity
        return identity, certificate

    def renew(self, identity: Identity, serial: str, request: bytes) -> bytes:
        """A new certificate for the key in `request`, in place of that with `serial`, which stays good until it ends:
        the answer may be lost, and another process of that machine may not have seen the new one yet."""
        now, hosts = utc_now(), [host_name(identity.role, self._system_id)]
        certificate = certificates.sign_request(
            self._authority, request, identity.name, identity.role, now=now, hosts=hosts, system_id=self._system_id
        )
        renewed = replace(_identity(identity.name, identity.role, certificate, now), previous_serial=serial)
        entry = audit(identity.name, "identity.renewed", identity.name, role=identity.role.value)
        with self._lock:
            known = self._known.get(identity.name)
            if known is None or known.revoked_at is not None:
                raise Revoked(f"the certificate of {identity.name} was revoked")
            self._store.commit([PutIdentity(renewed), entry], self._leadership.guard)
            self._known[identity.name] = renewed
        return certificate

    def tell_of_ending(self) -> None:
        """An event for each certificate that was not renewed in time, once in the life of this process."""
        now = utc_now()
        ending = [i for i in self.all() if i.revoked_at is None and _ends_soon(i, now) and i.serial not in self._told]
        if ending:
            events = [
                event(EventKind.CERTIFICATE_ENDING, subject=i.name, role=i.role.value, expires_at=str(i.expires_at))
                for i in ending
            ]
            self._store.commit(events, self._leadership.guard)
            self._told.update(identity.serial for identity in ending)

    def revoke(self, name: str, actor: str) -> None:
        """Let an identity in no more. Repeatable. Raises NotFound."""
        with self._lock:
            identity = self._known.get(name)
        if identity is None:
            raise NotFound(f"nobody is enrolled as {name}", hint="keysvc server list")
        if identity.role is Role.ADMINISTRATOR and name == actor:
            raise ProtocolError("an administrator cannot revoke itself", hint="let another administrator do it")
        if identity.revoked_at is None:
            identity = replace(identity, revoked_at=utc_now())
            self._store.commit(
                [PutIdentity(identity), *told(actor, EventKind.IDENTITY_REVOKED, name)], self._leadership.guard
            )
            with self._lock:
                self._known[name] = identity


def _identity(name: str, role: Role, certificate: bytes, now: datetime) -> Identity:
    return Identity(name, role, certificates.serial(certificate), now, expires_at=certificates.not_after(certificate))


def _ends_soon(identity: Identity, now: datetime) -> bool:
    ends = identity.expires_at
    return ends is not None and ends - now < (ends - identity.enrolled_at) / ENDING_PART
