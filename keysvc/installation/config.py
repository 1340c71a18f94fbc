"""One TOML file, one frozen `Config`. Unknown keys are refused; relative paths are of the file's directory."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import tomllib
from collections import abc
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from keysvc.errors import ConfigurationError, NotConfigured
from keysvc.installation.misspelt import explained
from keysvc.model import Severity
from keysvc.plugin.location import Location
from keysvc.plugin.safe_files import Unsafe, check_file, replace_durably
from keysvc.text import NoText, read_text

FILE_NAME = "keysvc.toml"
MAXIMUM_DURATION: Final = timedelta(days=36500)
HTTPS, UNIX = "https://", "unix:"
"""How `probes` begins where it is no HOST:PORT alone."""
EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104  compared, not bound
RELOADED: Final = frozenset({"log", "notifiers"})
"""The settings that SIGHUP reads again."""
OF_A_MASTER: Final = "run it with the configuration of a master secret server, on its machine"
"""What to do where what only a master secret server has is not there."""
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class NotifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One notifier, and which events it gets."""

    url: str
    """URL of the notifier."""
    name: str = ""
    """What `keysvc notify` calls it; its URL without options when empty."""
    events: tuple[str, ...] = ("*",)
    """Kinds of events, `*` in them for anything."""
    severity: Severity = Severity.INFORMATIONAL
    """The least severity."""

    @property
    def shown(self) -> str:
        """Its name."""
        return self.name or str(Location.parse(self.url)).partition("?")[0]


class RotationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens by itself."""

    every: str | None = None
    """How old the active version becomes before the next rotation begins; never by itself when absent."""


class UnitCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one unit of systemd may have from the agent."""

    unit: str
    """Name of the unit, `sap-adapter.service`; `*` in it for anything."""
    credential: str
    """The name in its LoadCredential=."""
    application: str
    """The affiliate application."""
    user: str
    """The user whose credential it is."""
    field: str | None = None
    """Label of the field; all of them, as JSON, when absent."""


class LogLevel(StrEnum):
    """The least severe lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line of the log is written: `auto` is text on a terminal, and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The log of a service."""

    level: LogLevel = LogLevel.INFO
    """The least severe lines; read again at SIGHUP."""
    format: LogFormat = LogFormat.AUTO
    """Text for people, or JSON."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting. docs/reference/configuration.md has the same list."""

    system_id: str
    """32 hex digits; made by `keysvc init`, pinned by `keysvc join`."""
    mapping_store: str
    """URL of the mapping store."""
    master: str | tuple[str, ...]
    """URL of the master secret server, https://HOST:PORT, or of each where there are several."""
    identity: str = "identity"
    """Directory with this machine's certificate.pem, key.pem and authority.pem."""
    key_store: str | None = None
    """URL of the key store. Only on the master secret server."""
    recovery_key_stores: tuple[str, ...] = ()
    """URLs of further key stores that hold every version too, to recover from. Only on the master secret server."""
    listen: str | None = None
    """HOST:PORT of the master secret server. Only on the master secret server."""
    advertise: str | None = None
    """URL at which others reach this master secret server; by default made from `listen`."""
    long_poll: bool = False
    """Whether this SSO server's polls wait for a change, so that it arrives at once."""
    authority: str | None = None
    """Directory of the private certificate authority. Only on the master secret server."""
    cache: str | None = None
    """URL of a key store of this machine in which an SSO server keeps versions, to decrypt with when it starts while no
    master secret server is up."""
    cache_max_age: str = "24h"
    """How long after the master secret server last confirmed it a version of `cache` may be used."""
    agent: str = "127.0.0.1:7444"
    """HOST:PORT of `keysvc agent`."""
    agent_socket: str | None = None
    """Path of a UNIX socket on which `keysvc agent` answers too; the calling account is who calls."""
    agent_callers: tuple[str, ...] = ()
    """Accounts of this machine by name or number, and groups as @GROUP, that may use that socket; the account that runs
    the agent always may."""
    unit_credentials: tuple[UnitCredential, ...] = ()
    """Which units of systemd may have which credentials from the agent's socket `credentials`."""
    authorizer: str | None = None
    """URL of the authorizer, which says who is in which group; without one, accounts are names of certificates alone.
    Only on an SSO server."""
    probes: str | None = None
    """HOST:PORT on which probes and metrics are answered, without a certificate; `https://HOST:PORT` demands one of
    this system, `unix:PATH` is a UNIX socket."""
    poll_interval: str = "30s"
    """How often SSO servers ask for a change. The master secret server's setting counts."""
    lease_ttl: str = "15s"
    """How long a master secret server that stopped still keeps others from taking over."""
    rotation: RotationConfig = RotationConfig()
    """`rotation.every`: how old the active version becomes before the next rotation begins by itself."""
    log: LogConfig = LogConfig()
    """`log.level` and `log.format` of a service."""
    notifiers: tuple[str | NotifierSettings, ...] = ("log:",)
    """Notifiers: each a URL, or a table of url, name, events and severity. Only on the master secret server."""
    plugins: tuple[str, ...] | None = None
    """Names of the only distributions whose plugins may be loaded; all when absent."""
    passphrase_file: str | None = None
    """File with the passphrase of the key store, when it has one."""
    resealed_from: str | None = None
    """URL of the key store that `keysvc secret reseal` is leaving, until it has emptied it."""
    path: str = ""
    """Set when loaded: where the file is."""

    def __repr__(self) -> str:
        return f"Config({self.path!r})"

    @property
    def directory(self) -> Path:
        """The directory that relative paths begin at."""
        return Path(self.path).parent

    def resolve(self, path: str) -> Path:
        """A path of this file, absolute."""
        return self.directory / path

    @property
    def notifier_settings(self) -> tuple[NotifierSettings, ...]:
        """Every notifier, with what is not written."""
        return tuple(NotifierSettings(url=each) if isinstance(each, str) else each for each in self.notifiers)

    def needs_restart(self, before: Config) -> tuple[str, ...]:
        """Return the names of the settings that differ, and that a running service does not read again."""
        return tuple(
            name
            for name in self.__struct_fields__
            if name not in RELOADED and getattr(self, name) != getattr(before, name)
        )

    @property
    def masters(self) -> tuple[str, ...]:
        """Every URL of `master`."""
        return (self.master,) if isinstance(self.master, str) else self.master

    @property
    def own_url(self) -> str:
        """Where others reach this master secret server."""
        return self.advertise or (url_of(self.listen) if self.listen else "")

    @property
    def cache_age(self) -> timedelta:
        """`cache_max_age` as a duration."""
        return duration("cache_max_age", self.cache_max_age)

    @property
    def polling(self) -> timedelta:
        """`poll_interval` as a duration."""
        return duration("poll_interval", self.poll_interval)

    @property
    def lease(self) -> timedelta:
        """`lease_ttl` as a duration."""
        return duration("lease_ttl", self.lease_ttl)

    @property
    def rotate_every(self) -> timedelta | None:
        """`rotation.every` as a duration."""
        return None if self.rotation.every is None else duration("rotation.every", self.rotation.every)


def default_path() -> Path:
    """KEYSVC_CONFIG, else keysvc.toml under the platform's configuration directory. Raises NotConfigured for an account
    that has none, as in a container that runs under a number alone."""
    if named := os.environ.get("KEYSVC_CONFIG"):
        return Path(named)
    import platformdirs

    with contextlib.suppress(RuntimeError):
        folder = platformdirs.user_config_path("keysvc")
        if folder.is_absolute():  # older releases answer ~/.config
            return folder / FILE_NAME
    raise NotConfigured(
        "no configuration was named, and this account has no home directory to look for one in",
        hint="give --config PATH, or set KEYSVC_CONFIG",
    )


TABLES: Final = (Config, LogConfig, NotifierSettings, RotationConfig, UnitCredential)
"""Everything that has settings of its own in keysvc.toml."""
msgspec.json.Decoder(Config)  # msgspec learns it here, in one thread
NO_TOML: Final = (ValueError, RecursionError)
"""What `tomllib` raises: TOMLDecodeError is a ValueError, as is what it says to a number of 5,000 digits."""


def load(path: Path | None = None) -> Config:
    """Read and check the file. Raises NotConfigured when there is none, ConfigurationError when it is unusable."""
    path = (path or default_path()).absolute()
    try:
        check_file(path, secret=False, root_reads=True)
        content = read_text(path)
    except Unsafe as unsafe:
        raise ConfigurationError(f"the configuration is not safe: {unsafe.problem}", hint=unsafe.hint) from None
    except (FileNotFoundError, NotADirectoryError):
        raise NotConfigured(
            f"there is no configuration at {path}",
            hint="an SSO administrator first runs: keysvc init --dir DIR; then give --config DIR/keysvc.toml",
        ) from None
    except (OSError, NoText) as error:
        raise ConfigurationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        config = msgspec.convert({**tomllib.loads(content), "path": str(path)}, Config, strict=True)
    except msgspec.ValidationError as error:
        raise explained(path, content, error, TABLES) from None
    except NO_TOML as error:
        raise ConfigurationError(f"{path}: {error}") from None
    _check(config)
    return config


def _check(config: Config) -> None:
    if not re.fullmatch(r"[0-9a-f]{32}", config.system_id):
        raise ConfigurationError(f"{config.path}: system_id must be 32 hex digits")
    for url in (*config.masters, *([config.advertise] if config.advertise else [])):
        if not url.startswith("https://"):
            raise ConfigurationError(f"{config.path}: master must be a URL that begins with https://, or several")
    if not config.masters:
        raise ConfigurationError(f"{config.path}: master must name at least one URL")
    _check_advertised(config)
    probes = config.probes if config.probes is None else _probes_address(config.probes)
    for name, value in (("listen", config.listen), ("agent", config.agent), ("probes", probes)):
        if value is not None:
            host_and_port(name, value)
    names = [each.shown for each in config.notifier_settings]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(
            f"{config.path}: two notifiers are called {min(twice)}",
            hint='tell them apart: notifiers = [{ url = "…", name = "…" }, …]',
        )
    if config.rotate_every is not None and config.rotate_every < timedelta(minutes=1):
        raise ConfigurationError(f"{config.path}: rotation.every must be ≥ 1m")
    if config.polling < timedelta(milliseconds=100) or min(config.lease, config.cache_age) < timedelta(seconds=1):
        raise ConfigurationError(f"{config.path}: poll_interval must be ≥ 100ms, lease_ttl and cache_max_age ≥ 1s")


def _check_advertised(config: Config) -> None:
    """Whoever listens on every address must not tell others to ask themselves."""
    if config.listen is not None and config.advertise is not None:
        listens, advertised = host_and_port("listen", config.listen)[0], urlsplit(config.advertise).hostname or ""
        if listens in EVERY_ADDRESS and is_loopback(advertised):
            raise ConfigurationError(
                f"{config.path}: advertise names {advertised}, which is every machine itself",
                hint="write a name or an address at which others reach this machine",
            )


def _probes_address(text: str) -> str | None:
    """Return what is to be HOST:PORT, or None for a UNIX socket."""
    if text.startswith(UNIX):
        return None
    return text.removeprefix(HTTPS)


def duration(name: str, text: str) -> timedelta:
    """`30s`, `5m`, `12h`, `90d`, `250ms`. Raises ConfigurationError that names the setting."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|s|m|h|d)", text)
    if not match:
        raise ConfigurationError(f"{name} = {text[:50]!r} is not a duration", hint="write 250ms, 30s, 5m, 12h or 90d")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > MAXIMUM_DURATION.total_seconds():
        raise ConfigurationError(
            f"{name} = {text!r} is longer than {MAXIMUM_DURATION.days}d", hint="write 250ms, 30s, 12h or 90d"
        )
    return timedelta(seconds=seconds)


def host_and_port(name: str, text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPv6]:PORT`. Raises ConfigurationError that names the setting."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or not int(port) < 65536:
        raise ConfigurationError(f"{name} = {text[:300]!r} is not HOST:PORT", hint="write it like 127.0.0.1:7443")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """By its name: what it resolves to here need not be what it resolves to elsewhere."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return not host or re.fullmatch(r"(.+\.)?localhost[46]?(\.localdomain[46]?)?\.?", host.lower()) is not None


def url_of(listen: str) -> str:
    """The URL of who listens at HOST:PORT; for every address of this machine, by its name. Raises ConfigurationError
    where that name means every machine itself."""
    host, port = host_and_port("listen", listen)
    reachable = socket.getfqdn() if host in EVERY_ADDRESS else host
    if host in EVERY_ADDRESS and is_loopback(reachable):
        raise ConfigurationError(
            f"this machine calls itself {reachable}, which others cannot reach, and listen = {listen!r} needs its name",
            hint="say how others reach it: advertise = 'https://HOST:PORT' (init and join: --advertise)",
        )
    return f"https://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"


Value = str | tuple[str, ...] | None


def require_changeable(path: Path) -> None:
    """Write the file anew as it is, which `change` does last: raises ConfigurationError where that cannot be done, as
    where the file alone is mounted or its directory is read-only."""
    path = path.resolve()
    try:
        replace_durably(path, path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be replaced, and this command has to at its end: {error.strerror or type(error).__name__}",
            hint="nothing was changed; mount or permit its directory, not the file alone, and repeat this",
        ) from None


def change(path: Path, settings: abc.Mapping[str, Value]) -> Config:
    """Rewrite these settings in the file, durably; None takes one out. Other lines, owner, group and mode stay.

    Raises ConfigurationError, having changed nothing, where that cannot be done.
    """
    path = path.resolve()
    try:
        before = after = read_text(path)
        for name, value in settings.items():
            after = _with_setting(after, name, value)
        if not _differs_only(before, after, settings):
            raise ConfigurationError(f"{path} is written in a way that keysvc cannot change", hint=_by_hand(settings))
        replace_durably(path, after.encode())
    except OSError as error:
        lines = "; ".join(f"{name} = {_shown(value)}" for name, value in settings.items() if value is not None)
        raise ConfigurationError(
            f"{path} cannot be replaced: {error.strerror or type(error).__name__}",
            hint=f"all else is done: write into it by hand {lines or 'no ' + ', '.join(settings)}",
        ) from None
    return load(path)


def _differs_only(before: str, after: str, settings: abc.Mapping[str, Value]) -> bool:
    wanted = {**tomllib.loads(before), **{name: _plain(value) for name, value in settings.items()}}
    try:
        return tomllib.loads(after) == {name: value for name, value in wanted.items() if value is not None}
    except NO_TOML:
        return False


def _by_hand(settings: abc.Mapping[str, Value]) -> str:
    return f"set {', '.join(settings)} each on lines of its own, as keysvc init writes them"


def _shown(value: str | tuple[str, ...]) -> str:
    """As TOML, without the secrets of URLs."""
    shown = (str(Location.parse(each)) for each in ((value,) if isinstance(value, str) else value))
    return _toml(next(shown) if isinstance(value, str) else tuple(shown))


def _plain(value: Value) -> str | list[str] | None:
    return list(value) if isinstance(value, tuple) else value


def _with_setting(text: str, name: str, value: Value) -> str:
    """Replace the lines of one setting, or add it at the end, which is before the first table."""
    lines = text.splitlines()
    new = [] if value is None else [f"{name} = {_toml(value)}"]
    top = next((at for at, line in enumerate(lines) if re.match(r"\s*\[[^,]*\]\s*(#.*)?$", line)), len(lines))
    for start, line in enumerate(lines[:top]):
        if re.match(rf"\s*{name}\s*=", line):
            return "\n".join([*lines[:start], *new, *lines[_end_of_setting(lines, start) :], ""])
    return "\n".join([*lines[:top], *new, *lines[top:], ""])


def _end_of_setting(lines: abc.Sequence[str], start: int) -> int:
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[start:end]))
        except NO_TOML:
            continue
        return end
    return start + 1


def dump(settings: abc.Mapping[str, str | tuple[str, ...]]) -> str:
    """The text of a configuration file with these settings."""
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    return "\n".join(["# Made by keysvc. docs/reference/configuration.md lists every setting.", *lines, ""])


def _toml(value: str | tuple[str, ...]) -> str:
    return _toml_string(value) if isinstance(value, str) else f"[{', '.join(map(_toml_string, value))}]"


def _toml_string(value: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
    return f'"{escaped}"'
