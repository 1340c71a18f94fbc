"""The functions of Windows that this plugin calls, with their types. Windows only.

The names are Microsoft's, so that its reference documents them.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, WINFUNCTYPE, Structure, c_void_p
from ctypes.wintypes import BOOL, BYTE, DWORD, HANDLE, LONG, LPCWSTR, LPWSTR, WORD
from typing import Any

_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)
_crypt32 = ctypes.WinDLL("crypt32", use_last_error=True)
_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)

CRYPTPROTECT_UI_FORBIDDEN = 0x1
CRYPTPROTECT_LOCAL_MACHINE = 0x4
CRYPTPROTECT_AUDIT = 0x10
OWNER_SECURITY_INFORMATION = 0x1
DACL_SECURITY_INFORMATION = 0x4
PROTECTED_DACL_SECURITY_INFORMATION = 0x80000000
WRITE_DAC = 0x40000
WRITE_OWNER = 0x80000
REG_CREATED_NEW_KEY = 1
SDDL_REVISION_1 = 1
SE_REGISTRY_KEY = 4
TOKEN_QUERY = 0x8
TOKEN_USER = 1


SC_MANAGER_CONNECT = 0x1
SC_MANAGER_CREATE_SERVICE = 0x2
SERVICE_ALL_ACCESS = 0xF01FF
SERVICE_QUERY_STATUS = 0x4
SERVICE_START = 0x10
SERVICE_STOP = 0x20
DELETE = 0x10000
SERVICE_WIN32_OWN_PROCESS = 0x10
SERVICE_AUTO_START = 2
SERVICE_ERROR_NORMAL = 1
SERVICE_CONFIG_DESCRIPTION = 1
SERVICE_STOPPED, SERVICE_START_PENDING, SERVICE_STOP_PENDING, SERVICE_RUNNING = 1, 2, 3, 4
SERVICE_ACCEPT_STOP, SERVICE_ACCEPT_SHUTDOWN = 0x1, 0x4
SERVICE_CONTROL_STOP, SERVICE_CONTROL_INTERROGATE, SERVICE_CONTROL_SHUTDOWN = 1, 4, 5
NO_ERROR = 0
ERROR_CALL_NOT_IMPLEMENTED = 120
ERROR_SERVICE_DATABASE_LOCKED = 1055
ERROR_SERVICE_ALREADY_RUNNING = 1056
ERROR_SERVICE_DOES_NOT_EXIST = 1060
ERROR_SERVICE_NOT_ACTIVE = 1062
ERROR_FAILED_SERVICE_CONTROLLER_CONNECT = 1063
ERROR_SERVICE_SPECIFIC_ERROR = 1066
ERROR_SERVICE_EXISTS = 1073
EVENTLOG_ERROR_TYPE, EVENTLOG_WARNING_TYPE, EVENTLOG_INFORMATION_TYPE = 1, 2, 4


class DATA_BLOB(Structure):  # noqa: N801  Microsoft's names, here and below
    """Bytes and their number."""

    _fields_ = (("cbData", DWORD), ("pbData", POINTER(BYTE)))


class SECURITY_ATTRIBUTES(Structure):  # noqa: N801
    """A security descriptor for what is being created."""

    _fields_ = (("nLength", DWORD), ("lpSecurityDescriptor", c_void_p), ("bInheritHandle", BOOL))


class SERVICE_STATUS(Structure):  # noqa: N801
    """What a service says of itself."""

    _fields_ = tuple(
        (name, DWORD)
        for name in (
            "dwServiceType",
            "dwCurrentState",
            "dwControlsAccepted",
            "dwWin32ExitCode",
            "dwServiceSpecificExitCode",
            "dwCheckPoint",
            "dwWaitHint",
        )
    )


SERVICE_MAIN_FUNCTION = WINFUNCTYPE(None, DWORD, POINTER(LPWSTR))
HANDLER_FUNCTION_EX = WINFUNCTYPE(DWORD, DWORD, DWORD, c_void_p, c_void_p)


class SERVICE_TABLE_ENTRY(Structure):  # noqa: N801
    """A service of this process; a table ends with an empty one."""

    _fields_ = (("lpServiceName", LPWSTR), ("lpServiceProc", SERVICE_MAIN_FUNCTION))


class SERVICE_DESCRIPTION(Structure):  # noqa: N801
    """What the list of services shows."""

    _fields_ = (("lpDescription", LPWSTR),)


def _function(library: ctypes.WinDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    return function


_PROTECT = (POINTER(DATA_BLOB), c_void_p, POINTER(DATA_BLOB), c_void_p, c_void_p, DWORD, POINTER(DATA_BLOB))
CryptProtectData = _function(_crypt32, "CryptProtectData", BOOL, _PROTECT[0], LPCWSTR, *_PROTECT[2:])
CryptUnprotectData = _function(_crypt32, "CryptUnprotectData", BOOL, *_PROTECT)

LocalFree = _function(_kernel32, "LocalFree", c_void_p, c_void_p)
GetCurrentProcess = _function(_kernel32, "GetCurrentProcess", HANDLE)
CloseHandle = _function(_kernel32, "CloseHandle", BOOL, HANDLE)

OpenProcessToken = _function(_advapi32, "OpenProcessToken", BOOL, HANDLE, DWORD, POINTER(HANDLE))
GetTokenInformation = _function(_advapi32, "GetTokenInformation", BOOL, HANDLE, DWORD, c_void_p, DWORD, POINTER(DWORD))
ConvertSidToStringSid = _function(_advapi32, "ConvertSidToStringSidW", BOOL, c_void_p, POINTER(LPWSTR))
ConvertStringSidToSid = _function(_advapi32, "ConvertStringSidToSidW", BOOL, LPCWSTR, POINTER(c_void_p))
LookupAccountName = _function(
    _advapi32,
    "LookupAccountNameW",
    BOOL,
    *(LPCWSTR, LPCWSTR, c_void_p, POINTER(DWORD), LPWSTR, POINTER(DWORD), POINTER(DWORD)),
)
LookupAccountSid = _function(
    _advapi32,
    "LookupAccountSidW",
    BOOL,
    *(LPCWSTR, c_void_p, LPWSTR, POINTER(DWORD), LPWSTR, POINTER(DWORD), POINTER(DWORD)),
)
ConvertStringSecurityDescriptorToSecurityDescriptor = _function(
    _advapi32,
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    BOOL,
    *(LPCWSTR, DWORD, POINTER(c_void_p), POINTER(DWORD)),
)
ConvertSecurityDescriptorToStringSecurityDescriptor = _function(
    _advapi32,
    "ConvertSecurityDescriptorToStringSecurityDescriptorW",
    BOOL,
    *(c_void_p, DWORD, DWORD, POINTER(LPWSTR), POINTER(DWORD)),
)
RegCreateKeyEx = _function(
    _advapi32,
    "RegCreateKeyExW",
    LONG,
    *(c_void_p, LPCWSTR, DWORD, LPCWSTR, DWORD, DWORD, POINTER(SECURITY_ATTRIBUTES), POINTER(c_void_p), POINTER(DWORD)),
)
RegGetKeySecurity = _function(_advapi32, "RegGetKeySecurity", LONG, c_void_p, DWORD, c_void_p, POINTER(DWORD))
GetSecurityDescriptorDacl = _function(
    _advapi32, "GetSecurityDescriptorDacl", BOOL, c_void_p, POINTER(BOOL), POINTER(c_void_p), POINTER(BOOL)
)
GetSecurityDescriptorOwner = _function(
    _advapi32, "GetSecurityDescriptorOwner", BOOL, c_void_p, POINTER(c_void_p), POINTER(BOOL)
)
SetSecurityInfo = _function(
    _advapi32, "SetSecurityInfo", DWORD, HANDLE, DWORD, DWORD, c_void_p, c_void_p, c_void_p, c_void_p
)

OpenSCManager = _function(_advapi32, "OpenSCManagerW", HANDLE, LPCWSTR, LPCWSTR, DWORD)
OpenService = _function(_advapi32, "OpenServiceW", HANDLE, HANDLE, LPCWSTR, DWORD)
CreateService = _function(
    _advapi32,
    "CreateServiceW",
    HANDLE,
    *(HANDLE, LPCWSTR, LPCWSTR, DWORD, DWORD, DWORD, DWORD, LPCWSTR),
    *(LPCWSTR, POINTER(DWORD), LPCWSTR, LPCWSTR, LPCWSTR),
)
ChangeServiceConfig2 = _function(_advapi32, "ChangeServiceConfig2W", BOOL, HANDLE, DWORD, c_void_p)
StartService = _function(_advapi32, "StartServiceW", BOOL, HANDLE, DWORD, c_void_p)
ControlService = _function(_advapi32, "ControlService", BOOL, HANDLE, DWORD, POINTER(SERVICE_STATUS))
QueryServiceStatus = _function(_advapi32, "QueryServiceStatus", BOOL, HANDLE, POINTER(SERVICE_STATUS))
DeleteService = _function(_advapi32, "DeleteService", BOOL, HANDLE)
CloseServiceHandle = _function(_advapi32, "CloseServiceHandle", BOOL, HANDLE)
StartServiceCtrlDispatcher = _function(_advapi32, "StartServiceCtrlDispatcherW", BOOL, POINTER(SERVICE_TABLE_ENTRY))
RegisterServiceCtrlHandlerEx = _function(
    _advapi32, "RegisterServiceCtrlHandlerExW", HANDLE, LPCWSTR, HANDLER_FUNCTION_EX, c_void_p
)
SetServiceStatus = _function(_advapi32, "SetServiceStatus", BOOL, HANDLE, POINTER(SERVICE_STATUS))

RegisterEventSource = _function(_advapi32, "RegisterEventSourceW", HANDLE, LPCWSTR, LPCWSTR)
DeregisterEventSource = _function(_advapi32, "DeregisterEventSource", BOOL, HANDLE)
ReportEvent = _function(
    _advapi32,
    "ReportEventW",
    BOOL,
    *(HANDLE, WORD, WORD, DWORD, c_void_p, WORD, DWORD, POINTER(LPCWSTR), c_void_p),
)


def check(succeeded: object) -> None:
    """Raises the OSError of the last call when it did not succeed."""
    if not succeeded:
        raise ctypes.WinError(ctypes.get_last_error())


def check_status(status: int) -> None:
    """The registry's functions return their error."""
    if status:
        raise ctypes.WinError(status)
