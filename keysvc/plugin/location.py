"""Where a part is: a URL whose secrets are hidden."""

from __future__ import annotations

import os
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from keysvc.errors import ConfigurationError
from keysvc.model import SecretText

_SECRET_OPTION_WORDS = ("password", "pin-value", "secret", "token-value", "key-value")


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL of a part. Its repr and str hide what is secret in it; `reveal()` gives the whole URL."""

    scheme: str
    path: str
    options: abc.Mapping[str, str] = field(repr=False)
    _url: SecretText = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Location:
        """Parse `scheme:path?option=value`. Raises ConfigurationError, which does not repeat the URL."""
        scheme, colon, _ = url.partition(":")
        if not colon or not scheme or not scheme[0].isalpha() or any(c.isspace() for c in scheme):
            raise ConfigurationError("not a URL: it must begin with a scheme, such as file: or sqlite:")
        try:
            url.encode("utf-8")
            parts = urlsplit(url)
            if parts.netloc and ("@" in parts.path + parts.fragment or parts.netloc.count("@") > 1):
                raise ConfigurationError(  # it would be shown as a path
                    f"the user or password in the {scheme}: URL is not percent-encoded",
                    hint="write / as %2F, # as %23, @ as %40; or let ?password-source=file:/PATH say where it is",
                )
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise ConfigurationError(f"the {scheme}: URL cannot be parsed") from None
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"the {scheme}: URL gives an option twice")
        return cls(scheme.lower(), unquote(parts.path), MappingProxyType(dict(pairs)), SecretText(url))

    @property
    def local_path(self) -> Path:
        """Of a file. On Windows `/C:/secret` of a file URL is `C:/secret` (RFC 8089, appendix E.2)."""
        return Path(self.path.removeprefix("/") if os.name == "nt" else self.path)

    @property
    def holds_secret(self) -> bool:
        """Whether a password or the like stands in it."""
        password = urlsplit(self._url.reveal()).password is not None
        return password or any(_hide_option(name, value) != value for name, value in self.options.items())

    def reveal(self) -> str:
        """The whole URL, secrets included."""
        return self._url.reveal()

    def __str__(self) -> str:
        return self._written(":***", {name: _hide_option(name, value) for name, value in self.options.items()})

    def without_secrets(self) -> str:
        """The URL for another machine, which has secrets of its own: without a password, and without the options that
        hold one."""
        return self._written("", {n: value for n, value in self.options.items() if _hide_option(n, value) == value})

    def _written(self, password: str, options: abc.Mapping[str, str]) -> str:
        parts = urlsplit(self._url.reveal())
        network = parts.netloc
        if "@" in network:
            credentials, _, host = network.rpartition("@")
            user, colon, _ = credentials.partition(":")
            network = f"{user}{password if colon else ''}@{host}"
        shown = "&".join(f"{name}={value}" for name, value in options.items())
        raw_path = self._url.reveal().partition(":")[2].partition("?")[0]
        if parts.netloc:
            raw_path = raw_path.replace(parts.netloc, network, 1)
        return f"{self.scheme}:{raw_path}{'?' if shown else ''}{shown}"

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"


def _hide_option(name: str, value: str) -> str:
    told = name.endswith(("-source", "-file"))  # where a secret is, is none
    return "***" if not told and any(word in name.lower() for word in _SECRET_OPTION_WORDS) else value
