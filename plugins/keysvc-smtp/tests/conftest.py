"""A mail server of aiosmtpd, with STARTTLS or TLS, that asks for a user and a password."""

from __future__ import annotations

import ssl
from collections import abc
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from keysvc_smtp import open_smtp
from keysvc_smtp.notifier import MailNotifier

from keysvc.cli.demo.processes import free_port
from keysvc.plugin import Location, Opening, SecretText

USER, PASSWORD = "keysvc", "correct horse battery staple"
SYSTEM_ID = "5" * 32


@dataclass
class MailServer:
    """Takes mail from whom it knows. `answers` holds replies to give instead, by command and recipient."""

    authority: trustme.CA
    implicit_tls: bool = False
    offers_tls: bool = True
    host: str = "localhost"
    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    greetings: list[str] = field(default_factory=list)
    die_after_data: bool = False
    _controller: Controller | None = None

    def start(self, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = maximum
        self.authority.issue_cert(self.host).configure_cert(context)
        self.port = self.port or free_port()
        tls = {"ssl_context": context} if self.implicit_tls else {"tls_context": context, "require_starttls": True}
        asks = {"authenticator": self._authenticate, "auth_required": True, "auth_require_tls": not self.implicit_tls}
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            **({**tls, **asks} if self.offers_tls else {}),
        )
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_EHLO(self, _server: SMTP, session: Session, _envelope: Envelope, name: str, replies: list[str]):
        session.host_name = name
        self.greetings.append(name)
        return [self.answers["EHLO"]] if "EHLO" in self.answers else replies

    async def handle_HELO(self, _server: SMTP, session: Session, _envelope: Envelope, name: str):
        session.host_name = name
        return self.answers.get("EHLO", "250 hello")

    async def handle_MAIL(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]):
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 2.1.0 OK")

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]):
        reply = self.answers.get(address, "250 2.1.5 OK")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        reply = self.answers.get("DATA", "250 2.0.0 OK")
        if reply.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content, EmailMessage, policy=default))
            self.recipients.append(envelope.rcpt_tos)
        if self.die_after_data:
            server.transport.abort()
        return reply

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object):
        self.attempts.append(mechanism)
        assert isinstance(data, LoginPassword)
        if data.login == USER.encode() and data.password == PASSWORD.encode() and "AUTH" not in self.answers:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=self.answers.get("AUTH", "535 5.7.8 no"))


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server(authority: trustme.CA) -> abc.Iterator[MailServer]:
    """With STARTTLS."""
    made = MailServer(authority)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def open_url() -> abc.Callable[..., MailNotifier]:
    """Open a URL as keysvc does, with the password."""

    def open_url(url: str, password: str = PASSWORD) -> MailNotifier:
        return open_smtp(Opening(Location.parse(url), lambda _what: SecretText(password), SYSTEM_ID))

    return open_url


@pytest.fixture
def url(server: MailServer, ca_file: Path) -> abc.Callable[..., str]:
    def url(to: str = "ops@example.com", scheme: str = "smtp") -> str:
        options = f"to={quote(to, safe='@,')}&from=keysvc@example.com&ca-file={ca_file}"
        return f"{scheme}://{USER}@localhost:{server.port}/?{options}"

    return url


@pytest.fixture
def open_notifier(open_url, url) -> abc.Callable[..., MailNotifier]:
    return lambda to="ops@example.com": open_url(url(to))
