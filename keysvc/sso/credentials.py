"""A credential as an application gets it."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from types import MappingProxyType

from keysvc.errors import AccessDenied, InvalidInput, NotFound
from keysvc.model import Application, Mapping, SecretText, names


def same_label(label: str) -> str:
    """Labels are matched without regard to case, blanks, hyphens and underscores: `password` finds `Password`."""
    return "".join(c for c in names.key(label) if c not in " _-")


@dataclass(frozen=True, slots=True)
class Credential:
    """What an application signs on with. Prints the names of its fields only; `credential["password"].reveal()` shows.

    `masked` names the fields that a person should not see on a screen. `version` of the master secret encrypted it.
    `revision` changes with every change of it, and with its re-encryption.
    """

    application: str
    user: str
    external_user: str
    fields: abc.Mapping[str, SecretText] = field(repr=False)
    masked: frozenset[str]
    version: int
    revision: int

    def __getitem__(self, label: str) -> SecretText:
        """A field by its label. Raises NotFound."""
        wanted = same_label(label)
        for name, value in self.fields.items():
            if same_label(name) == wanted:
                return value
        raise NotFound(
            f"the credential of {self.user} for {self.application} has no field {label!r}",
            hint=f"its fields are: {', '.join(self.fields) or 'none'}",
        )

    def __iter__(self) -> abc.Iterator[str]:
        return iter(self.fields)


def credential_of(
    application: Application, mapping: Mapping, fields: abc.Mapping[str, SecretText], version: int, revision: int
) -> Credential:
    """Return what a lookup of the mapping gives, for decrypted fields; many callers may share it."""
    masked = frozenset(f.label for f in application.fields[1:] if f.masked)
    user = application.host_account or mapping.user
    shared = MappingProxyType(dict(fields))
    return Credential(application.name, user, mapping.external_user, shared, masked, version, revision)


def labelled(application: Application, values: abc.Mapping[str, str | SecretText]) -> dict[str, SecretText]:
    """`values` under the labels that the application defines. Raises InvalidInput for one that it does not."""
    labels = {same_label(f.label): f.label for f in application.fields[1:]}
    result: dict[str, SecretText] = {}
    for name, value in values.items():
        label = labels.get(same_label(name))
        if label is None or label in result:
            raise InvalidInput(
                f"{application.name} has no field {name!r}" if label is None else f"field {label!r} is given twice",
                hint=f"its fields are: {', '.join(labels.values()) or 'none'}",
            )
        result[label] = value if isinstance(value, SecretText) else SecretText(value)
    return result


def refuse_local(application: Application, account: str) -> None:
    """Raises AccessDenied for an account of one machine where the application does not allow those."""
    if not application.takes(account):
        raise AccessDenied(
            f"{application.name} does not allow {account}, which is an account of one machine",
            hint="it needs the flag allowLocalAccounts",
        )
