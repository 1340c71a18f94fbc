"""What talks to the master secret server and to agents: connections are kept, waiting is bounded, errors come back as
the classes that were raised."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import ssl
from collections import abc
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3

from keysvc.crypto import certificates, transport
from keysvc.errors import (
    AccessDenied,
    ConfigurationError,
    KeysvcError,
    MasterSecretServerUnavailable,
    ProtocolError,
)
from keysvc.master.enrolment import JoinToken
from keysvc.master.status import SystemStatus
from keysvc.model import Announcement, BackupRecord, Role, SecretBytes, SecretText, host_name
from keysvc.sso import Credential
from keysvc.sso.service import ServerState
from keysvc.web import messages
from keysvc.web.identity import IdentityFiles
from keysvc.web.problems import error_of

CONNECT_SECONDS = 3.0
TIMEOUT = urllib3.Timeout(connect=CONNECT_SECONDS, read=15.0)
MAXIMUM_AUTHORITY_BYTES = 64 * 1024
Answer = TypeVar("Answer")


class _Connection:
    """Requests to one server, whose certificate must name `host` whatever its address is."""

    def __init__(self, url: str, context: ssl.SSLContext, host: str, what: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ConfigurationError(f"the URL of {what} must be https://HOST:PORT")
        self._what = what
        self._at = f"{parts.hostname}:{parts.port or 443}"
        self._pool = urllib3.HTTPSConnectionPool(
            parts.hostname,
            parts.port or 443,
            ssl_context=context,
            server_hostname=host,
            assert_hostname=host,
            timeout=TIMEOUT,
            retries=False,
            maxsize=16,
        )

    def request(
        self,
        method: str,
        path: str,
        content: msgspec.Struct | None = None,
        headers: abc.Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, which is no error. Raises what the server raised, else MasterSecretServerUnavailable."""
        body = msgspec.json.encode(content) if content is not None else None
        try:
            response = self._pool.urlopen(method, path, body=body, headers=dict(headers or {}), retries=False)
        except urllib3.exceptions.SSLError as error:
            raise AccessDenied(
                f"{self._what} at {self._at}: {_why(error)}",
                hint="both ends must be of the same system; enrol this machine again: keysvc join",
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise MasterSecretServerUnavailable(f"{self._what} at {self._at} does not answer: {_why(error)}") from None
        if response.status >= 400:
            raise error_of(response.data, response.status)
        return response

    def get(self, path: str, kind: type[Answer]) -> Answer:
        """A decoded answer."""
        return self.decode(self.request("GET", path), kind)

    def decode(self, response: urllib3.BaseHTTPResponse, kind: type[Answer]) -> Answer:
        """Raises ProtocolError."""
        try:
            return msgspec.json.decode(response.data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ProtocolError(f"{self._what} at {self._at} sent an answer that cannot be used") from None

    def close(self) -> None:
        self._pool.close()


def _why(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused or address unknown"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it took too long"
    reason: Any = error.args[0] if error.args else error
    return getattr(reason, "reason", None) or getattr(reason, "strerror", None) or type(error).__name__


class MasterClient:
    """One process's way to the master secret server. Thread-safe. Fulfils `keysvc.sso.poller.MasterSecretServer`."""

    def __init__(self, url: str, identity: IdentityFiles, system_id: str) -> None:
        self._name = identity.peer().name
        self._system_id = system_id
        self._instance = secrets.token_hex(8)
        self._connection = _Connection(
            url, identity.client_context(), host_name(Role.MASTER, system_id), "the master secret server"
        )

    def poll(self, versions_held: tuple[int, ...], etag: str | None) -> Announcement | None:
        """One conditional request."""
        held = ",".join(map(str, versions_held))
        headers = {"If-None-Match": etag} if etag else {}
        response = self._connection.request("GET", f"/v1/poll?instance={self._instance}&holds={held}", headers=headers)
        if response.status == 304:
            return None
        return self._connection.decode(response, messages.PollAnswer).announcement()

    def fetch(self, version: int) -> SecretBytes:
        """Sealed to a key that is made for this one answer; with the best KEM that both ends have."""
        for kem in transport.KEMS[:-1]:
            with contextlib.suppress(ProtocolError):
                return self._fetch(version, kem)
        return self._fetch(version, transport.KEMS[-1])

    def _fetch(self, version: int, kem: str) -> SecretBytes:
        receiver = transport.ReceiverKey.generate(kem)
        response = self._connection.request(
            "POST", f"/v1/versions/{version}", messages.FetchRequest(receiver.kem, receiver.public)
        )
        sealed = self._connection.decode(response, messages.FetchAnswer).sealed
        return receiver.open(sealed, transport.fetch_context(self._system_id, version, self._name))

    def leave(self) -> None:
        """Say goodbye; a master that is away needs none."""
        with contextlib.suppress(KeysvcError):
            self._connection.request("POST", "/v1/goodbye", messages.Goodbye(self._instance))

    def status(self) -> SystemStatus:
        """Everything that it knows."""
        return self._connection.get("/v1/status", SystemStatus)

    def rotate(self) -> int:
        """Begin a rotation; the version that it leads to."""
        return self._connection.decode(
            self._connection.request("POST", "/v1/rotations"), messages.RotationAnswer
        ).version

    def destroy(self, version: int, *, force: bool) -> None:
        """Destroy a version that retired."""
        self._connection.request("DELETE", f"/v1/versions/{version}?force={'yes' if force else 'no'}")

    def record_backup(self, backup: BackupRecord) -> None:
        """Tell that a backup was written and proved."""
        self._connection.request("POST", "/v1/backups", messages.BackupMade(backup.created_at, backup.versions))

    def enroll(self, name: str, role: str) -> str:
        """A one-time join token."""
        response = self._connection.request("POST", "/v1/enrolments", messages.EnrolRequest(name, role))
        return self._connection.decode(response, messages.EnrolAnswer).token

    def identities(self) -> list[messages.IdentityEntry]:
        """All that were enrolled."""
        return self._connection.get("/v1/identities", list[messages.IdentityEntry])

    def revoke(self, name: str) -> None:
        """Let it in no more."""
        self._connection.request("DELETE", f"/v1/identities/{quote(name, safe='')}")

    def close(self) -> None:
        """Repeatable."""
        self._connection.close()


class AgentClient:
    """The credential calls of `keysvc.SSO`, through an agent. Thread-safe."""

    def __init__(self, url: str, identity: IdentityFiles, system_id: str) -> None:
        self._connection = _Connection(url, identity.client_context(), host_name(Role.SERVER, system_id), "the agent")

    def credential(self, application: str, *, user: str, fresh: bool = False) -> Credential:
        """As `SSO.credential`."""
        query = urlencode({"application": application, "user": user})
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        response = self._connection.request("GET", f"/v1/credential?{query}", headers=headers)
        found = self._connection.decode(response, messages.CredentialBody)
        fields = {label: SecretText(value) for label, value in found.fields.items()}
        return Credential(
            found.application, found.user, found.external_user, fields, frozenset(found.masked), found.version
        )

    def set_credential(
        self, application: str, fields: abc.Mapping[str, str], /, *, user: str, external_user: str | None = None
    ) -> int:
        """As `SSO.set_credential`."""
        asked = messages.SetCredentialRequest(application, user, dict(fields), external_user)
        response = self._connection.request("PUT", "/v1/credential", asked)
        return self._connection.decode(response, messages.SetCredentialAnswer).version

    def delete_credential(self, application: str, *, user: str) -> None:
        """As `SSO.delete_credential`."""
        self._connection.request("DELETE", f"/v1/credential?{urlencode({'application': application, 'user': user})}")

    def purge_cache(self, application: str | None = None) -> int:
        """As `SSO.purge_cache`."""
        query = f"?{urlencode({'application': application})}" if application is not None else ""
        response = self._connection.request("DELETE", f"/v1/cache{query}")
        return self._connection.decode(response, messages.PurgeAnswer).purged

    def status(self) -> ServerState:
        """As `SSO.status`."""
        return self._connection.get("/v1/status", ServerState)

    def close(self) -> None:
        """Repeatable."""
        self._connection.close()


def join(url: str, token: JoinToken, directory: Path) -> messages.JoinAnswer:
    """Enrol this machine: compare the authority with the one that the token pins, then trade the token's secret for a
    certificate, and write both into `directory`. Raises AccessDenied, MasterSecretServerUnavailable, ProtocolError."""
    authority = _unverified_authority(url)
    if certificates.fingerprint(authority) != token.authority_fingerprint:
        raise AccessDenied(
            "the server shows another certificate authority than the join token pins",
            hint="check the URL; if it is right, somebody is in between: do not go on",
        )
    name = certificates.authority_system_id(authority)
    pinned = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pinned.minimum_version = ssl.TLSVersion.TLSv1_3
    pinned.load_verify_locations(cadata=authority.decode("ascii"))
    second = _Connection(url, pinned, host_name(Role.MASTER, name), "the master secret server")
    request, key = certificates.request("keysvc")
    asked = messages.JoinRequest(token.secret.reveal(), request.decode("ascii"))
    found = second.decode(second.request("POST", "/v1/join", asked), messages.JoinAnswer)
    second.close()
    IdentityFiles(directory).write(found.certificate.encode("ascii"), key, authority)
    return found


def _unverified_authority(url: str) -> bytes:
    """What the server at `url` says its authority is: nothing is trusted before its fingerprint was compared."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError("the URL of the master secret server must be https://HOST:PORT")
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443, context=blind, timeout=CONNECT_SECONDS)
    try:
        connection.request("GET", "/v1/authority")
        body = connection.getresponse().read(MAXIMUM_AUTHORITY_BYTES)
        return msgspec.json.decode(body, type=messages.AuthorityAnswer).certificate.encode("ascii")
    except (msgspec.MsgspecError, ValueError):
        raise ProtocolError(f"{parts.netloc} is no master secret server") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise MasterSecretServerUnavailable(
            f"the master secret server at {parts.netloc} does not answer: {why}"
        ) from None
    finally:
        connection.close()
