"""What an application and a plugin author write must type-check. mypy reads this; nothing runs it."""

from __future__ import annotations

from typing import assert_type

import keysvc
from keysvc.errors import Fenced, KeysvcError, NotifierUnavailable
from keysvc.model import Event, MasterSecret, SecretBytes, SecretText
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import KeyStore, KeyStoreInfo, Notifier, Opening, Register
from keysvc.plugin.sealed import SealedKeyStore, Sealer, Shelf


def an_application_logs_in() -> str:
    with keysvc.connect() as sso:
        credential = sso.credential("SAP", user="alice")
        assert_type(credential["password"], SecretText)
        assert_type(sso.set_credential("SAP", user="alice", password="secret"), int)
        return credential.external_user + credential["password"].reveal()


def a_cautious_application_writes_only_over_what_it_read(sso: keysvc.SSO | keysvc.AgentClient) -> None:
    read = sso.credential("SAP", user="alice", fresh=True)
    assert_type(read, keysvc.Credential)
    assert_type(sso.set_credential("SAP", {"PIN": "1234"}, user="alice", expected_revision=read.revision), int)
    assert_type(sso.lookup("SAP", external_user="A"), keysvc.Credential)
    assert_type(sso.lookup("SAP", external_user="A", password=SecretText("x")), keysvc.Credential)
    assert_type(sso.purge_cache("SAP"), int)
    assert_type([mapping.user for mapping in sso.mappings("SAP", after="alice", limit=10)], list[str])


def a_front_end_gets_a_ticket_and_a_back_end_trades_it(sso: keysvc.SSO | keysvc.AgentClient) -> keysvc.Credential:
    ticket = sso.ticket(user="alice")
    assert_type(ticket.text, SecretText)
    return sso.redeem("SAP", ticket.text, sender=ticket.user)


def an_adapter_keeps_its_settings(sso: keysvc.SSO | keysvc.AgentClient) -> str:
    assert_type(sso.set_config_info("Adapters", {"Host": "ftp", "Password": SecretText("x")}, name="ftp"), int)
    host = sso.get_config_info("Adapters", name="ftp", fresh=True)["Host"].reveal()
    sso.delete_config_info("Adapters", name="ftp")
    return host


def an_error_says_what_to_do(error: KeysvcError) -> str:
    return f"{error.code}: {error}; {error.hint}" + ("" if error.retryable else "!")


class MemoNotifier:
    def deliver(self, event: Event) -> None:
        raise NotifierUnavailable(f"{event.event_id}: no paper left")

    def close(self) -> None: ...


class MemoKeyStore:
    def info(self) -> KeyStoreInfo:
        return KeyStoreInfo("memo:", "a drawer", hardware=True, exportable=False)

    def versions(self) -> list[int]:
        return []

    def seal(self, secret: MasterSecret) -> None: ...

    def unseal(self, version: int) -> MasterSecret:
        raise Fenced(str(version))

    def destroy(self, version: int) -> None: ...

    def random(self, count: int) -> bytes:
        return bytes(count)

    def close(self) -> None: ...


class MemoSealer:
    def info(self) -> KeyStoreInfo:
        return KeyStoreInfo("memo:", "a drawer", hardware=True, exportable=False)

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        return context + secret.reveal()

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        return SecretBytes(sealed[len(context) :])

    def random(self, count: int) -> bytes:
        return bytes(count)

    def close(self) -> None: ...


def open_memo(opening: Opening) -> MemoKeyStore:
    assert_type(opening.prompt("pin"), SecretText)
    return MemoKeyStore()


def a_sealer_and_a_shelf_are_a_key_store(sealer: Sealer, shelf: Shelf) -> KeyStore:
    return SealedKeyStore(sealer, shelf, "0" * 32)


def a_sealer_is_four_methods() -> Sealer:
    return MemoSealer()


def a_notifier_is_two_methods() -> Notifier:
    return MemoNotifier()


@hookimpl
def keysvc_key_stores(register: Register[KeyStore]) -> None:
    register("memo", open_memo, summary="a key store on paper", options={"pad": "which pad"})
