"""This machine's certificate, key and certificate authority as files, and the TLS contexts made of them."""

from __future__ import annotations

import contextlib
import ssl
import sys
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keysvc.crypto import certificates
from keysvc.errors import ConfigurationError, KeysvcError
from keysvc.model import Role, SecretBytes, utc_now
from keysvc.plugin.safe_files import (
    Unsafe,
    check_directory,
    check_file,
    create_directory,
    prove_writable,
    write_durably,
)

IDENTITY, MASTER_IDENTITY = "identity", "master-identity"
"""Where a machine keeps its own; and where a master secret server keeps the one that it serves with."""
ENROL_AGAIN = (
    "put it back; where it is lost, a token of keysvc server enroll NAME, or of keysvc server readmit NAME on a master"
    " secret server, makes a new one: keysvc join URL --token-file FILE --dir DIR --again"
)
"""What to do where a certificate cannot be read."""
_PERMIT = "free space there, or let this account write there, and run the same command again"
CERTIFICATE, KEY, AUTHORITY = "certificate.pem", "key.pem", "authority.pem"


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """A directory with certificate.pem, key.pem (0600) and authority.pem."""

    directory: Path

    def write(self, certificate: bytes, key: SecretBytes, authority: bytes) -> None:
        """Durable. Raises ConfigurationError, which names the file."""
        try:
            create_directory(self.directory)
            write_durably(self.directory / KEY, key.reveal())
            write_durably(self.directory / AUTHORITY, authority, mode=0o644)
            write_durably(self.directory / CERTIFICATE, certificate, mode=0o644)
        except OSError as error:
            raise ConfigurationError(
                f"{self.directory}: {error.strerror or type(error).__name__}", hint=_PERMIT
            ) from None

    def exists(self) -> bool:
        """Whether the directory has a certificate, key and authority."""
        return all((self.directory / name).exists() for name in (CERTIFICATE, KEY, AUTHORITY))

    def replace(self, certificate: bytes, key: SecretBytes, authority: bytes | None = None) -> None:
        """Another certificate and key, together: whoever dies in between, the next reader finds either pair whole.
        With `authority`, of that one. Raises ConfigurationError."""
        try:
            if authority is not None:
                write_durably(self.directory / AUTHORITY, authority, mode=0o644)
            write_durably(self._next(KEY), key.reveal())
            write_durably(self._next(CERTIFICATE), certificate, mode=0o644)  # from here on it is the new pair
            self._finish_replacing()
        except OSError as error:
            raise ConfigurationError(
                f"{self.directory}: {error.strerror or type(error).__name__}", hint=_PERMIT
            ) from None

    def _next(self, name: str) -> Path:
        return self.directory / f"{name}.next"

    def _finish_replacing(self) -> None:
        if self._next(CERTIFICATE).exists():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                self._next(KEY).replace(self.directory / KEY)
            with contextlib.suppress(FileNotFoundError):
                self._next(CERTIFICATE).replace(self.directory / CERTIFICATE)

    @contextlib.contextmanager
    def alone(self) -> abc.Iterator[bool]:
        """True for one process at a time; the others do not wait. Raises ConfigurationError, also where nothing can be
        written: a certificate must not be renewed that cannot be kept."""
        try:
            check_directory(self.directory)
            file = open(self.directory / "lock", "wb")  # noqa: SIM115  closed below
            prove_writable(self.directory)
        except Unsafe as unsafe:
            raise ConfigurationError(unsafe.problem, hint=unsafe.hint) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.directory} cannot be written: {error.strerror or type(error).__name__}",
                hint="let the account that runs keysvc write there, before the certificate expires",
            ) from None
        with file:
            yield _locked(file)

    def key_pair(self) -> certificates.KeyPair:
        """Raises ConfigurationError."""
        return certificates.KeyPair(self._read(CERTIFICATE), SecretBytes(self._read(KEY)))

    def peer(self) -> certificates.Peer:
        """Who this machine is."""
        return certificates.peer_of(ssl.PEM_cert_to_DER_cert(self.certificate().decode("ascii")))

    def problem_with_dates(self) -> str:
        """What is wrong with the dates of this machine's certificate now; empty when nothing is, or it is not known."""
        with contextlib.suppress(KeysvcError):
            return self.peer().problem_with_dates(utc_now())
        return ""

    def certificate(self) -> bytes:
        """PEM. Raises ConfigurationError."""
        return self._read(CERTIFICATE)

    def authority(self) -> bytes:
        """The certificate (PEM) of the authority that signed it. Raises ConfigurationError."""
        return self._read(AUTHORITY)

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
        """For serving. A client certificate is checked when it is given; the routes say who needs one. A certificate
        that was replaced is shown from the next connection on."""
        context = self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0  # a session that is resumed shows no certificate, and its dates are checked by nobody
        shown = [self.certificate()]

        def show_the_newest(_connection: object, _name: str | None, _context: object) -> None:
            with contextlib.suppress(ConfigurationError):  # the one that is loaded serves on
                if (now := self.certificate()) != shown[0]:
                    self.load_pair(context)
                    shown[0] = now

        context.sni_callback = show_the_newest
        return context

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the authority may be signed by another one
        try:
            self._check(AUTHORITY)
            context.load_verify_locations(self.directory / AUTHORITY)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{self.directory / AUTHORITY}: {error.strerror or 'no certificate'}", hint=ENROL_AGAIN
            ) from None
        self.load_pair(context)
        return context

    def load_pair(self, context: ssl.SSLContext) -> None:
        """What new connections of `context` show from now on. Raises ConfigurationError."""
        try:
            self._finish_replacing()
            self._check(CERTIFICATE, KEY)
            context.load_cert_chain(self.directory / CERTIFICATE, self.directory / KEY)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or getattr(error, "reason", None) or type(error).__name__
            raise ConfigurationError(
                f"{self.directory} holds no usable certificate and key: {why}", hint=ENROL_AGAIN
            ) from None

    def _check(self, *names: str) -> None:
        """Raises ConfigurationError for a file that another account controls, and a key that one may read; OSError."""
        try:
            for name in names:
                check_file(self.directory / name, secret=name == KEY, root_reads=True)
        except Unsafe as unsafe:
            raise ConfigurationError(unsafe.problem, hint=unsafe.hint) from None

    def _read(self, name: str) -> bytes:
        try:
            self._finish_replacing()
            self._check(name)
            return (self.directory / name).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{self.directory / name}: {error.strerror}", hint=ENROL_AGAIN) from None


if sys.platform == "win32":

    def _locked(file: BinaryIO) -> bool:
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:

    def _locked(file: BinaryIO) -> bool:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
