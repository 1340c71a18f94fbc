"""Values: frozen, without I/O, without cryptography beyond the standard library's.

Each module has one subject; import the names from here. Times are aware UTC. A `revision` is only ever compared for
equality. `Mapping` is a user's mapping of an affiliate application; the standard library's is written `abc.Mapping`.
"""

from __future__ import annotations

from keysvc.model.applications import (
    MAXIMUM_FIELDS as MAXIMUM_FIELDS,
    Application as Application,
    ApplicationType as ApplicationType,
    CredentialKey as CredentialKey,
    EncryptedCredential as EncryptedCredential,
    Field as Field,
    Flags as Flags,
    Mapping as Mapping,
    UsedTicket as UsedTicket,
    check_new_mapping as check_new_mapping,
    is_local as is_local,
)
from keysvc.model.audit import (
    DENIED as DENIED,
    DONE as DONE,
    LOOKED_UP as LOOKED_UP,
    AuditEntry as AuditEntry,
    AuditTrail as AuditTrail,
    acting_from as acting_from,
    origin as origin,
)
from keysvc.model.events import (
    Detail as Detail,
    Event as Event,
    ParkedEvent as ParkedEvent,
    Severity as Severity,
)
from keysvc.model.identities import (
    Enrolment as Enrolment,
    Identity as Identity,
    Role as Role,
    Server as Server,
    host_name as host_name,
)
from keysvc.model.secret_values import (
    SecretBytes as SecretBytes,
    SecretText as SecretText,
)
from keysvc.model.system import (
    BackupRecord as BackupRecord,
    Guard as Guard,
    Lease as Lease,
    NameRule as NameRule,
    Settings as Settings,
    SystemRecord as SystemRecord,
    accounts_in as accounts_in,
    utc_now as utc_now,
)
from keysvc.model.versions import (
    CHECK_VALUE_BYTES as CHECK_VALUE_BYTES,
    MASTER_SECRET_BYTES as MASTER_SECRET_BYTES,
    MAXIMUM_VERSION as MAXIMUM_VERSION,
    Announcement as Announcement,
    MasterSecret as MasterSecret,
    RotationSettings as RotationSettings,
    VersionId as VersionId,
    VersionRecord as VersionRecord,
    Versions as Versions,
    VersionState as VersionState,
    permission_length as permission_length,
)
