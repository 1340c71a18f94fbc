"""One example of each message, as the description of the operations shows them."""

from __future__ import annotations

from collections import abc
from datetime import UTC, datetime
from typing import Any

from keysvc.master.notifier_states import NotifierState, NotifierStates, Parked
from keysvc.master.status import ServerStatus, SystemStatus, VersionStatus
from keysvc.model import (
    Application,
    ApplicationType,
    AuditEntry,
    BackupRecord,
    Field,
    Flags,
    Mapping,
    Role,
    RotationSettings,
    Settings,
    Severity,
    VersionState,
)
from keysvc.sso.permissions import CallerRights, Scope, SSORole
from keysvc.sso.requests.audit import AuditPage
from keysvc.sso.requests.mapping_search import FoundMappings
from keysvc.sso.requests.reveals import CredentialState
from keysvc.sso.status import ServerState
from keysvc.web.asgi import messages
from keysvc.web.master import messages as bodies

_AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
_SYSTEM_ID = "5ca1ab1e0000000000000000c0ffee00"
_APPLICATION = Application(
    "SAP",
    "a11ce0000000000000000000000000b0",
    ApplicationType.INDIVIDUAL,
    (Field("User Id", masked=False), Field("Password", masked=True)),
    Flags(enabled=True),
    description="production",
    revision=3,
)
_MAPPING = Mapping("SAP", "NORDWIND\\anna.weber", "AWEBER", enabled=True, revision=4)
_AUDITED = AuditEntry(_AT, "boss", "mapping.set", "SAP: anna", {"user": "anna"}, origin="192.0.2.7", sequence=41)
_ANNOUNCED = messages.AnnouncedVersion(4, VersionState.ACTIVE, _AT, "1f2e3d4c5b6a7988")
_ENTRY = messages.IdentityEntry("web-01", "server", "5d1c0f", _AT, expires_at=_AT.replace(year=2027))
_PEM = "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n"

_ALL = (
    messages.PollAnswer(_SYSTEM_ID, 7, 30.0, (_ANNOUNCED,)),
    messages.FetchRequest("X25519", bytes(32)),
    messages.FetchAnswer(bytes(80)),
    messages.Goodbye("5ca1ab1e"),
    messages.AuthorityAnswer(_PEM, _SYSTEM_ID),
    messages.JoinRequest("one-time-secret-of-the-join-token", _PEM.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
    messages.JoinAnswer("web-01", "server", _SYSTEM_ID, _PEM, "postgresql://keysvc@db/keysvc", 30.0, 15.0),
    messages.EnrolRequest("web-01", "server"),
    messages.EnrolAnswer("keysvc-join-1.5ca1ab1e….one-time-secret"),
    messages.RenewalRequest(_PEM.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
    messages.RenewalAnswer(_PEM),
    messages.IdentityPage((_ENTRY,)),
    messages.TokenPage((messages.TokenEntry("web-02", "server", _AT),)),
    messages.TokensCancelled(1),
    messages.RotationAnswer(5, VersionState.ANNOUNCED),
    messages.RotationChange(paused=False, max_rows_per_second=500),
    RotationSettings(None, 500),
    messages.BackupMade(_AT, (3, 4)),
    messages.CredentialBody("SAP", _MAPPING.user, "AWEBER", {"Password": "geheim"}, ("Password",), 4, 7),
    messages.SetCredentialAnswer(4),
    CallerRights("anna", Role.USER, (SSORole.APPLICATION_USER,), {"credential.look-up": Scope.OWN}),
    FoundMappings((_MAPPING,)),
    CredentialState(stored=True, version=4, revision=7),
    messages.RevealedBody("Password", "geheim"),
    AuditPage((_AUDITED,), None, 41),
    Settings(),
    NotifierStates(
        (NotifierState("pager", ("*",), Severity.WARNING, 0, 1),),
        (Parked("6f1c0a2e", "rotation.finished", _AT, "pager", "the receiver refused it", _AT),),
    ),
    messages.PurgeAnswer(12),
    messages.TicketAnswer("keysvc-ticket-1.AQAAAAQ…", _MAPPING.user, _AT),
    messages.ConfigInfo({"Host": "ftp.nordwind.example", "Password": "geheim"}),
    messages.ApplicationPage((_APPLICATION,), "SAP"),
    messages.MappingPage((_MAPPING,)),
    messages.Changed(1200),
    _MAPPING,
    _APPLICATION,
    ServerState(_SYSTEM_ID, 7, 4, (3, 4), can_encrypt=True, problem=""),
    SystemStatus(
        "ready",
        _SYSTEM_ID,
        4,
        (VersionStatus(4, VersionState.ACTIVE, _AT, 1200, ("file:/var/lib/keysvc/secret",)),),
        7,
        "sso-1/4711/5ca1ab1e",
        (ServerStatus("web-01", 4, _AT, can_encrypt=True),),
        None,
        BackupRecord(_AT, (4,)),
        (),
        (),
    ),
)
_ADMINISTRATION = (
    bodies.PluginPage((bodies.PluginEntry("sqlite", "keysvc", "0.2.0", ("mapping store",), ("sqlite",)),)),
    bodies.FindingPage((bodies.FindingEntry("a backup holds the active version", ok=True),)),
    bodies.RetryRequest(notifier="pager"),
    bodies.Retried(1),
    bodies.SystemSwitch(enabled=False),
    bodies.AuditProof((bodies.TrailProof("changes", 41, 0, ()),)),
    bodies.ImportRequest((bodies.ImportSource("mappings.xml", b"<sso>\xe2\x80\xa6</sso>"),)),
    bodies.ImportAnswer(
        (bodies.ImportedEntry("mappings.xml", "mappings", created=1),),
        True,
        (bodies.DifferenceEntry("mapping", "SAP: anna", "external_user", "", "AWEBER"),),
    ),
)
EXAMPLES: abc.Mapping[type, Any] = {type(example): example for example in (*_ALL, *_ADMINISTRATION)}
