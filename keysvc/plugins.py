"""Finds, loads and checks plugins, and opens a part from its URL.

Entry points of the group `keysvc` are loaded one by one: a plugin that is broken never stops the rest. keysvc's own
file, SQLite and log parts are such entry points too, so that this module imports no store.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections import abc
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import pluggy

from keysvc import hookspecs
from keysvc.errors import ConfigurationError, PluginError, UnknownScheme
from keysvc.interfaces import KeyStore, MappingStore, Notifier, Opener, Opening, Prompt
from keysvc.location import Location
from keysvc.sources import sourced

GROUP = "keysvc"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("keysvc_"))
SEPARATE_DISTRIBUTIONS = {
    "pkcs11": "keysvc-pkcs11",
    "registry": "keysvc-dpapi",
    "eventlog": "keysvc-dpapi",
    "mssql": "keysvc-mssql",
    "postgresql": "keysvc-postgresql",
    "webhook+https": "keysvc-webhook",
    "smtp": "keysvc-smtp",
    "smtps": "keysvc-smtp",
    "syslog": "keysvc-syslog",
}

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class PluginReport:
    """What `keysvc plugin list` shows. `problem` is empty when the plugin works."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Registration(Generic[Part]):
    """One URL scheme of one plugin."""

    scheme: str
    opener: Opener[Part]
    summary: str
    options: abc.Mapping[str, str]
    plugin: str


@dataclass(slots=True)
class Registry(Generic[Part]):
    """The URL schemes of one kind of part."""

    kind: str
    registrations: dict[str, Registration[Part]] = field(default_factory=dict)

    def of_plugin(self, plugin: str) -> abc.Callable[..., None]:
        """The `register` callable that is handed to one plugin."""

        def register(scheme: str, opener: Opener[Part], *, summary: str, options: abc.Mapping[str, str]) -> None:
            taken = self.registrations.get(scheme)
            if taken is not None:
                raise PluginError(f"{scheme}: is registered by {taken.plugin} already, {plugin} cannot take it")
            self.registrations[scheme] = Registration(scheme, opener, summary, dict(options), plugin)

        return register

    def forget(self, plugin: str) -> None:
        """Drop all that a plugin registered."""
        self.registrations = {s: r for s, r in self.registrations.items() if r.plugin != plugin}

    def open(self, url: str, prompt: Prompt, system_id: str) -> Part:
        """Open the part that `url` names. Raises UnknownScheme, ConfigurationError, and what the part raises."""
        location = Location.parse(url)
        outer = location.scheme.partition("+")[0]
        registration = self.registrations.get(location.scheme) or self.registrations.get(outer)
        if registration is None:
            raise self._unknown(location.scheme)
        as_registered = {option.lower(): option for option in registration.options}
        unknown = sorted(option for option in location.options if option.lower() not in as_registered)
        if unknown:
            known = ", ".join(sorted(registration.options)) or "none"
            raise ConfigurationError(f"{location.scheme}: has no option {unknown[0]!r}", hint=f"options: {known}")
        options = {as_registered[option.lower()]: value for option, value in location.options.items()}
        if len(options) < len(location.options):
            raise ConfigurationError(f"the {location.scheme}: URL gives an option twice")
        location = replace(location, options=MappingProxyType(options))
        return registration.opener(Opening(location, sourced(location, prompt), system_id))

    def _unknown(self, scheme: str) -> UnknownScheme:
        distribution = SEPARATE_DISTRIBUTIONS.get(scheme) or SEPARATE_DISTRIBUTIONS.get(scheme.partition("+")[0])
        return UnknownScheme(
            f"no installed plugin opens {scheme}: as a {self.kind}",
            hint=f"pip install {distribution}" if distribution else None,
        )


class Plugins:
    """All installed plugins. Construct one a process: it imports each plugin's entry point, never its driver.

    `only` pins the distributions: no other entry point is even imported. The environment variable
    KEYSVC_DISABLED_PLUGINS (names, separated by commas) leaves some out.
    """

    def __init__(self, only: abc.Collection[str] | None = None) -> None:
        self._hooks = pluggy.PluginManager("keysvc")
        self._hooks.add_hookspecs(hookspecs)
        self.key_stores: Registry[KeyStore] = Registry("key store")
        self.mapping_stores: Registry[MappingStore] = Registry("mapping store")
        self.notifiers: Registry[Notifier] = Registry("notifier")
        self.reports: list[PluginReport] = []
        disabled = set(os.environ.get("KEYSVC_DISABLED_PLUGINS", "").replace(" ", "").split(","))
        for entry_point in sorted(importlib.metadata.entry_points(group=GROUP), key=_built_in_first):
            distribution = entry_point.dist.name if entry_point.dist else "?"
            if entry_point.name in disabled or not (only is None or distribution in {"keysvc", *only}):
                continue
            version = entry_point.dist.version if entry_point.dist else "?"
            self.reports.append(self._load(entry_point, PluginReport(entry_point.name, distribution, version)))

    @property
    def registries(self) -> tuple[Registry[Any], ...]:
        """One for each kind of part."""
        return self.key_stores, self.mapping_stores, self.notifiers

    def add_commands(self, app: object) -> None:
        """Let every plugin add its commands to the command line; one that fails is reported, not raised."""
        for implementation in self._hooks.hook.keysvc_commands.get_hookimpls():
            try:
                implementation.function(app)
            except Exception as error:  # noqa: BLE001  a broken plugin never stops the rest
                self._report_problem(implementation.plugin_name, f"keysvc_commands: {_one_line(error)}")

    def _load(self, entry_point: importlib.metadata.EntryPoint, report: PluginReport) -> PluginReport:
        name = entry_point.name
        plugin = None
        try:
            plugin = entry_point.load()
            misspelt = [n for n in dir(plugin) if n.startswith("keysvc_") and n not in HOOKS and _is_hook(plugin, n)]
            if misspelt:
                raise PluginError(f"{misspelt[0]} is not a hook; the hooks are {', '.join(HOOKS)}")
            self._hooks.register(plugin, name)
            self._hooks.check_pending()
            if not self._hooks.get_hookcallers(plugin):
                raise PluginError(f"{name} implements no hook: decorate its functions with keysvc.hookspecs.hookimpl")
            for hook, registry in zip(HOOKS, self.registries, strict=False):
                for implementation in getattr(self._hooks.hook, hook).get_hookimpls():
                    if implementation.plugin_name == name:
                        implementation.function(registry.of_plugin(name))
        except (Exception, SystemExit) as error:  # noqa: BLE001  a broken plugin never stops the rest
            if plugin is not None and self._hooks.has_plugin(name):
                self._hooks.unregister(name=name)
            for registry in self.registries:
                registry.forget(name)
            return replace(report, problem=_one_line(error))
        hooks = tuple(caller.name for caller in self._hooks.get_hookcallers(plugin) or ())
        schemes = tuple(
            s for registry in self.registries for s, r in registry.registrations.items() if r.plugin == name
        )
        return replace(report, hooks=hooks, schemes=schemes)

    def _report_problem(self, name: str, problem: str) -> None:
        self.reports = [replace(r, problem=problem) if r.name == name else r for r in self.reports]


def _built_in_first(entry_point: importlib.metadata.EntryPoint) -> tuple[bool, str]:
    return (entry_point.dist is None or entry_point.dist.name != "keysvc", entry_point.name)


def _is_hook(plugin: object, name: str) -> bool:
    return hasattr(cast(object, getattr(plugin, name)), "keysvc_impl")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
