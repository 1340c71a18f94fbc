"""The one error hierarchy.

```
KeysvcError
├── ConfigurationError
│   ├── UnknownScheme
│   └── PluginError
├── NotConfigured
├── AlreadyConfigured
├── InvalidInput
├── AccessDenied
│   ├── AuthorizerUnavailable          retryable
│   ├── Revoked
│   └── SystemDisabled
├── NotFound
├── Conflict                           retryable
│   └── Changed
├── Fenced
├── LeaseHeld                          retryable
├── StaleVersion                       retryable
├── MasterSecretServerUnavailable      retryable
│   └── NotActive                      retryable
├── KeyStoreError
│   ├── KeyStoreUnavailable            retryable
│   │   └── SharesNeeded               retryable
│   ├── VersionNotFound
│   ├── VersionAlreadySealed
│   └── SealBroken
├── MappingStoreError
│   ├── MappingStoreUnavailable        retryable
│   │   └── AuditUnavailable           retryable
│   ├── AuditBroken
│   └── SchemaMismatch
├── NotifierError
│   ├── NotifierUnavailable            retryable
│   └── NotifierRefused
├── CannotDecrypt
├── VersionInUse
├── RateLimited                        retryable
├── ProtocolError
└── BackupError
    ├── WrongPassphrase
    └── BackupDamaged
```

A class exists only where a caller would catch it differently. Plugins raise these and no others, and raise
`from None` where the cause could carry a secret or an SQL parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class KeysvcError(Exception):
    """Root of every error that keysvc raises on purpose.

    `str()` is one line that says what happened, never a secret. `hint` says what to do next. `code` is a stable
    string for programs. `retryable` tells whether the same call may succeed later without anyone's help. `logged` is
    what a service may write of it into its log: nothing of what a caller sent, where a secret may have been typed.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = "run `keysvc doctor`"
    retryable: ClassVar[bool] = False
    repeats_input: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, logged: str | None = None) -> None:
        """`logged` stands in the log in place of a message that repeats what a caller sent."""
        super().__init__(" ".join(message.split()))
        self.hint = hint or self.default_hint
        self.logged = logged if logged is not None else "" if self.repeats_input else str(self)


class ConfigurationError(KeysvcError):
    """A setting is missing, unknown or unusable."""

    code = "configuration"
    default_hint = "correct that setting or option; docs/reference/configuration.md lists every setting"


class UnknownScheme(ConfigurationError):
    """No installed plugin opens URLs of this scheme."""

    code = "unknown-scheme"
    default_hint = "`keysvc plugin list` shows the URL schemes that are installed"


class PluginError(ConfigurationError):
    """A plugin cannot be loaded or registers something invalid."""

    code = "plugin"
    default_hint = "`keysvc plugin list` shows every plugin and its problem"


class NotConfigured(KeysvcError):
    """An SSO administrator has not configured this system yet."""

    code = "not-configured"
    default_hint = "an SSO administrator configures the master secret server first: keysvc init --dir DIR"


class AlreadyConfigured(KeysvcError):
    """The system exists; configuring it again would orphan what it encrypted."""

    code = "already-configured"
    default_hint = "use another --dir and --mapping-store, or go on with the existing system"


class InvalidInput(KeysvcError):
    """Input from outside was refused whole; nothing was changed."""

    code = "invalid-input"
    repeats_input = True
    default_hint = "correct the input and run the same command again; nothing was changed"

    MOST: ClassVar[int] = 50

    @classmethod
    def of_all(cls, faults: Sequence[KeysvcError]) -> InvalidInput:
        """Return one error that names every fault, at most MOST of them."""
        if len(faults) == 1:
            return cls(str(faults[0]), hint=faults[0].hint)
        named = " | ".join(str(fault) for fault in faults[: cls.MOST])
        more = f" | and {len(faults) - cls.MOST} more" if len(faults) > cls.MOST else ""
        hints = dict.fromkeys(fault.hint for fault in faults if fault.hint != cls.default_hint)
        return cls(f"{len(faults)} faults: {named}{more}", hint=next(iter(hints)) if len(hints) == 1 else None)


class AccessDenied(KeysvcError):
    """The caller's identity may not do this, or what it asks for is disabled."""

    code = "access-denied"
    default_hint = "use the identity of an SSO administrator, or ask one for the right"


class AuthorizerUnavailable(AccessDenied):
    """The authorizer cannot say which groups the caller is in: what only a group would allow is denied."""

    code = "authorizer-unavailable"
    default_hint = (
        "bring the directory back, or correct authorizer in keysvc.toml; names that stand for themselves go on"
    )
    retryable = True


class Revoked(AccessDenied):
    """This machine's certificate was revoked: an SSO server forgets the master secret and every credential."""

    code = "revoked"
    default_hint = "an SSO administrator may let it in again: keysvc server enroll NAME"


class SystemDisabled(AccessDenied):
    """An SSO administrator has disabled the system: nothing is looked up and nothing is changed."""

    code = "system-disabled"
    default_hint = "an SSO administrator enables it again: keysvc system enable"


class NotFound(KeysvcError):
    """No application, mapping, credential, server or version of that name."""

    code = "not-found"
    repeats_input = True
    default_hint = "the `list` command of the same group shows what exists"


class Conflict(KeysvcError):
    """What was to be changed has changed meanwhile, or exists already."""

    code = "conflict"
    default_hint = "read it again and repeat the change"
    retryable = True


class Changed(Conflict):
    """It is not, or no longer, what the caller read before; nothing was written."""

    code = "changed"
    default_hint = "read it again, and decide anew"
    retryable = False


class Fenced(KeysvcError):
    """The epoch of this master secret server is over: another holds the lease, and nothing was written."""

    code = "fenced"
    default_hint = "another master secret server is active; `keysvc status` names it"


class LeaseHeld(KeysvcError):
    """Another process is the master secret server of this system."""

    code = "lease-held"
    default_hint = "there is only one master secret server; stop the other one, or wait until its lease ends"
    retryable = True


class StaleVersion(KeysvcError):
    """The version that a credential was encrypted under is no longer active; nothing was written."""

    code = "stale-version"
    default_hint = "poll the master secret server and encrypt again"
    retryable = True


class MasterSecretServerUnavailable(KeysvcError):
    """The master secret server cannot be reached: nothing can be encrypted, decrypting goes on."""

    code = "master-secret-server-unavailable"
    default_hint = (
        "lookups go on; to encrypt again, `keysvc serve` must run on the master secret server and be reachable"
    )
    retryable = True


class NotActive(MasterSecretServerUnavailable):
    """A standby was asked; `active` is the URL of the active master secret server, empty when it knows none."""

    code = "not-active"
    default_hint = (
        "a standby that is ready takes over within lease_ttl; `keysvc cluster status` and the log of each say why one"
        " is not"
    )

    def __init__(self, message: str, *, hint: str | None = None, active: str = "") -> None:
        super().__init__(message, hint=hint)
        self.active = active


class KeyStoreError(KeysvcError):
    """The key store cannot do what was asked."""

    code = "key-store"


class KeyStoreUnavailable(KeyStoreError):
    """The key store cannot be reached or opened now."""

    code = "key-store-unavailable"
    default_hint = "bring the key store back, then run the same command again"
    retryable = True


class SharesNeeded(KeyStoreUnavailable):
    """The key store holds it, and only people who bring their shares can open it."""

    code = "shares-needed"
    default_hint = "call the holders of the shares together: keysvc secret recover --from-shares"


class VersionNotFound(KeyStoreError):
    """The key store holds no such version."""

    code = "version-not-found"
    default_hint = "restore it from a backup: keysvc secret restore FILE"


class VersionAlreadySealed(KeyStoreError):
    """The key store already holds another secret under that version; it was left as it is."""

    code = "version-already-sealed"
    default_hint = "this key store belongs to another system or to another history of this one"


class SealBroken(KeyStoreError):
    """What is stored was changed, torn, or sealed under another root key."""

    code = "seal-broken"
    default_hint = (
        "put the files or the root key back as they were; or move the key store aside, and restore a backup into an"
        " empty one"
    )
    NOT_KEPT: ClassVar[str] = (
        "check the disk or the device there, or name another place; then run the same command again"
    )
    """What to do when what was just written reads back otherwise: nothing was lost, and a backup does not help."""


class MappingStoreError(KeysvcError):
    """The mapping store cannot do what was asked."""

    code = "mapping-store"


class MappingStoreUnavailable(MappingStoreError):
    """The mapping store cannot be reached, is locked, full or read-only."""

    code = "mapping-store-unavailable"
    default_hint = "bring the mapping store back, then run the same command again"
    retryable = True


class AuditUnavailable(MappingStoreUnavailable):
    """A look-up must be recorded in the audit, and that cannot be done: it is refused."""

    code = "audit-unavailable"
    default_hint = "bring the mapping store back: its disk may be full, or another process keeps it locked"


class AuditBroken(MappingStoreError):
    """An audit trail was changed, or misses entries: `keysvc audit verify` found it."""

    code = "audit-broken"
    default_hint = "keep a copy of the database, find out who could write to it, then: keysvc audit accept TRAIL"


class SchemaMismatch(MappingStoreError):
    """The schema of the mapping store is of another release."""

    code = "schema-mismatch"
    default_hint = "`keysvc serve` upgrades an older schema; a newer one needs a newer keysvc"


class NotifierError(KeysvcError):
    """A notifier could not deliver an event."""

    code = "notifier"


class NotifierUnavailable(NotifierError):
    """Not accepted now; the outbox repeats. `retry_after` is how many seconds the receiver asks to wait, if it does."""

    code = "notifier-unavailable"
    default_hint = "the event is kept and delivered again by itself"
    retryable = True

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class NotifierRefused(NotifierError):
    """Refused for good; the event is parked and shown."""

    code = "notifier-refused"
    default_hint = "check the notifier's URL and the receiver's log"


class CannotDecrypt(KeysvcError):
    """A credential does not decrypt. A missing key, a moved row and tampering are not told apart here."""

    code = "cannot-decrypt"
    default_hint = "set the credential again, or restore the row and the version that it names from backups"


class VersionInUse(KeysvcError):
    """A version may not be destroyed yet."""

    code = "version-in-use"
    default_hint = "finish the rotation and make a backup first: keysvc secret rotate --wait, keysvc secret backup FILE"


class RateLimited(KeysvcError):
    """One identity asks for more than it may in a time; nothing was changed."""

    code = "rate-limited"
    default_hint = "wait a minute and ask again; if this identity should ask so much, enrol more than one"
    retryable = True


class ProtocolError(KeysvcError):
    """A peer sent something unacceptable; nothing was taken from it."""

    code = "protocol"
    default_hint = "check that both ends run compatible releases of keysvc and belong to the same system"


class BackupError(KeysvcError):
    """A backup cannot be written, opened or used."""

    code = "backup"
    default_hint = "check the file's path and permissions"


class WrongPassphrase(BackupError):
    """The passphrase does not open this."""

    code = "wrong-passphrase"
    default_hint = "try again with the passphrase that was given when it was made"


class BackupDamaged(BackupError):
    """The backup is torn, changed, or belongs to another system; nothing was changed."""

    code = "backup-damaged"
    default_hint = "use another copy of the backup"
