"""The key store `pkcs11:`. A key encryption key (KEK) that never leaves a PKCS#11 token seals every version of the
master secret, and the token keeps what is sealed. URLs are those of RFC 7512."""

from __future__ import annotations

from keysvc.plugin import KeyStore, Opening, Register, hookimpl
from keysvc_pkcs11.uri import OPTIONS

KEYSVC_API = 2


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    """Register `pkcs11:`."""
    register("pkcs11", open_token, summary="under a key in a PKCS#11 token (an HSM, or SoftHSM)", options=OPTIONS)


def open_token(opening: Opening) -> KeyStore:
    """Touches no token yet: the first call does. Raises ConfigurationError."""
    from keysvc_pkcs11.pin import PIN
    from keysvc_pkcs11.process import TokenProcess
    from keysvc_pkcs11.store import open_key_store
    from keysvc_pkcs11.uri import TokenURI

    uri = TokenURI.parse(opening.location.reveal())
    process = TokenProcess(uri, opening.system_id, PIN(uri, opening.prompt))
    return open_key_store(str(opening.location), process, opening.system_id)
