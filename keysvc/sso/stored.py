"""Credentials as the mapping store has them, decrypted as far as the flags of their application allow."""

from __future__ import annotations

from types import MappingProxyType

from keysvc.crypto.credentials import version_of
from keysvc.errors import AccessDenied, CannotDecrypt, Conflict, NotFound
from keysvc.interfaces import MappingStore
from keysvc.model import Application, EncryptedCredential, Mapping
from keysvc.sso.ciphers import Ciphers
from keysvc.sso.credentials import Credential


class StoredCredentials:
    """Thread-safe; every call asks the mapping store."""

    def __init__(self, store: MappingStore, ciphers: Ciphers) -> None:
        self._store = store
        self._ciphers = ciphers

    def application(self, name: str) -> Application:
        """Raises NotFound."""
        definition = self._store.application(name)
        if definition is None:
            raise NotFound(f"there is no application {name}", hint="keysvc app list")
        return definition

    def of_user(self, application: str, user: str) -> tuple[Credential, bool]:
        """The credential, and whether it may be kept in memory. Raises NotFound, AccessDenied, CannotDecrypt."""
        definition, mapping = self._enabled(application, user)
        row = self._store.credential(application, user)
        if row is None:
            raise NotFound(
                f"{user} has no credential for {application}", hint=f"keysvc credential set '{application}' '{user}'"
            )
        return self._decrypted(definition, mapping, row), not definition.flags.disable_credential_cache

    def user_of(self, application: str, external_user: str) -> str:
        """Raises NotFound, AccessDenied, Conflict when several users share it."""
        definition = self.application(application)
        if not definition.flags.host_initiated:
            raise AccessDenied(
                f"{application} does not allow a look-up by external user", hint="it needs the flag hostInitiatedSSO"
            )
        found = self._store.mappings_of_external_user(application, external_user)
        if not found:
            raise NotFound(f"nobody is mapped to {external_user} of {application}")
        if len(found) > 1:
            raise Conflict(f"{len(found)} users are mapped to {external_user} of {application}")
        return found[0].user

    def _enabled(self, application: str, user: str) -> tuple[Application, Mapping]:
        definition = self.application(application)
        if not definition.flags.enabled:
            raise AccessDenied(f"{application} is disabled", hint=f"keysvc app enable '{application}'")
        mapping = self._store.mapping(application, user)
        if mapping is None:
            raise NotFound(
                f"{user} has no mapping for {application}",
                hint=f"keysvc mapping set '{application}' '{user}' EXTERNAL_USER --enable",
            )
        if not mapping.enabled:
            raise AccessDenied(
                f"the mapping of {user} for {application} is disabled",
                hint=f"keysvc mapping enable '{application}' '{user}'",
            )
        return definition, mapping

    def _decrypted(self, application: Application, mapping: Mapping, row: EncryptedCredential) -> Credential:
        version = version_of(row.ciphertext)
        if version != row.version:
            raise CannotDecrypt(f"the credential of {row.user} for {row.application} does not decrypt")
        fields = self._ciphers.of(version).decrypt(application, row.user, row.ciphertext)
        masked = frozenset(f.label for f in application.fields[1:] if f.masked)
        shared = MappingProxyType(fields)  # with every later look-up of it
        return Credential(application.name, mapping.user, mapping.external_user, shared, masked, version, row.revision)
