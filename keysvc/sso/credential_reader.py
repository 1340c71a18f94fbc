"""Credentials as the mapping store has them, decrypted as far as the flags of their application allow."""

from __future__ import annotations

from keysvc.crypto.credentials import version_of
from keysvc.errors import AccessDenied, CannotDecrypt, Conflict, NotFound
from keysvc.model import Application, ApplicationType, EncryptedCredential, Mapping, SecretText, names
from keysvc.plugin.interfaces import Authorizer, MappingStore
from keysvc.sso import spelling
from keysvc.sso.credentials import Credential, credential_of, refuse_local
from keysvc.sso.found import existing
from keysvc.sso.version_ciphers import Ciphers

MAXIMUM_GROUPS = 500
"""Of a group application, that have a mapping."""


class StoredCredentials:
    """Thread-safe; every call asks the mapping store."""

    def __init__(self, store: MappingStore, ciphers: Ciphers, authorizer: Authorizer | None) -> None:
        self._store = store
        self._ciphers = ciphers
        self._authorizer = authorizer

    def application(self, name: str) -> Application:
        """Raises NotFound."""
        return existing(self._store, spelling.application(self._store, name), name)

    def of_user(self, application: str, user: str) -> tuple[Credential, bool]:
        """The credential, and whether it may be kept in memory. In a group application it is that of the first account,
        in the application's order, that `user` is, or is a member of, and that has a mapping. Raises NotFound,
        AccessDenied, CannotDecrypt."""
        found, mapping, row = spelling.look_up(self._store, application, user) or (None, None, None)
        definition = existing(self._store, found, application)
        application = definition.name
        _refuse_disabled(definition)
        if not definition.flags.windows_initiated and definition.type is not ApplicationType.CONFIG_STORE:
            raise AccessDenied(
                f"{application} does not allow a look-up by user", hint="it needs the flag windowsInitiatedSSO"
            )
        if definition.type is ApplicationType.HOST_GROUP:
            raise AccessDenied(
                f"{application} is a host group: one account stands for many external users",
                hint=f"look up by external user: keysvc credential lookup '{application}' EXTERNAL_USER",
            )
        if definition.type is ApplicationType.GROUP:
            mapping = self._of_groups(definition, user)
            row = self._store.credential(application, mapping.user)
        if mapping is None:
            raise NotFound(
                f"{user} has no mapping for {application}{spelling.near(self._store, user, application)}",
                hint=f"keysvc mapping set '{application}' '{user}' EXTERNAL_USER --enable",
            )
        return self._decrypted(definition, mapping, row), not definition.flags.disable_credential_cache

    def of_external_user(self, application: str, external_user: str, password: SecretText | None) -> Credential:
        """Where the application validates passwords, `password` is compared with the stored one before anything else is
        told: an external user who has none, and one whose is another, are refused alike. Raises NotFound, AccessDenied,
        CannotDecrypt, Conflict when several users share it."""
        definition = self.application(application)
        _refuse_disabled(definition)
        if not definition.host_initiated:
            raise AccessDenied(
                f"{application} does not allow a look-up by external user", hint="it needs the flag hostInitiatedSSO"
            )
        if not definition.flags.validate_password:
            return self._read(definition, self._mapped_to(definition, external_user))
        label = _password_field(definition)
        if password is None:
            raise AccessDenied(
                f"{application} checks the password that the external user gave to the host",
                hint="give it along, or let the application do without: keysvc app set APP --flag validatePassword=no",
            )
        try:
            found = self._read(definition, self._mapped_to(definition, external_user))
        except (AccessDenied, Conflict, NotFound):
            found = None
        if found is None or found.fields.get(label) != password:
            raise AccessDenied(
                f"{application} refuses {external_user} with that password",
                hint="if it is the right one, store it anew: keysvc credential set APP USER",
            )
        return found

    def _of_groups(self, application: Application, user: str) -> Mapping:
        found = self._store.mappings(application.name, limit=MAXIMUM_GROUPS)
        mappings = {names.key(mapping.user): mapping for mapping in found}
        accounts = application.user_accounts or tuple(mapping.user for mapping in found)
        groups = self._authorizer.groups_of(user) if self._authorizer is not None else ()
        own = names.keys((user, *groups))
        for account in accounts:
            mapping = mappings.get(names.key(account))
            if mapping is not None and names.key(account) in own:
                return mapping
        raise NotFound(
            f"{user} is in no group that has a mapping for {application.name}",
            hint=f"keysvc mapping list '{application.name}' shows those that have one",
        )

    def _mapped_to(self, application: Application, external_user: str) -> Mapping:
        found = self._store.mappings_of_external_user(application.name, external_user)
        if not found:
            raise NotFound(f"nobody is mapped to {external_user} of {application.name}")
        if len(found) > 1:
            raise Conflict(f"{len(found)} users are mapped to {external_user} of {application.name}")
        return found[0]

    def _read(self, application: Application, mapping: Mapping) -> Credential:
        return self._decrypted(application, mapping, self._store.credential(application.name, mapping.user))

    def _decrypted(self, application: Application, mapping: Mapping, row: EncryptedCredential | None) -> Credential:
        where = f"'{application.name}' '{mapping.user}'"
        if not mapping.enabled:
            raise AccessDenied(
                f"the mapping of {mapping.user} for {application.name} is disabled",
                hint=f"keysvc mapping enable {where}",
            )
        refuse_local(application, mapping.user)
        if row is None:
            raise NotFound(
                f"{mapping.user} has no credential for {application.name}", hint=f"keysvc credential set {where}"
            )
        version = version_of(row.ciphertext)
        if version != row.version or (row.application, row.user) != (application.name, mapping.user):
            raise CannotDecrypt(f"the credential of {row.user} for {row.application} does not decrypt")
        fields = self._ciphers.decrypt(application, row)
        return credential_of(application, mapping, fields, version, row.revision)


def _refuse_disabled(application: Application) -> None:
    if not application.flags.enabled:
        raise AccessDenied(f"{application.name} is disabled", hint=f"keysvc app enable '{application.name}'")


def _password_field(application: Application) -> str:
    """The first masked field."""
    label = next((field.label for field in application.fields[1:] if field.masked), None)
    if label is None:
        raise AccessDenied(
            f"{application.name} has no masked field, and so no password to check",
            hint="let it do without: keysvc app set APP --flag validatePassword=no",
        )
    return label
