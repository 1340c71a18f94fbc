"""The mapping store on SQL Server, 2016 or later, Azure SQL, and servers that speak their protocol. The plugin `mssql`.

    mssql://keysvc@sql.example/keysvc?password-source=file:/etc/keysvc/database-password
    mssql://sql.example/keysvc                                            Windows authentication
    mssql://@x.database.windows.net/keysvc?Authentication=ActiveDirectoryMSI
    mssql+pyodbc://keysvc@one.example/keysvc?Failover_Partner=two.example

`mssql:` is `mssql+mssqlpython:`, whose package brings Microsoft's library along; `mssql+pyodbc:` takes an ODBC one that
is installed. Options are keywords of Microsoft's connection strings, and `password-source` of keysvc.
"""

from __future__ import annotations

from keysvc.plugin import ConfigurationError, MappingStore, Opening, Register, hookimpl

KEYSVC_API = 2
KEYWORDS = {
    "Encrypt": "strict (TDS 8, the default), yes, or no",
    "TrustServerCertificate": "yes takes any certificate: for a test only; not with strict",
    "ServerCertificate": "file of the very certificate that the server must show",
    "HostnameInCertificate": "the name in the certificate, when it is not the host's",
    "Authentication": "ActiveDirectoryMSI, ActiveDirectoryServicePrincipal, SqlPassword, …",
    "Trusted_Connection": "yes is Windows authentication; so when no user is named",
    "ServerSPN": "the Kerberos name of the server",
    "MultiSubnetFailover": "yes for the listener of an availability group",
    "Failover_Partner": "the mirror; with mssql+pyodbc only",
    "ApplicationIntent": "ReadWrite, the default",
    "ConnectRetryCount": "how often an idle connection is restored",
    "ConnectRetryInterval": "seconds between",
    "KeepAlive": "seconds of silence before a connection is probed; 10",
    "KeepAliveInterval": "seconds between probes; 5",
    "IpAddressPreference": "IPv4First, IPv6First or UsePlatformDefault",
    "PacketSize": "bytes",
    "Driver": "name of the ODBC library; with mssql+pyodbc only",
}
_CANONICAL = {keyword.lower(): keyword for keyword in KEYWORDS}


@hookimpl
def keysvc_mapping_stores(register: Register[MappingStore]) -> None:
    """Register `mssql:`."""
    register(
        "mssql",
        open_mssql,
        summary="a SQL Server or Azure SQL database",
        options={"password-source": "file:/PATH or env:NAME", **KEYWORDS},
    )


def open_mssql(opening: Opening) -> MappingStore:
    """Connects at the first call. Raises ConfigurationError."""
    from keysvc_mssql.connecting import Server
    from keysvc_mssql.store import SQLServerMappingStore

    location = opening.location
    password = opening.prompt("password") if "password-source" in location.options else None
    return SQLServerMappingStore(Server.of(location, password), str(location))


def keyword(name: str) -> str:
    """A keyword of connection strings as Microsoft writes it. Raises ConfigurationError for an unknown one."""
    try:
        return _CANONICAL[name.lower()]
    except KeyError:
        raise ConfigurationError(f"mssql: has no option {name!r}", hint=f"options: {', '.join(KEYWORDS)}") from None
