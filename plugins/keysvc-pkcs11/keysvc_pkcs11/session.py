"""One library, one token, one session that stays logged in. Runs in the token's own process, in its only thread."""

from __future__ import annotations

import contextlib
from collections import abc
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11.constants import MechanismFlag, TokenFlag
from pkcs11.exceptions import (
    PKCS11Error,
    SessionReadOnly,
    TokenNotPresent,
    TokenNotRecognised,
    TokenWriteProtected,
    UserAlreadyLoggedIn,
)
from pkcs11.types import Session, Slot, Token

from keysvc.plugin import Unsafe, check_file
from keysvc_pkcs11 import kek as keys
from keysvc_pkcs11.faults import Remedy, fault_of
from keysvc_pkcs11.mechanisms import MECHANISMS, Keys, SealingMechanism, by_number, works
from keysvc_pkcs11.objects import DataObjects
from keysvc_pkcs11.refusal import Broken, Refused
from keysvc_pkcs11.uri import TokenURI

MAC_KEY_SUFFIX = " mac"
_MAC_USES = MechanismFlag.SIGN | MechanismFlag.VERIFY


class TokenSession:
    """Loads the library, finds the token, logs in. Handles live as long as this object: whatever goes wrong with a
    session ends the process."""

    def __init__(self, uri: TokenURI, system_id: str, pin: str, *, may_follow_a_wrong_pin: bool) -> None:
        self._uri = uri
        self._library = _library_at(uri.module)
        self.token = _find_token(self._library, uri)
        _guard_pin(self.token, uri, may_follow_a_wrong_pin=may_follow_a_wrong_pin)
        self._session = _log_in(self.token, pin)
        self._objects = DataObjects(self._session, system_id, uri.key_label)
        self._name = keys.KeyName(uri.key_label, uri.key_id)
        self._kek: keys.TokenKey | None = None
        self._ready: dict[int, Keys] = {}
        self._chosen: SealingMechanism | None = None
        self._last: SealingMechanism | None = None
        self._exportable = False
        self._has_key = self._key_is_there()

    def close(self) -> None:
        """C_Finalize, which ends the login too."""
        self._library.finalize()

    # -- what is asked of it -------------------------------------------------------------------------------------------

    def seal(self, secret: bytes, context: bytes) -> bytes:
        """mechanism(1) ‖ identity of the KEK ‖ what the mechanism made of it, with the context and that head bound."""
        mechanism = self._mechanism()
        ready = self._keys(mechanism, may_make=True)
        head = bytes([mechanism.number]) + keys.identity(ready.kek)
        self._last = mechanism
        return head + mechanism.seal(ready, secret, head + context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Raises Broken only when the token works: tokens answer all sorts of things to a changed ciphertext, so keysvc
        asks it to seal and open something else, and then tries once more."""
        mechanism = by_number(sealed[:1])
        ready = self._keys(mechanism, may_make=False)
        head = _head(sealed)
        body = sealed[len(head) :]
        self._last = mechanism
        try:
            return mechanism.unseal(ready, body, head + context)
        except PKCS11Error as error:
            if not self._still_works(mechanism, ready):
                raise error from None
        try:
            return mechanism.unseal(ready, body, head + context)
        except PKCS11Error as error:
            if not fault_of(type(error).__name__, str(error)).may_be_about_data:
                raise
            same = head[1:] == keys.identity(ready.kek)
            raise Broken("changed" if same else "changed, or sealed under another KEK than the token has now") from None

    def _still_works(self, mechanism: SealingMechanism, ready: Keys) -> bool:
        try:
            return works(mechanism, ready)
        except PKCS11Error:
            return False

    def names(self) -> list[str]:
        """Of what the token keeps."""
        names = self._objects.names()
        if not names:
            self._must_be_there()
        return names

    def get(self, name: str) -> bytes | None:
        """None when there is none."""
        content = self._objects.get(name)
        if content is None:
            self._must_be_there()
        return content

    def put(self, name: str, content: bytes) -> None:
        """Durable on return."""
        self._objects.put(name, content)

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        deleted = self._objects.delete(name)
        if not deleted:
            self._must_be_there()
        return deleted

    def random(self, count: int) -> bytes:
        """From the token's own generator."""
        return self._session.generate_random(count * 8)

    def describe(self) -> dict[str, str | bool]:
        """Safe to show, and asks nothing of the token. Of the KEK and the mechanism that were used last."""
        return {
            "token": self.token.label,
            "serial": self.token.serial.decode("utf-8", "replace"),
            "model": self.token.model,
            "mechanism": self._last.name if self._last else "",
            "exportable": self._exportable,
        }

    def _must_be_there(self) -> None:
        """A token that was lost can look like an empty one: SoftHSM's does, when its directory is moved away. Nothing
        found is believed only while the KEK is still seen. Raises TokenNotPresent."""
        if self._has_key and not self._key_is_there():
            raise TokenNotPresent

    def _key_is_there(self) -> bool:
        return keys.exists(self._session, self._name)

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _keys(self, mechanism: SealingMechanism, *, may_make: bool) -> Keys:
        """Found and checked once: every question to an HSM may travel through a network."""
        if mechanism.number not in self._ready:
            self._ready[mechanism.number] = self._checked_keys(mechanism, may_make=may_make)
        return self._ready[mechanism.number]

    def _checked_keys(self, mechanism: SealingMechanism, *, may_make: bool) -> Keys:
        if self._kek is None:
            kek = self._key(self._name, keys.KEK, mechanism.uses, may_make=may_make)
            self._exportable = bool(keys.weakness(kek))
            self._kek = kek
        if not keys.allows(self._kek, mechanism.uses):
            raise Broken(f"changed: the KEK does not allow {mechanism.name}")
        mac = None
        if mechanism.has_mac_key:
            name = keys.KeyName(self._name.label + MAC_KEY_SUFFIX, keys.key_id(self._kek))
            mac = self._key(name, keys.MAC_KEY, _MAC_USES, may_make=may_make)
        return Keys(self._session, self._kek, mac)

    def _key(
        self, name: keys.KeyName, specification: keys.KeySpecification, uses: MechanismFlag, *, may_make: bool
    ) -> keys.TokenKey:
        key = keys.find(self._session, name, specification)
        if key is None:
            self._must_be_there()
            if not may_make or self._objects.key_in_use():
                raise Refused(
                    f"the {specification.what} {name} is missing from the token, but versions are sealed under it",
                    "restore the token from its backup, or the master secret: keysvc secret restore FILE",
                )
            key = keys.make(self._session, name, specification, uses)
            self._has_key = True
        keys.check(key, name, specification, allow_extractable=self._uri.allow_extractable)
        return key

    def _mechanism(self) -> SealingMechanism:
        """The best that the token has, the KEK allows, and that passes the self-test."""
        if self._chosen is None:
            self._chosen = self._choose()
        return self._chosen

    def _choose(self) -> SealingMechanism:
        offered = set(self.token.slot.get_mechanisms())
        kek = keys.find(self._session, self._name, keys.KEK)
        problem: PKCS11Error | None = None
        for mechanism in MECHANISMS:
            if not mechanism.needs <= offered or (kek and not keys.allows(kek, mechanism.uses)):
                continue
            try:
                if works(mechanism, self._keys(mechanism, may_make=True) if kek else self._probe(mechanism)):
                    return mechanism
            except PKCS11Error as error:
                if fault_of(type(error).__name__, str(error)).remedy is not Remedy.FATAL:
                    raise  # what passes must not change the mechanism
                problem = error
        if problem is not None:
            raise problem
        names = ", ".join(mechanism.name for mechanism in MECHANISMS)
        raise Refused(
            f"the token {self.token.label} with its KEK {self._name} has no mechanism to seal with",
            f"it needs one of {names}, and a KEK whose attributes allow it",
        )

    def _probe(self, mechanism: SealingMechanism) -> Keys:
        """Keys that end with the session: the KEK is made only for a mechanism that is known to work."""
        mac = keys.throw_away(self._session, keys.MAC_KEY, _MAC_USES) if mechanism.has_mac_key else None
        return Keys(self._session, keys.throw_away(self._session, keys.KEK, mechanism.uses), mac)


def _head(sealed: bytes) -> bytes:
    """The mechanism's number and the KEK's identity."""
    end = 1
    for _ in range(2):
        if end >= len(sealed):
            raise Broken("torn")
        end += 1 + sealed[end]
    if end > len(sealed):
        raise Broken("torn")
    return sealed[:end]


def _library_at(module: str) -> Any:
    """A library runs as this process's account. Raises Refused for one that another account could have written."""
    try:
        with contextlib.suppress(FileNotFoundError):  # what loads it says so better
            check_file(Path(module), secret=False)
    except Unsafe as unsafe:
        raise Refused(f"the library {unsafe.problem}", unsafe.hint) from None
    return pkcs11.lib(module)


def _find_token(library: Any, uri: TokenURI) -> Token:
    found: list[Token] = []
    for slot in library.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except (TokenNotPresent, TokenNotRecognised):
            continue
        if _matches(library, slot, token, uri.matching):
            found.append(token)
    if len(found) > 1 and uri.slot_id is not None:
        found = [token for token in found if token.slot.slot_id == uri.slot_id]
    wanted = ", ".join(f"{name}={value}" for name, value in uri.matching.items())
    if not found:
        raise TokenNotPresent(wanted)
    if len(found) > 1:
        serials = ", ".join(token.serial.decode("utf-8", "replace") for token in found)
        raise Refused(
            f"{len(found)} tokens match {wanted}", f"name one by its serial in the URL; their serials are {serials}"
        )
    return found[0]


def _matches(library: Any, slot: Slot, token: Token, matching: abc.Mapping[str, str]) -> bool:
    seen = {
        "token": token.label,
        "manufacturer": token.manufacturer_id,
        "serial": token.serial.decode("utf-8", "replace").strip("\0 "),
        "model": token.model,
        "library-manufacturer": library.manufacturer_id,
        "library-description": library.library_description,
        "library-version": "{}.{}".format(*library.library_version),
        "slot-manufacturer": slot.manufacturer_id,
        "slot-description": slot.slot_description,
    }
    return all(seen[name] == value for name, value in matching.items())


def _guard_pin(token: Token, uri: TokenURI, *, may_follow_a_wrong_pin: bool) -> None:
    """Raises Refused rather than spend one of the last tries."""
    reset = (
        "log in once with the right PIN, which resets the count: "
        f"pkcs11-tool --module {uri.module} --token-label '{token.label}' --login --list-objects"
    )
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise Refused(f"the user PIN of the token {token.label} is locked", "its security officer unlocks it")
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise Refused(f"the token {token.label} allows one last try of its PIN: keysvc does not take it", reset)
    if token.flags & TokenFlag.USER_PIN_COUNT_LOW and not may_follow_a_wrong_pin:
        raise Refused(f"a wrong PIN was given to the token {token.label}: keysvc does not try another", reset)


def _log_in(token: Token, pin: str) -> Session:
    """Read-write; read-only where the token gives no more, so that what is sealed still opens."""
    writable = not token.flags & TokenFlag.WRITE_PROTECTED
    try:
        return token.open(rw=writable, user_pin=pin)
    except UserAlreadyLoggedIn:
        return token.open(rw=writable)
    except (TokenWriteProtected, SessionReadOnly):
        return token.open(rw=False, user_pin=pin)
