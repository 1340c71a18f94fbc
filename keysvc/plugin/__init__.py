"""What a plugin may import: hooks, interfaces, the values that they take and return, and errors.

    from keysvc.plugin import KeyStore, Opening, Register, hookimpl

A name here changes only together with `API_VERSION` (docs/plugins/stability.md). `keysvc.plugin.hookspecs` is the page
to read first. `keysvc.stores.sql` is for plugins that add a SQL database, `keysvc.testing` for their tests.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keysvc.errors import (
        AccessDenied as AccessDenied,
        AlreadyConfigured as AlreadyConfigured,
        AuditBroken as AuditBroken,
        AuditUnavailable as AuditUnavailable,
        AuthorizerUnavailable as AuthorizerUnavailable,
        BackupDamaged as BackupDamaged,
        BackupError as BackupError,
        CannotDecrypt as CannotDecrypt,
        Changed as Changed,
        ConfigurationError as ConfigurationError,
        Conflict as Conflict,
        Fenced as Fenced,
        InvalidInput as InvalidInput,
        KeyStoreError as KeyStoreError,
        KeyStoreUnavailable as KeyStoreUnavailable,
        KeysvcError as KeysvcError,
        LeaseHeld as LeaseHeld,
        MappingStoreError as MappingStoreError,
        MappingStoreUnavailable as MappingStoreUnavailable,
        MasterSecretServerUnavailable as MasterSecretServerUnavailable,
        NotActive as NotActive,
        NotConfigured as NotConfigured,
        NotFound as NotFound,
        NotifierError as NotifierError,
        NotifierRefused as NotifierRefused,
        NotifierUnavailable as NotifierUnavailable,
        PluginError as PluginError,
        ProtocolError as ProtocolError,
        RateLimited as RateLimited,
        Revoked as Revoked,
        SchemaMismatch as SchemaMismatch,
        SealBroken as SealBroken,
        SharesNeeded as SharesNeeded,
        StaleVersion as StaleVersion,
        SystemDisabled as SystemDisabled,
        UnknownScheme as UnknownScheme,
        VersionAlreadySealed as VersionAlreadySealed,
        VersionInUse as VersionInUse,
        VersionNotFound as VersionNotFound,
        WrongPassphrase as WrongPassphrase,
    )
    from keysvc.model import (
        CHECK_VALUE_BYTES as CHECK_VALUE_BYTES,
        DENIED as DENIED,
        DONE as DONE,
        LOOKED_UP as LOOKED_UP,
        MASTER_SECRET_BYTES as MASTER_SECRET_BYTES,
        MAXIMUM_VERSION as MAXIMUM_VERSION,
        Announcement as Announcement,
        Application as Application,
        ApplicationType as ApplicationType,
        AuditEntry as AuditEntry,
        AuditTrail as AuditTrail,
        BackupRecord as BackupRecord,
        CredentialKey as CredentialKey,
        Detail as Detail,
        EncryptedCredential as EncryptedCredential,
        Enrolment as Enrolment,
        Event as Event,
        Field as Field,
        Flags as Flags,
        Guard as Guard,
        Identity as Identity,
        Lease as Lease,
        Mapping as Mapping,
        MasterSecret as MasterSecret,
        ParkedEvent as ParkedEvent,
        Role as Role,
        RotationSettings as RotationSettings,
        SecretBytes as SecretBytes,
        SecretText as SecretText,
        Server as Server,
        Settings as Settings,
        Severity as Severity,
        SystemRecord as SystemRecord,
        UsedTicket as UsedTicket,
        VersionId as VersionId,
        VersionRecord as VersionRecord,
        Versions as Versions,
        VersionState as VersionState,
        acting_from as acting_from,
        host_name as host_name,
        is_local as is_local,
        origin as origin,
        utc_now as utc_now,
    )
    from keysvc.plugin.audit_chain import (
        AuditHead as AuditHead,
        AuditKeys as AuditKeys,
    )
    from keysvc.plugin.changes import (
        UNGUARDED as UNGUARDED,
        AcceptAudit as AcceptAudit,
        AppendAudit as AppendAudit,
        AppendEvent as AppendEvent,
        Change as Change,
        ClaimExternalUser as ClaimExternalUser,
        DeleteApplication as DeleteApplication,
        DeleteCredential as DeleteCredential,
        DeleteMapping as DeleteMapping,
        EventDelivered as EventDelivered,
        ForgetEnrolments as ForgetEnrolments,
        ForgetEvents as ForgetEvents,
        ForgetServer as ForgetServer,
        ParkEvent as ParkEvent,
        PruneAudit as PruneAudit,
        PutApplication as PutApplication,
        PutAuditHead as PutAuditHead,
        PutBackup as PutBackup,
        PutCredential as PutCredential,
        PutEnrolment as PutEnrolment,
        PutIdentity as PutIdentity,
        PutMapping as PutMapping,
        PutRotationSettings as PutRotationSettings,
        PutSystem as PutSystem,
        PutVersion as PutVersion,
        RaiseOldestReader as RaiseOldestReader,
        RedeemEnrolment as RedeemEnrolment,
        Reencrypt as Reencrypt,
        RetryEvent as RetryEvent,
        SealAudit as SealAudit,
        SeeServers as SeeServers,
        UseTicket as UseTicket,
    )
    from keysvc.plugin.cloudevents import (
        CONTENT_TYPE as CONTENT_TYPE,
        cloudevent as cloudevent,
    )
    from keysvc.plugin.hookspecs import (
        API_VERSION as API_VERSION,
        hookimpl as hookimpl,
    )
    from keysvc.plugin.interfaces import (
        Authorizer as Authorizer,
        KeyStore as KeyStore,
        KeyStoreInfo as KeyStoreInfo,
        LookedUp as LookedUp,
        MappingStore as MappingStore,
        MappingStoreInfo as MappingStoreInfo,
        Notifier as Notifier,
        Opener as Opener,
        Opening as Opening,
        Prompt as Prompt,
        Register as Register,
    )
    from keysvc.plugin.location import (
        Location as Location,
    )
    from keysvc.plugin.safe_files import (
        Unsafe as Unsafe,
        check_directory as check_directory,
        check_file as check_file,
        create_directory as create_directory,
        create_durably as create_durably,
        fsync_directory as fsync_directory,
        write_durably as write_durably,
    )
    from keysvc.plugin.sealed import (
        FORMAT as FORMAT,
        MINIMUM_PASSPHRASE as MINIMUM_PASSPHRASE,
        Directory as Directory,
        SealedKeyStore as SealedKeyStore,
        Sealer as Sealer,
        Shelf as Shelf,
        check_new_passphrase as check_new_passphrase,
        entry_name as entry_name,
    )

_MODULES = (
    "keysvc.plugin.hookspecs",
    "keysvc.plugin.interfaces",
    "keysvc.plugin.safe_files",
    "keysvc.plugin.sealed",
    "keysvc.plugin.changes",
    "keysvc.plugin.audit_chain",
    "keysvc.plugin.cloudevents",
    "keysvc.plugin.location",
    "keysvc.model",
    "keysvc.errors",
)


def __getattr__(name: str) -> object:
    """Import the module that has `name` when it is first asked for: most of keysvc needs few of them."""
    if not name.startswith("_"):
        for module in map(importlib.import_module, _MODULES):
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module 'keysvc.plugin' has no attribute {name!r}")
