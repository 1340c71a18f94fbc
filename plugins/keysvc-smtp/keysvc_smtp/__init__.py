"""The notifiers `smtp:` (STARTTLS) and `smtps:` (TLS from the first byte): events as mail to people."""

from __future__ import annotations

import re
from collections import abc
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keysvc.plugin import ConfigurationError, Notifier, Opening, Register, hookimpl

KEYSVC_API = 2
PORTS = {"smtp": 587, "smtps": 465}
"""Message submission, RFC 6409 and RFC 8314."""

OPTIONS = {
    "to": "addresses of the recipients, separated by commas",
    "from": "address of the sender",
    "ca-file": "PEM file of the certificate authorities to trust instead of the system's",
    "ehlo": "name that this machine greets the server with; its full name, or its address where it has none",
    "password-source": "file:/PATH or env:NAME, where the password of the user is",
}
STARTTLS = {"starttls": "required (the default), or no: everything is readable on the way, and no password is sent"}


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `smtp:` and `smtps:`."""
    register("smtp", open_smtp, summary="mail over SMTP with STARTTLS", options={**OPTIONS, **STARTTLS})
    register("smtps", open_smtp, summary="mail over SMTP with TLS from the first byte", options=OPTIONS)


def open_smtp(opening: Opening) -> Notifier:
    """Asks for the `password` when the URL has a user; connects to nothing yet. Raises ConfigurationError, and what the
    prompt raises."""
    from keysvc_smtp.notifier import MailNotifier
    from keysvc_smtp.session import Login, Security, Server, trust

    location, options = opening.location, opening.location.options
    url = urlsplit(location.reveal())
    try:
        host, port = (url.hostname or "").encode("idna").decode(), url.port or PORTS[location.scheme]
    except (KeyError, ValueError):
        raise ConfigurationError("smtp: needs a host name, and a port between 1 and 65535 if any") from None
    if not host or url.password is not None or url.fragment or location.path not in {"", "/"}:
        raise ConfigurationError(
            f"{location.scheme}: needs a host, and neither a password, a path nor a fragment",
            hint="write smtp://USER@HOST/?to=ADDRESS&from=ADDRESS&password-source=file:/PATH",
        )
    security = Security.TLS if location.scheme == "smtps" else Security(_choice(options, "starttls", "required", "no"))
    ca_file = options.get("ca-file")
    login = None
    if url.username:
        if security is Security.NONE:
            raise ConfigurationError("a user needs TLS: no password is sent without", hint="leave starttls=no out")
        login = Login(unquote(url.username), opening.prompt("password"))
        if not (login.user + login.password.reveal()).isascii():
            raise ConfigurationError("an SMTP user and password must be ASCII", hint="choose another password")
    return MailNotifier(
        Server(host, port, security, trust(Path(ca_file) if ca_file is not None else None), login, _greeting(options)),
        sender=_addresses(options, "from", at_most=1)[0],
        recipients=_addresses(options, "to", at_most=100),
        system_id=opening.system_id,
    )


def _choice(options: abc.Mapping[str, str], name: str, *choices: str) -> str:
    chosen = options.get(name, choices[0])
    if chosen not in choices:
        raise ConfigurationError(f"{name} is {' or '.join(choices)}")
    return chosen


def _greeting(options: abc.Mapping[str, str]) -> str:
    from keysvc_smtp.own_name import is_greeting

    greeting = options.get("ehlo", "")
    if "ehlo" in options and not is_greeting(greeting):
        raise ConfigurationError(
            "ehlo needs a domain name or an address in brackets",
            hint="write ehlo=keysvc.example.com or ehlo=[192.0.2.1]; the name that the mail server expects",
        )
    return greeting


def _addresses(options: abc.Mapping[str, str], name: str, *, at_most: int) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(address.strip() for address in options.get(name, "").split(",")))
    if not all(_is_address(address) for address in found) or len(found) > at_most:
        raise ConfigurationError(
            f"{name} needs {'one address' if at_most == 1 else f'1 to {at_most} addresses with commas between'}",
            hint=f"write {name}=ops@example.com; a + in an address is written %2B",
        )
    return found


def _is_address(text: str) -> bool:
    """As HTML defines a valid e-mail address, roughly: ASCII, no quoting, nothing that could end a header."""
    return re.fullmatch(r"[\w.!#$%&'*+/=?^`{|}~-]+@[A-Za-z0-9.-]+", text, re.ASCII) is not None
