"""One example of each request that has a body, as the description of the operations shows it."""

from __future__ import annotations

from collections import abc
from types import MappingProxyType
from typing import Any

from keysvc.model import Field, Flags, SecretText
from keysvc.sso.requests import applications, config_store, credentials, mappings, reveals, settings, system, tickets
from keysvc.sso.requests.request import Request

_USER = "NORDWIND\\anna.weber"
_PASSWORD = SecretText("geheim")
_FIELDS = (Field("User Id", masked=False), Field("Password", masked=True))
_EXAMPLES: tuple[Request[Any], ...] = (
    credentials.LookUpByExternalUser("SAP", "AWEBER", _PASSWORD),
    credentials.SetCredential("SAP", _USER, {"Password": _PASSWORD}, "AWEBER"),
    reveals.RevealField("SAP", _USER, "Password"),
    reveals.RevealProperty("FTP", "ftp-adapter", "Password"),
    settings.ChangeSettings(ticket_timeout_minutes=5),
    system.SetAuditLevels(positive=2, negative=2),
    system.NameSystemAdministrators(affiliate=("NORDWIND\\Affiliate Admins",)),
    tickets.IssueTicket(_USER),
    tickets.RedeemTicket("SAP", SecretText("keysvc-ticket-1.AQAAAAQ…"), _USER),
    config_store.SetConfigInfo(
        "FTP", "ftp-adapter", {"Host": SecretText("ftp.nordwind.example"), "Password": _PASSWORD}
    ),
    applications.CreateApplication(
        "SAP", _FIELDS, flags=Flags(enabled=True), administrator_accounts=("NORDWIND\\SAP Admins",)
    ),
    applications.ChangeApplication("SAP", {"enabled": True}, user_accounts=("NORDWIND\\SAP Users", "payroll")),
    mappings.SetMapping("SAP", _USER, "AWEBER", enable=True),
    mappings.EnableMapping("SAP", _USER, enabled=True),
    mappings.EnableAllMappings("SAP", enabled=True),
)
EXAMPLES: abc.Mapping[type[Request[Any]], Request[Any]] = MappingProxyType(
    {type(example): example for example in _EXAMPLES}
)
