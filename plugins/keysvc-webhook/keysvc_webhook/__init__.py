"""The notifier `webhook+https:`: events as CloudEvents, signed as Standard Webhooks, over HTTPS."""

from __future__ import annotations

import binascii
import ipaddress
import re
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

from keysvc.plugin import ConfigurationError, Notifier, Opening, Register, SecretText, hookimpl

KEYSVC_API = 2
SCHEME = "webhook+https"
SIGNING_KEY_BYTES = range(24, 65)
"""What Standard Webhooks allows."""


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `webhook+https:`."""
    register(
        SCHEME,
        open_webhook,
        summary="a signed CloudEvent, posted to an HTTPS URL",
        options={
            "allow-private": "yes: the receiver may be in a private, loopback or link-local network",
            "ca-file": "PEM file of the certificate authorities to trust instead of the system's",
            "secret-source": "file:/PATH or env:NAME, where the signing secret is",
        },
    )


def open_webhook(opening: Opening) -> Notifier:
    """Asks for the `secret`; connects to nothing yet. Raises ConfigurationError, and what the prompt raises."""
    from keysvc_webhook.addresses import is_public
    from keysvc_webhook.notifier import WebhookNotifier, trust

    options = opening.location.options
    url = urlsplit(opening.location.reveal())
    try:
        host, port = (url.hostname or "").encode("idna").decode(), url.port or 443
    except ValueError:
        raise ConfigurationError(f"{SCHEME}: needs a host name, and a port between 1 and 65535 if any") from None
    if not host or "@" in url.netloc or url.fragment or not re.fullmatch("[!-~]*", url.path):
        raise ConfigurationError(
            f"{SCHEME}: needs a host and an encoded path, and neither a user, a password nor a fragment",
            hint=f"write {SCHEME}://HOST/PATH?secret-source=file:/PATH",
        )
    if options.get("allow-private", "no") not in {"yes", "no"}:
        raise ConfigurationError("allow-private is yes or no")
    allow_private = options.get("allow-private") == "yes"
    if not allow_private and _is_address(host) and not is_public(host):
        raise ConfigurationError(f"{host} is in a private network", hint="add allow-private=yes if that is meant")
    ca_file = options.get("ca-file")
    return WebhookNotifier(
        host,
        port,
        url.path or "/",
        signing_secrets(opening.prompt("secret")),
        trust(Path(ca_file) if ca_file is not None else None),
        system_id=opening.system_id,
        allow_private=allow_private,
    )


def signing_secrets(given: SecretText) -> tuple[SecretText, ...]:
    """One `whsec_…`, or several with spaces between while the receiver changes from one to the next."""
    secrets = tuple(SecretText(word) for word in given.reveal().split())
    if not secrets or not all(_is_signing_secret(secret) for secret in secrets):
        raise ConfigurationError(
            "a webhook secret is whsec_ and 24 to 64 bytes in base64",
            hint="give the one that the receiver shows, or make one as the README of keysvc-webhook says",
        )
    return secrets


def _is_signing_secret(secret: SecretText) -> bool:
    prefix, _, key = secret.reveal().partition("_")
    try:
        return prefix == "whsec" and len(b64decode(key, validate=True)) in SIGNING_KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
