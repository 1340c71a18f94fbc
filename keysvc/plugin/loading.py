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

from keysvc.errors import (
    AuthorizerUnavailable,
    ConfigurationError,
    KeyStoreError,
    KeysvcError,
    MappingStoreError,
    NotifierRefused,
    PluginError,
    UnknownScheme,
)
from keysvc.plugin import hookspecs
from keysvc.plugin.interfaces import Authorizer, KeyStore, MappingStore, Notifier, Opener, Opening, Prompt
from keysvc.plugin.isolation import Guard, Isolated, PluginFailure, Tell, what_to_do
from keysvc.plugin.location import Location
from keysvc.plugin.secret_sources import sourced

GROUP = "keysvc"
OWN = "keysvc"
HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("keysvc_"))
KINDS = dict(zip(HOOKS, ("key store", "mapping store", "notifier", "authorizer", "commands"), strict=True))
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
    "ldap": "keysvc-ldap",
    "ldaps": "keysvc-ldap",
    "ldapi": "keysvc-ldap",
}

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class PluginReport:
    """What `keysvc plugin list` shows. `problem` is empty when the plugin works; else it begins with where it failed:
    import, or a hook. `hint` says what to do then."""

    name: str
    distribution: str
    version: str
    kinds: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Registration(Generic[Part]):
    """One URL scheme of one plugin."""

    scheme: str
    opener: Opener[Part]
    summary: str
    options: abc.Mapping[str, str]
    plugin: str
    distribution: str


def _as_it_is(part: Part) -> Part:
    return part


@dataclass(slots=True)
class Registry(Generic[Part]):
    """The URL schemes of one kind of part, whose `interface` every part has, and the `error` that a plugin's mistake in
    it becomes. `reports` are those of all plugins."""

    kind: str
    interface: type
    error: type[KeysvcError]
    tell: Tell
    reports: list[PluginReport]
    registrations: dict[str, Registration[Part]] = field(default_factory=dict)
    wrap: abc.Callable[[Part], Part] = _as_it_is
    """What becomes of each part that is opened from now on: a service counts the calls of its stores."""

    def of_plugin(self, plugin: str, distribution: str) -> abc.Callable[..., None]:
        """The `register` callable that is handed to one plugin."""

        def register(scheme: str, opener: Opener[Part], *, summary: str, options: abc.Mapping[str, str]) -> None:
            taken = self.registrations.get(scheme)
            if taken is not None:
                raise PluginError(f"{scheme}: is registered by {taken.plugin} already, {plugin} cannot take it")
            self.registrations[scheme] = Registration(scheme, opener, summary, dict(options), plugin, distribution)

        return register

    def forget(self, plugin: str) -> None:
        """Drop all that a plugin registered."""
        self.registrations = {s: r for s, r in self.registrations.items() if r.plugin != plugin}

    def open(self, url: str, prompt: Prompt, system_id: str) -> Part:
        """Open the part that `url` names. Raises UnknownScheme, ConfigurationError, and what the part raises.

        A plugin's mistakes, here and in every later call, become `error`. keysvc's own parts are not guarded."""
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
        opening = Opening(location, sourced(location, prompt), system_id)
        own = registration.distribution == OWN
        return self.wrap(registration.opener(opening) if own else self._isolated(registration, opening))

    def _isolated(self, registration: Registration[Part], opening: Opening) -> Part:
        guard = Guard(registration.plugin, registration.distribution, self.error, self.tell)
        part = guard.call(f"opening {registration.scheme}", registration.opener, opening)
        for method in vars(self.interface):
            if not method.startswith("_") and not callable(guard.call("opening", getattr, part, method, None)):
                raise PluginError(
                    f"what the plugin {registration.plugin} opens for {registration.scheme}: has no {method}(), "
                    f"so it is no {self.kind}",
                    hint=what_to_do(registration.distribution, registration.plugin),
                )
        return cast(Part, Isolated(part, self.interface.__name__, guard))

    def _unknown(self, scheme: str) -> UnknownScheme:
        distribution = SEPARATE_DISTRIBUTIONS.get(scheme) or SEPARATE_DISTRIBUTIONS.get(scheme.partition("+")[0])
        broken = {report.distribution: report.name for report in self.reports if report.problem}
        hint = f"pip install {distribution}" if distribution and distribution not in broken else None
        if broken and hint is None:
            hint = f"{', '.join(broken.values())} could not be loaded: `keysvc plugin list` says why and what to do"
        return UnknownScheme(f"no installed plugin opens {scheme}: as a {self.kind}", hint=hint)


class Plugins:
    """All installed plugins. Construct one a process: it imports each plugin's entry point, never its driver.

    `only` pins the distributions: no other entry point is even imported. The environment variable
    KEYSVC_DISABLED_PLUGINS (names, separated by commas) leaves some out.
    """

    def __init__(self, only: abc.Collection[str] | None = None) -> None:
        self._hooks = pluggy.PluginManager("keysvc")
        self._hooks.add_hookspecs(hookspecs)
        self.reports: list[PluginReport] = []
        self.on_failure: Tell = _ignore
        shared = (self._tell, self.reports)
        self.key_stores: Registry[KeyStore] = Registry("key store", KeyStore, KeyStoreError, *shared)
        self.mapping_stores: Registry[MappingStore] = Registry(
            "mapping store", MappingStore, MappingStoreError, *shared
        )
        self.notifiers: Registry[Notifier] = Registry("notifier", Notifier, NotifierRefused, *shared)
        self.authorizers: Registry[Authorizer] = Registry("authorizer", Authorizer, AuthorizerUnavailable, *shared)
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
        return self.key_stores, self.mapping_stores, self.notifiers, self.authorizers

    @property
    def failures(self) -> list[PluginFailure]:
        """What went wrong while they were loaded."""
        return [
            PluginFailure(report.name, report.distribution, *report.problem.split(": ", 1))
            for report in self.reports
            if report.problem
        ]

    def add_commands(self, app: object) -> None:
        """Let every plugin add its commands to the command line; one that fails is reported, not raised."""
        for implementation in self._hooks.hook.keysvc_commands.get_hookimpls():
            try:
                implementation.function(app)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  a broken plugin never stops the rest
                at = [report.name for report in self.reports].index(implementation.plugin_name)
                self.reports[at] = _with_problem(self.reports[at], "keysvc_commands", error)

    def _tell(self, failure: PluginFailure) -> None:
        self.on_failure(failure)

    def _load(self, entry_point: importlib.metadata.EntryPoint, report: PluginReport) -> PluginReport:
        if any(other.name == report.name for other in self.reports):
            return _with_problem(report, "declaration", PluginError("another distribution has a plugin of this name"))
        where = "import"
        try:
            plugin = entry_point.load()
            where = "declaration"
            self._register(plugin, report)
            for hook, registry in zip(HOOKS, self.registries, strict=False):
                where = hook
                for implementation in getattr(self._hooks.hook, hook).get_hookimpls():
                    if implementation.plugin_name == report.name:
                        implementation.function(registry.of_plugin(report.name, report.distribution))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a broken plugin never stops the rest
            if self._hooks.has_plugin(report.name):
                self._hooks.unregister(name=report.name)
            for registry in self.registries:
                registry.forget(report.name)
            return _with_problem(report, where, error)
        hooks = [caller.name for caller in self._hooks.get_hookcallers(plugin) or ()]
        kinds = tuple(KINDS[hook] for hook in HOOKS if hook in hooks)
        schemes = tuple(
            s for registry in self.registries for s, r in registry.registrations.items() if r.plugin == report.name
        )
        return replace(report, kinds=kinds, schemes=schemes)

    def _register(self, plugin: object, report: PluginReport) -> None:
        declared: object = getattr(plugin, "KEYSVC_API", hookspecs.API_VERSION)
        if declared != hookspecs.API_VERSION:
            newer = not isinstance(declared, int) or declared > hookspecs.API_VERSION
            raise PluginError(
                f"it was written for version {declared} of the plugin API, this keysvc has {hookspecs.API_VERSION}",
                hint=f"pip install --upgrade {'keysvc' if newer else report.distribution}",
            )
        misspelt = [n for n in dir(plugin) if n.startswith("keysvc_") and n not in HOOKS and _is_hook(plugin, n)]
        if misspelt:
            raise PluginError(f"{misspelt[0]} is not a hook; the hooks are {', '.join(HOOKS)}")
        self._hooks.register(plugin, report.name)
        self._hooks.check_pending()
        if not self._hooks.get_hookcallers(plugin):
            raise PluginError(
                f"{report.name} implements no hook: decorate its functions with keysvc.plugin.hookspecs.hookimpl"
            )


def _ignore(_failure: PluginFailure) -> None:
    """Nobody wants to be told."""


def _with_problem(report: PluginReport, where: str, error: BaseException) -> PluginReport:
    hint = what_to_do(report.distribution, report.name)
    if isinstance(error, PluginError) and error.hint != PluginError.default_hint:
        hint = error.hint
    if isinstance(error, ImportError) and str(error.name).partition(".")[0] == "keysvc":
        hint = f"it was written for another keysvc: pip install --upgrade keysvc {report.distribution}"
    return replace(report, problem=f"{where}: {_one_line(error)}", hint=hint)


def _built_in_first(entry_point: importlib.metadata.EntryPoint) -> tuple[bool, str]:
    return (entry_point.dist is None or entry_point.dist.name != OWN, entry_point.name)


def _is_hook(plugin: object, name: str) -> bool:
    return hasattr(cast(object, getattr(plugin, name)), "keysvc_impl")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
