"""The key encryption key (KEK) in the token: found, checked, or made. Runs in the token's own process."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pkcs11.attributes import AttributeMapper
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.exceptions import AttributeTypeInvalid, PKCS11Error
from pkcs11.mechanisms import GCMParams, KeyType, Mechanism
from pkcs11.types import Object, Session

from keysvc_pkcs11.refusal import Refused

KEK_BITS = 256
KEY_ID_BYTES = 16
_NEVER_LEAVES = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
}
_WORDS = {
    Attribute.SENSITIVE: "is not CKA_SENSITIVE",
    Attribute.EXTRACTABLE: "is CKA_EXTRACTABLE",
    Attribute.ALWAYS_SENSITIVE: "was not CKA_SENSITIVE always",
    Attribute.NEVER_EXTRACTABLE: "was outside of the token once (not CKA_NEVER_EXTRACTABLE)",
}


class TokenKey(Protocol):
    """A secret key of python-pkcs11, as far as keysvc uses it; its attributes decide which of these it really can."""

    def __getitem__(self, attribute: Attribute, /) -> Any: ...
    def encrypt(self, data: bytes, *, mechanism: Mechanism, mechanism_param: GCMParams | bytes) -> bytes: ...  # noqa: D102
    def decrypt(self, data: bytes, *, mechanism: Mechanism, mechanism_param: GCMParams | bytes) -> bytes: ...  # noqa: D102
    def wrap_key(self, key: Object, *, mechanism: Mechanism) -> bytes: ...  # noqa: D102
    def unwrap_key(self, *what: object, **how: object) -> Object: ...  # noqa: D102
    def sign(self, data: bytes, *, mechanism: Mechanism) -> bytes: ...  # noqa: D102
    def destroy(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class KeyName:
    """How a key is found: by label, and by CKA_ID when the URL gives one."""

    label: str
    key_id: bytes

    def __str__(self) -> str:
        return f"{self.label!r}" + (f" (id {self.key_id.hex()})" if self.key_id else "")


@dataclass(frozen=True, slots=True)
class KeySpecification:
    """What a key must be."""

    what: str
    key_type: KeyType
    bits: int


KEK = KeySpecification("KEK", KeyType.AES, KEK_BITS)
MAC_KEY = KeySpecification("MAC key", KeyType.GENERIC_SECRET, 256)


def exists(session: Session, name: KeyName) -> bool:
    """Whether there is any, of whatever kind."""
    return bool(_search(session, name))


def _search(session: Session, name: KeyName) -> list[Object]:
    template: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: name.label}
    if name.key_id:
        template[Attribute.ID] = name.key_id
    return list(session.get_objects(template))


def find(session: Session, name: KeyName, specification: KeySpecification) -> TokenKey | None:
    """None when there is none. Raises Refused when there are several, or it is another kind of key."""
    found = _search(session, name)
    if len(found) > 1:
        ids = ", ".join(sorted(key[Attribute.ID].hex() or "none" for key in found))
        raise Refused(
            f"the token has {len(found)} keys labelled {name}: which one is the {specification.what} is not clear",
            f"name one with id= in the URL, percent-encoded; their ids are {ids}",
        )
    if not found:
        return None
    (key,) = found
    if key[Attribute.KEY_TYPE] != specification.key_type or key[Attribute.VALUE_LEN] * 8 != specification.bits:
        raise Refused(
            f"the key {name} is not the {specification.what} that keysvc needs",
            f"name a {specification.key_type.name} key of {specification.bits} bits, or a label that nothing has yet",
        )
    return cast(TokenKey, key)


def weakness(key: TokenKey) -> str:
    """Why the key could be outside of the token; empty when it cannot."""
    for attribute, wanted in _NEVER_LEAVES.items():
        if _flag(key, attribute) is not wanted:
            return _WORDS[attribute]
    return ""


def check(key: TokenKey, name: KeyName, specification: KeySpecification, *, allow_extractable: bool) -> None:
    """Raises Refused for a key that could leave the token, unless that was allowed."""
    weak = weakness(key)
    if weak and not allow_extractable:
        raise Refused(
            f"the {specification.what} {name} {weak}: it could be outside of the token",
            "let the token make the key, or accept the risk: allow-extractable-kek=yes in the URL, or "
            "keysvc init --allow-extractable-kek",
        )


def make(session: Session, name: KeyName, specification: KeySpecification, uses: MechanismFlag) -> TokenKey:
    """A new key that never leaves. Raises Refused when somebody else made one at the same time."""
    key = session.generate_key(
        specification.key_type,
        specification.bits,
        id=name.key_id or secrets.token_bytes(KEY_ID_BYTES),
        label=name.label,
        store=True,
        capabilities=uses,
        template={Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )
    try:
        find(session, name, specification)
    except Refused:
        key.destroy()
        raise
    return cast(TokenKey, key)


def throw_away(session: Session, specification: KeySpecification, uses: MechanismFlag) -> TokenKey:
    """A key that ends with the session, to try a mechanism with."""
    key = session.generate_key(
        specification.key_type,
        specification.bits,
        label="keysvc probe",
        store=False,
        capabilities=uses,
        template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
    )
    return cast(TokenKey, key)


def allows(key: TokenKey, uses: MechanismFlag) -> bool:
    """Whether the key's attributes allow all of `uses`."""
    template = AttributeMapper().secret_key_template(capabilities=uses, id_=None, label=None, store=False)
    return all(_flag(key, attribute) for attribute in _USES if template[attribute])


_USES = (Attribute.ENCRYPT, Attribute.DECRYPT, Attribute.WRAP, Attribute.UNWRAP, Attribute.SIGN, Attribute.VERIFY)


def _flag(key: TokenKey, attribute: Attribute) -> bool | None:
    try:
        return bool(key[attribute])
    except AttributeTypeInvalid:
        return None


def key_id(key: TokenKey) -> bytes:
    """CKA_ID; the key of the MAC has the same as its KEK."""
    return bytes(key[Attribute.ID])


def identity(key: TokenKey) -> bytes:
    """CKA_ID, and CKA_CHECK_VALUE where the token has it: enough to say which KEK sealed."""
    try:
        check_value = bytes(key[Attribute.CHECK_VALUE])
    except PKCS11Error:
        check_value = b""
    own_id = key_id(key)
    return len(own_id).to_bytes(1, "big") + own_id + len(check_value).to_bytes(1, "big") + check_value
