"""What talks to the master secret server."""

from __future__ import annotations

import contextlib
import functools
import http.client
import queue
import secrets
import ssl
import threading
from collections import abc
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import quote, urlsplit

from msgspec.json import Decoder

from keysvc.crypto import certificates
from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import (
    AccessDenied,
    ConfigurationError,
    KeyStoreError,
    KeysvcError,
    MasterSecretServerUnavailable,
    ProtocolError,
)
from keysvc.master.join_token import JoinToken
from keysvc.master.notifier_states import NotifierStates
from keysvc.master.status import SystemStatus
from keysvc.model import Announcement, BackupRecord, MasterSecret, Role, SecretBytes, VersionId, host_name
from keysvc.plugin.safe_files import prove_writable
from keysvc.web.asgi import messages
from keysvc.web.asgi.connection import CONNECT_SECONDS, with_query
from keysvc.web.master import messages as bodies
from keysvc.web.master.failover import ActiveMaster, Find
from keysvc.web.tls.identity_files import IDENTITY, MASTER_IDENTITY, IdentityFiles
from keysvc.web.tls.renewal import Renewal

MAXIMUM_AUTHORITY_BYTES = 64 * 1024
UNVERIFIED_SECONDS, JOINING_SECONDS = 15.0, 60.0
"""How long a machine that joins waits for a server that it does not know yet; and for its certificate."""
_Result = TypeVar("_Result")
JOIN_SECONDS = 20.0
"""How long a machine that joins waits for a standby to take over: the default `lease_ttl`, and a little more."""
POLL_SECONDS = 5.0
"""How long a poll may take beyond what it waits for a change: it costs the master secret server next to nothing."""


_RENEWAL_ANSWER = Decoder(messages.RenewalAnswer)
_POLL_ANSWER = Decoder(messages.PollAnswer)
_FETCH_ANSWER = Decoder(messages.FetchAnswer)
_ROTATION_ANSWER = Decoder(messages.RotationAnswer)
_ENROL_ANSWER = Decoder(messages.EnrolAnswer)
_IDENTITY_PAGE = Decoder(messages.IdentityPage)
_TOKEN_PAGE = Decoder(messages.TokenPage)
_TOKENS_CANCELLED = Decoder(messages.TokensCancelled)
_JOIN_ANSWER = Decoder(messages.JoinAnswer)
_AUTHORITY_ANSWER = Decoder(messages.AuthorityAnswer)
_NOTIFIER_STATES = Decoder(NotifierStates)
_RETRIED = Decoder(bodies.Retried)
_PLUGIN_PAGE = Decoder(bodies.PluginPage)
_FINDING_PAGE = Decoder(bodies.FindingPage)
_AUDIT_PROOF = Decoder(bodies.AuditProof)
_IMPORT_ANSWER = Decoder(bodies.ImportAnswer)
_STATUS = Decoder(SystemStatus)


class MasterClient:
    """One process's way to the master secret server. Thread-safe. Fulfils `keysvc.sso.poller.MasterSecretServer`."""

    def __init__(
        self,
        urls: abc.Sequence[str],
        identity: IdentityFiles,
        system_id: str,
        find: Find = lambda: "",
        patience: float = 0.0,
        *,
        schema_version: int = 1,
    ) -> None:
        """`find` and `patience` as of `ActiveMaster`. A poll says `schema_version`: the newest schema of a mapping
        store that this process knows."""
        self._name = identity.peer().name
        self._system_id = system_id
        self._instance = secrets.token_hex(8)
        self._said = {"Keysvc-Schema": str(schema_version)}
        context = identity.client_context()
        host, own = host_name(Role.MASTER, system_id), identity.problem_with_dates
        self._master = ActiveMaster(urls, context, host, find, patience, own=own)
        self._renewal = Renewal(identity, context, self.renew, replaced=self._master.reconnect)

    def keep_certificate(self) -> None:
        """Renew this machine's certificate when it is in the last third of its life. Never raises."""
        self._renewal.when_due()

    def renew(self) -> tuple[bytes, SecretBytes]:
        """A new certificate and its key, in place of this machine's."""
        request, key = certificates.request(self._name)
        asked = messages.RenewalRequest(request.decode("ascii"))
        response = self._master.request("POST", "/v1/renewal", asked)
        return self._master.decode(response, _RENEWAL_ANSWER).certificate.encode("ascii"), key

    def poll(
        self,
        versions_held: tuple[VersionId, ...],
        etag: str | None,
        *,
        wait: float = 0.0,
        url: str | None = None,
        problem: str | None = None,
    ) -> Announcement | None:
        """One conditional request, which may `wait` so many seconds for a change. A standby tells its `url`, and the
        `problem` that keeps it from taking over."""
        self.keep_certificate()
        path = with_query(
            "/v1/poll",
            instance=self._instance,
            holds=",".join(map(str, versions_held)),
            wait=f"{wait:.3f}" if wait > 0 else None,
            url=url,
            problem=problem,
        )
        headers = {**self._said, "If-None-Match": etag} if etag else self._said
        response = self._master.request("GET", path, headers=headers, seconds=wait + POLL_SECONDS)
        if response.status == 304:
            return None
        return self._master.decode(response, _POLL_ANSWER).announcement(response.headers.get("etag", ""))

    def fetch(self, version: int) -> SecretBytes:
        """The material of a version."""
        from keysvc.crypto import transport

        return self._sealed(f"/v1/versions/{version}", transport.fetch_context(self._system_id, version, self._name))

    def fetch_authority_key(self) -> SecretBytes:
        """The private key (PEM) of the certificate authority, for a standby."""
        from keysvc.crypto import transport

        return self._sealed("/v1/authority-key", transport.authority_context(self._system_id, self._name))

    def _sealed(self, path: str, context: bytes) -> SecretBytes:
        """Ask for a secret, sealed to a key that is made for this one answer; with the best KEM that both ends have."""
        from keysvc.crypto import transport

        for kem in transport.KEMS[:-1]:
            with contextlib.suppress(ProtocolError):
                return self._sealed_with(kem, path, context)
        return self._sealed_with(transport.KEMS[-1], path, context)

    def _sealed_with(self, kem: str, path: str, context: bytes) -> SecretBytes:
        from keysvc.crypto import transport

        receiver = transport.ReceiverKey.generate(kem)
        response = self._master.request("POST", path, messages.FetchRequest(receiver.kem, receiver.public))
        return receiver.open(self._master.decode(response, _FETCH_ANSWER).sealed, context)

    def leave(self) -> None:
        """Say goodbye; a master that is away needs none."""
        with contextlib.suppress(KeysvcError):
            self._master.request("POST", "/v1/goodbye", messages.Goodbye(self._instance))

    def status(self) -> SystemStatus:
        """Everything that it knows."""
        return self._master.get("/v1/status", _STATUS)

    def every_version(self, *, missing_ok: bool = False) -> list[MasterSecret]:
        """All that are not destroyed; with `missing_ok` without those that the master secret server cannot open now,
        else raises KeyStoreError for them. Raises ProtocolError for a secret that is not the version it is said to be.
        """
        announced = self.poll((), None)
        if announced is None:
            raise ProtocolError("the master secret server said that nothing is new to one that holds nothing")
        fetched = []
        for record in announced.versions:
            with contextlib.suppress(*[KeyStoreError] * missing_ok):
                fetched.append((record, MasterSecret(record.version, record.created_at, self.fetch(record.version))))
        self.leave()
        for record, secret in fetched:
            if not record.describes(secret):
                raise ProtocolError(f"the master secret server sent another secret as version {record.version}")
        return [secret for _, secret in fetched]

    def rotate(self, compromised: int | None = None) -> messages.RotationAnswer:
        """As `MasterSecretServer.rotate`."""
        query = "" if compromised is None else f"?compromised={compromised}"
        response = self._master.request("POST", f"/v1/rotations{query}")
        return self._master.decode(response, _ROTATION_ANSWER)

    def change_rotation(self, *, paused: bool | None = None, max_rows_per_second: int | None = None) -> None:
        """As `MasterSecretServer.change_rotation`."""
        self._master.request("PATCH", "/v1/rotation", messages.RotationChange(paused, max_rows_per_second))

    def destroy(self, version: int, *, force: bool) -> None:
        """Destroy a version that retired."""
        self._master.request("DELETE", f"/v1/versions/{version}?force={'true' if force else 'false'}")

    def step_down(self, *, force: bool) -> None:
        """Let a standby become the master secret server."""
        self._master.request("POST", with_query("/v1/step-down", force="true" if force else "false"))

    def record_backup(self, backup: BackupRecord) -> None:
        """Tell that a backup was written and proved."""
        self._master.request("POST", "/v1/backups", messages.BackupMade(backup.created_at, backup.versions))

    def enroll(self, name: str, role: str) -> str:
        """A one-time join token."""
        response = self._master.request("POST", "/v1/enrolments", messages.EnrolRequest(name, role))
        return self._master.decode(response, _ENROL_ANSWER).token

    def identities(self) -> list[messages.IdentityEntry]:
        """All that were enrolled."""
        found: list[messages.IdentityEntry] = []
        after: str | None = ""
        while after is not None:
            page = self.identity_page(after)
            found.extend(page.items)
            after = page.next
        return found

    def identity_page(self, after: str = "", limit: int = 500) -> messages.IdentityPage:
        """Those whose names follow `after`, by name."""
        return self._master.get(with_query("/v1/identities", after=after, limit=limit), _IDENTITY_PAGE)

    def tokens(self) -> tuple[messages.TokenEntry, ...]:
        """The join tokens that can be redeemed."""
        return self._master.get("/v1/enrolments", _TOKEN_PAGE).items

    def cancel_tokens(self, name: str) -> int:
        """End the join tokens of a name. Returns how many."""
        response = self._master.request("DELETE", f"/v1/enrolments/{quote(name, safe='')}")
        return self._master.decode(response, _TOKENS_CANCELLED).cancelled

    def revoke(self, name: str, *, force: bool = False) -> None:
        """Deny an identity from now on, and end the join tokens of its name. `force` as of `Identities.revoke`."""
        path = f"/v1/identities/{quote(name, safe='')}"
        self._master.request("DELETE", with_query(path, force="true" if force else None))

    def notifiers(self) -> NotifierStates:
        """What waits for each notifier, and what was parked."""
        return self._master.get("/v1/notifiers", _NOTIFIER_STATES)

    def retry_parked(self, event_id: str = "", notifier: str = "") -> int:
        """Offer parked events again: one, those of one notifier, or all. Return how many. Raises NotFound."""
        asked = bodies.RetryRequest(event_id, notifier)
        response = self._master.request("POST", "/v1/notifiers/retry", asked)
        return self._master.decode(response, _RETRIED).events

    def send_test(self) -> None:
        """Put a test event into the outbox."""
        self._master.request("POST", "/v1/notifiers/test")

    def plugins(self) -> tuple[bodies.PluginEntry, ...]:
        """Those on the machine of the master secret server."""
        return self._master.get("/v1/plugins", _PLUGIN_PAGE).items

    def examine(self) -> tuple[bodies.FindingEntry, ...]:
        """What the doctor finds on the machine of the master secret server."""
        return self._master.get("/v1/doctor", _FINDING_PAGE).items

    def switch_system(self, *, enabled: bool) -> None:
        """Let the system look up and change, or refuse both."""
        self._master.request("PATCH", "/v1/system", bodies.SystemSwitch(enabled))

    def prove_audit(self) -> tuple[bodies.TrailProof, ...]:
        """Verify every trail of the audit."""
        return self._master.get("/v1/audit/proof", _AUDIT_PROOF).trails

    def import_files(self, asked: bodies.ImportRequest) -> bodies.ImportAnswer:
        """Import files of Enterprise SSO, or say what that would change. Raises InvalidInput: then nothing changed."""
        return self._master.decode(self._master.request("POST", "/v1/imports", asked), _IMPORT_ANSWER)

    def close(self) -> None:
        """Repeatable."""
        self._master.close()


def join(
    url: str, token: JoinToken, directory: Path, identity: str = IDENTITY, system_id: str | None = None
) -> messages.JoinAnswer:
    """Enrol this machine: compare the authority with the one that the token pins, then trade the token's secret for a
    certificate, and write both under `directory`: a master's where masters have it, others' at `identity`. With
    `system_id`, of that system alone, which is checked before the token is spent. Raises AccessDenied,
    ConfigurationError, MasterSecretServerUnavailable, ProtocolError."""
    _prove_writable(directory, identity)
    shown = _within(UNVERIFIED_SECONDS, url, lambda: _unverified_authority(url))
    authority = certificates.first(shown.certificate.encode("utf-8"))  # others that follow it were not pinned
    if certificates.fingerprint(authority) != token.authority_fingerprint:
        raise AccessDenied(
            "the server shows another certificate authority than the join token pins",
            hint="check the URL; if it is right, somebody is in between: do not go on",
        )
    if system_id not in (None, shown.system_id):
        raise ConfigurationError(
            f"{directory} is of another system than the join token", hint="give the --dir of a machine of that system"
        )
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.minimum_version = ssl.TLSVersion.TLSv1_3
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pinned.load_verify_locations(cadata=authority.decode("ascii"))
    active = ActiveMaster([url], pinned, host_name(Role.MASTER, shown.system_id), lambda: "", JOIN_SECONDS)
    request, key = certificates.request("keysvc")
    asked = messages.JoinRequest(token.secret.reveal(), request.decode("ascii"))
    with contextlib.closing(active):
        found = _within(
            JOINING_SECONDS, url, lambda: active.decode(active.request("POST", "/v1/join", asked), _JOIN_ANSWER)
        )
    files = IdentityFiles(directory / (MASTER_IDENTITY if found.role == Role.MASTER else identity))
    certificate = certificates.first(found.certificate.encode("utf-8"))
    if files.exists():
        files.replace(certificate, key, authority)
    else:
        files.write(certificate, key, authority)
    return found


def _prove_writable(directory: Path, identity: str) -> None:
    """A token is spent before its certificate can be written."""
    try:
        prove_writable(directory)
        if (directory / identity).exists():
            prove_writable(directory / identity)
    except OSError as error:
        raise ConfigurationError(
            f"nothing can be written to {directory}: {error.strerror or type(error).__name__}",
            hint="the join token was not used: give another --dir, or permit this one",
        ) from None


def _within(seconds: float, url: str, call: abc.Callable[[], _Result]) -> _Result:
    """What `call` returns or raises; MasterSecretServerUnavailable after `seconds`, however slowly answers trickle."""
    ended: queue.SimpleQueue[abc.Callable[[], _Result]] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  it is raised by who waits
            ended.put(functools.partial(_raise, error))
        else:
            ended.put(lambda: result)

    threading.Thread(target=run, daemon=True).start()
    try:
        return ended.get(timeout=seconds)()
    except queue.Empty:
        raise MasterSecretServerUnavailable(f"the server at {url} did not answer within {seconds:g} s") from None


def _raise(error: BaseException) -> NoReturn:
    raise error


def _unverified_authority(url: str) -> messages.AuthorityAnswer:
    """What the server at `url` says its authority is: nothing is trusted before its fingerprint was compared."""
    try:
        parts, port = urlsplit(url), urlsplit(url).port or 443
    except ValueError:
        parts, port = urlsplit("nowhere:"), 0
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError(
            "the URL of the master secret server must be https://HOST:PORT",
            hint="give the one that keysvc server enroll printed",
        )
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(parts.hostname, port, context=blind, timeout=CONNECT_SECONDS)
    try:
        connection.request("GET", "/v1/authority")
        body = connection.getresponse().read(MAXIMUM_AUTHORITY_BYTES)
        return _AUTHORITY_ANSWER.decode(body)
    except (*UNREADABLE, ValueError):
        raise ProtocolError(f"{parts.netloc} is no master secret server") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise MasterSecretServerUnavailable(
            f"the master secret server at {parts.netloc} does not answer: {why}"
        ) from None
    finally:
        connection.close()
