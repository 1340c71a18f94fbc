"""Return values have the standard's names, and each is somebody's to mend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from keysvc_pkcs11.faults import Remedy, fault_of

RESULTS = Path(__file__).parents[3] / "hsm/shim/results.h"
OWN = {"CKR_MULTIPLE_OBJECTS_RETURNED", "CKR_MULTIPLE_TOKENS_RETURNED", "CKR_NO_SUCH_KEY", "CKR_NO_SUCH_TOKEN"}
LIST = """
from pkcs11 import PKCS11Error
print(*(kind.__name__ for kind in PKCS11Error.__subclasses__()))
"""


def exceptions() -> list[str]:
    """Of python-pkcs11, which is never imported in this process."""
    return subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True).stdout.split()


def test_every_exception_of_python_pkcs11_has_the_standards_name() -> None:
    standard = set(re.findall(r"CKR_\w+", RESULTS.read_text("utf-8")))
    names = {fault_of(exception, "").name for exception in exceptions()}
    assert len(names) > 60
    assert names - standard <= OWN


@pytest.mark.parametrize(
    ("exception", "text", "name", "remedy"),
    [
        ("DeviceRemoved", "", "CKR_DEVICE_REMOVED", Remedy.TRANSIENT),
        ("SlotIDInvalid", "", "CKR_SLOT_ID_INVALID", Remedy.TRANSIENT),
        ("PinIncorrect", "", "CKR_PIN_INCORRECT", Remedy.OPERATOR),
        ("MechanismInvalid", "", "CKR_MECHANISM_INVALID", Remedy.FATAL),
        ("PKCS11Error", "Unmapped error code 0x68", "CKR_KEY_FUNCTION_NOT_PERMITTED", Remedy.FATAL),
        ("PKCS11Error", "Unmapped error code 0x80000001", "CKR 0x80000001", Remedy.FATAL),
        (
            "PKCS11Error",
            "Initialisation error (not initialized). Should never see this.",
            "CKR_CRYPTOKI_NOT_INITIALIZED",
            Remedy.TRANSIENT,
        ),
        ("PKCS11Error", "Buffer was too small. Should never see this.", "CKR_BUFFER_TOO_SMALL", Remedy.TRANSIENT),
    ],
)
def test_a_return_value_says_who_can_help(exception: str, text: str, name: str, remedy: Remedy) -> None:
    fault = fault_of(exception, text)
    assert (fault.name, fault.remedy) == (name, remedy)
    assert fault.hint
