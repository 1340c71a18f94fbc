"""This machine's certificate, key and certificate authority as files, and the TLS contexts made of them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from keysvc.crypto import certificates
from keysvc.errors import ConfigurationError
from keysvc.model import Role, SecretBytes
from keysvc.sealed import write_durably

CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """A directory with certificate.pem, key.pem (0600) and authority.pem."""

    directory: Path

    def write(self, certificate: bytes, key: SecretBytes, authority: bytes) -> None:
        """Durable. Raises ConfigurationError, which names the file."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self.directory / KEY, key.reveal())
            write_durably(self.directory / AUTHORITY, authority, mode=0o644)
            write_durably(self.directory / CERTIFICATE, certificate, mode=0o644)
        except OSError as error:
            raise ConfigurationError(f"{self.directory}: {error.strerror or type(error).__name__}") from None

    def key_pair(self) -> certificates.KeyPair:
        """Raises ConfigurationError."""
        return certificates.KeyPair(self._read(CERTIFICATE), SecretBytes(self._read(KEY)))

    def peer(self) -> certificates.Peer:
        """Who this machine is."""
        return certificates.peer_of(ssl.PEM_cert_to_DER_cert(self._read(CERTIFICATE).decode("ascii")))

    def require(self, *roles: Role) -> certificates.Peer:
        """Who this machine is. Raises ConfigurationError unless it has one of `roles`."""
        peer = self.peer()
        if peer.role not in roles:
            wanted = " or ".join(role.value for role in roles)
            raise ConfigurationError(
                f"{peer.name} is an {peer.role.value} of this system, and this needs an {wanted}",
                hint="use the configuration of a machine that was enrolled with that role",
            )
        return peer

    def client_context(self) -> ssl.SSLContext:
        """For talking to the master secret server or an agent. TLS 1.3, this certificate, this authority only."""
        return self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def server_context(self) -> ssl.SSLContext:
        """For serving. A client certificate is checked when it is given; the routes say who needs one."""
        context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.directory / AUTHORITY)
            context.load_cert_chain(self.directory / CERTIFICATE, self.directory / KEY)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or getattr(error, "reason", None) or type(error).__name__
            raise ConfigurationError(f"{self.directory} holds no usable certificate and key: {why}") from None
        return context

    def _read(self, name: str) -> bytes:
        try:
            return (self.directory / name).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{self.directory / name}: {error.strerror}") from None
