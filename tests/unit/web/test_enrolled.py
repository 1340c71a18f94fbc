"""Certificates in use: they renew themselves, and what was revoked is let in no more, anywhere."""

from __future__ import annotations

import base64
import shutil
import threading
import time
from collections import abc
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from systems import LEASE_TTL, SYSTEM_ID, System, eventually, keeping_events
from web_servers import certificate, enrolled, serving_agent, serving_master

from keysvc.crypto import certificates
from keysvc.errors import (
    AccessDenied,
    InvalidInput,
    KeysvcError,
    MasterSecretServerUnavailable,
    RateLimited,
)
from keysvc.master import enrolment
from keysvc.master.enrolment import Identities
from keysvc.master.term import Term
from keysvc.model import AuditTrail, Role, SecretBytes, utc_now
from keysvc.sso import SSO
from keysvc.web.agent.client import AgentClient
from keysvc.web.master.client import MasterClient
from keysvc.web.tls import renewal
from keysvc.web.tls.identity_files import IdentityFiles
from keysvc.web.tls.renewal import Renewal, kept_renewed

LIFETIME = timedelta(days=60)


@pytest.fixture
def started(system: System) -> System:
    system.with_users("anna", "payroll")
    system.start(subscriptions=keeping_events())
    return system


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate is looked at each time that it is used."""
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 0.0)


def aging(system: System, name: str, role: Role, folder: Path, monkeypatch: pytest.MonkeyPatch) -> IdentityFiles:
    """Enrolled so long ago that it is in the last third of its life."""
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "LIFETIME", LIFETIME)
        patch.setattr(enrolment, "utc_now", lambda: utc_now() - LIFETIME * 5 / 6)
        patch.setattr(enrolment, "TOKEN_LIFETIME", LIFETIME)
        return enrolled(system, name, role, folder)


def ends(files: IdentityFiles) -> timedelta:
    return certificates.not_after(files.certificate()) - utc_now()


@pytest.mark.parametrize("role", [Role.SERVER, Role.ADMINISTRATOR])
def test_a_certificate_renews_itself_while_it_is_used(
    started: System, tmp_path: Path, aged: None, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    files = aging(started, "web-02", role, tmp_path, monkeypatch)
    before = files.certificate()
    with serving_master(started, tmp_path) as served:
        client = MasterClient([served.url], files, SYSTEM_ID)
        client.poll((), None)
        assert files.certificate() != before
        assert ends(files) > timedelta(days=364)
        assert files.peer().name == "web-02"
        client.poll((), None)
        client.close()
        again = MasterClient([served.url], files, SYSTEM_ID)
        again.poll((), None)
        again.close()
    assert "identity.renewed" in [entry.action for entry in started.store().audit(AuditTrail.MEMBERS)]


@pytest.fixture
def identities(started: System) -> Identities:
    assert started.master is not None
    return started.master.identities


def renewed(identities: Identities, files: IdentityFiles) -> certificates.Peer:
    """What the files show afterwards: another key, under the same name."""
    before = identities.admit(files.peer())
    request, key = certificates.request(before.name)
    made = identities.renew(before.name, files.peer().serial, request)
    files.replace(made, key)
    return files.peer()


def hours_pass(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(hours=hours))


def copied(files: IdentityFiles, to: Path) -> IdentityFiles:
    shutil.copytree(files.directory, to)
    return IdentityFiles(to)


def test_a_replaced_certificate_renews_once_more_because_the_answer_may_be_lost(
    identities: Identities, started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = aging(started, "web-02", Role.SERVER, tmp_path, monkeypatch)
    lost = copied(files, tmp_path / "lost")
    renewed(identities, lost)
    with pytest.raises(RateLimited, match="not due"):
        renewed(identities, copied(files, tmp_path / "soon"))
    hours_pass(monkeypatch, 1.1)
    again = renewed(identities, copied(files, tmp_path / "again"))
    assert identities.admit(again).previous_serial == files.peer().serial
    hours_pass(monkeypatch, 2.2)
    with pytest.raises(AccessDenied, match="was replaced"):
        renewed(identities, copied(files, tmp_path / "thrice"))
    assert identities.admit(files.peer()).name == "web-02"


def test_a_copied_old_key_renews_no_more_once_the_new_certificate_was_seen(
    identities: Identities, started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = aging(started, "web-02", Role.SERVER, tmp_path, monkeypatch)
    stolen = copied(files, tmp_path / "stolen")
    owner = renewed(identities, files)
    hours_pass(monkeypatch, 1.1)
    identities.admit(owner)
    with pytest.raises(AccessDenied, match="was replaced"):
        renewed(identities, stolen)
    eventually(lambda: not started.store().identity("web-02").previous_may_renew)  # type: ignore[union-attr]
    successor = Identities(started.store(), SYSTEM_ID, Term(started.store(), LEASE_TTL), started.authority)
    with pytest.raises(AccessDenied, match="was replaced"):
        renewed(successor, stolen)
    assert identities.admit(owner).serial == owner.serial


def test_a_certificate_is_renewed_only_when_it_is_due(
    identities: Identities, started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = enrolled(started, "web-02", Role.SERVER, tmp_path)
    with pytest.raises(RateLimited):
        renewed(identities, files)
    hours_pass(monkeypatch, 24 * 240)
    with pytest.raises(RateLimited):
        renewed(identities, files)
    hours_pass(monkeypatch, 24 * 250)
    renewed(identities, files)
    with pytest.raises(RateLimited):
        renewed(identities, files)


def test_an_expired_certificate_is_refused_and_cannot_renew(
    identities: Identities, started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = enrolled(started, "web-02", Role.SERVER, tmp_path)
    identities.admit(files.peer())
    for hours in (24 * 365 + 1, -2):
        hours_pass(monkeypatch, hours)
        with pytest.raises(AccessDenied, match=r"expired on|not yet valid"):
            identities.admit(files.peer())


def test_a_request_with_a_key_of_an_unknown_type_is_invalid(identities: Identities, started: System) -> None:
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = made.sign(Ed25519PrivateKey.generate(), None).public_bytes(Encoding.DER)
    unknown = request.replace(bytes.fromhex("06032b6570"), bytes.fromhex("06032b6578"), 1)
    encoded = base64.encodebytes(unknown).decode("ascii")
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{encoded}-----END CERTIFICATE REQUEST-----\n"
    token = identities.enroll("web-02", Role.SERVER, "administrator")
    with pytest.raises(InvalidInput, match="cannot be read"):
        identities.redeem(token.secret, pem.encode("ascii"))


def test_two_processes_of_a_machine_renew_once_and_both_show_the_new_one(
    started: System, tmp_path: Path, aged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = aging(started, "web-02", Role.SERVER, tmp_path, monkeypatch)
    renewals: list[str] = []
    with serving_master(started, tmp_path) as served:
        clients = [MasterClient([served.url], files, SYSTEM_ID) for _ in range(3)]
        for client in clients:
            renew = client._renewal._renew
            monkeypatch.setattr(client._renewal, "_renew", lambda renew=renew: (renewals.append(""), renew())[1])
        threads = [threading.Thread(target=client.keep_certificate) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in clients:
            client.keep_certificate()
            client.poll((), None)
            assert client._renewal._shown == files.certificate()
            client.close()
    assert len(renewals) == 1


def test_while_the_master_is_away_it_is_tried_again_and_nothing_breaks(
    started: System, tmp_path: Path, aged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = aging(started, "web-02", Role.SERVER, tmp_path, monkeypatch)
    before = files.certificate()
    away = MasterClient(["https://127.0.0.1:1"], files, SYSTEM_ID)
    with pytest.raises(MasterSecretServerUnavailable):
        away.poll((), None)
    assert files.certificate() == before
    away.close()


def test_a_pair_is_whole_wherever_the_process_dies(tmp_path: Path, system: System) -> None:
    def pair(name: str) -> certificates.KeyPair:
        return certificates.issue(system.authority, name, Role.SERVER, now=utc_now())

    old, new = pair("old"), pair("new")
    attempts = iter(range(1000))

    def prepare() -> IdentityFiles:
        files = IdentityFiles(tmp_path / str(next(attempts)))
        files.write(old.certificate, old.key, system.authority.certificate)
        return files

    for line in range(1, 60):
        files = prepare()
        if not die_in(lambda files=files: files.replace(new.certificate, new.key), line):
            break
        files.client_context()  # raises when the key is not the certificate's
        assert files.peer().name in {"old", "new"}
    else:
        pytest.fail("it never came to its end")
    assert files.peer().name == "new"


def die_in(action: abc.Callable[[], None], line: int) -> bool:
    """Die at the so-manyeth line of keysvc.web.tls.identity_files that runs. False when it ended before."""
    import sys

    class Death(BaseException):
        pass

    left = [line]

    def trace(frame, event, _arg):
        if not frame.f_code.co_filename.endswith("web/identity.py"):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                raise Death
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Death:
        return True
    finally:
        sys.settrace(before)
    return False


def test_the_master_secret_servers_own_certificate_is_renewed_and_shown_without_a_restart(
    started: System, tmp_path: Path
) -> None:
    with serving_master(started, tmp_path) as served:
        own = IdentityFiles(tmp_path / "identity-master")
        first = served.master_client()
        first.status()
        renewed = certificate(started, "master", Role.MASTER, tmp_path / "elsewhere")
        own.replace(renewed.certificate(), SecretBytes((renewed.directory / "key.pem").read_bytes()))
        shown: list[bytes | None] = []
        for _ in range(2):  # the first new connection loads it
            client = served.master_client()
            client.status()
            connection = client._master._connection(served.url)._pool._get_conn()
            shown.append(connection.sock.getpeercert(binary_form=True) if connection.sock else None)
            connection.close()
            client.close()
        assert certificates.peer_of(shown[-1] or b"").serial == renewed.peer().serial
        first.close()


def test_a_renewal_looks_on_its_own_where_nobody_polls(
    started: System, tmp_path: Path, aged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = aging(started, "master-2", Role.SERVER, tmp_path, monkeypatch)

    def renew() -> tuple[bytes, SecretBytes]:
        made = certificates.issue(started.authority, "master-2", Role.SERVER, now=utc_now())
        return made.certificate, made.key

    with kept_renewed(Renewal(files, None, renew), pause=timedelta(milliseconds=10)):
        eventually(lambda: ends(files) > timedelta(days=364))


@pytest.mark.parametrize(("years", "told"), [(9.5, True), (8, False)])
def test_the_authoritys_own_end_is_told_a_year_ahead(
    started: System, monkeypatch: pytest.MonkeyPatch, years: float, told: bool
) -> None:
    assert started.master is not None
    started.master.stop()
    identities = Identities(started.store(), SYSTEM_ID, led(started), started.authority)
    monkeypatch.setattr(enrolment, "utc_now", lambda: utc_now() + timedelta(days=365 * years))
    for _ in range(2):
        identities.tell_of_ending()
    found = [event for event in started.store().events(500) if event.kind == "authority.ending"]
    assert (len(found), len(identities.authority_warnings())) == (int(told), int(told))


def led(system: System) -> Term:
    term = Term(system.store(), LEASE_TTL)
    term.take_or_refuse()
    return term


@pytest.mark.parametrize("days", [300, -500], ids=["not yet valid", "expired"])
def test_the_error_of_a_certificate_that_cannot_be_used_says_whose_why_and_since_when(
    started: System, tmp_path: Path, days: int
) -> None:
    at = utc_now() + timedelta(days=days)
    files = IdentityFiles(tmp_path / "anna")
    made = certificates.issue(started.authority, "anna", Role.ADMINISTRATOR, now=at)
    files.write(made.certificate, made.key, started.authority.certificate)
    begins, ends = at - certificates.BACKDATED, at + certificates.LIFETIME
    said = f"is not yet valid: it begins on {begins:%Y-%m-%d}" if days > 0 else f"expired on {ends:%Y-%m-%d}"
    with serving_master(started, tmp_path) as served:
        client = MasterClient([served.url], files, SYSTEM_ID)
        with pytest.raises(AccessDenied, match=f"the certificate of anna {said}") as caught:
            client.status()
        client.close()
    assert "keysvc server readmit" in str(caught.value.hint)


def test_a_certificate_that_is_not_valid_yet_is_due_for_renewal(started: System) -> None:
    now = utc_now()
    ahead = certificates.issue(started.authority, "web-02", Role.SERVER, now=now + timedelta(days=300)).certificate
    assert certificates.renewal_is_due(ahead, now)
    assert not certificates.renewal_is_due(ahead, now + timedelta(days=300))


def test_a_clock_that_was_set_has_certificates_looked_at_again(
    started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = enrolled(started, "web-02", Role.SERVER, tmp_path)
    renewed: list[int] = []

    def renew() -> tuple[bytes, SecretBytes]:
        renewed.append(1)
        raise MasterSecretServerUnavailable("away")

    renewing = Renewal(files, None, renew)
    renewing.when_due()
    started_at = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(renewal, "utc_now", lambda: utc_now() + timedelta(days=350))
        renewing.when_due()
        assert not renewed
        patch.setattr(time, "time", lambda: started_at + 350 * 86400)
        renewing.when_due()
    assert renewed


def test_a_directory_that_cannot_be_written_is_a_warning_and_no_certificate_is_spent(
    started: System, tmp_path: Path, aged: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = aging(started, "web-02", Role.SERVER, tmp_path, monkeypatch)
    before = files.certificate()
    (files.directory / "lock").mkdir()
    with serving_master(started, tmp_path) as served:
        client = MasterClient([served.url], files, SYSTEM_ID)
        client.poll((), None)
        client.close()
    assert files.certificate() == before
    assert "cannot be written" in caplog.text


def test_a_certificate_that_was_not_renewed_is_told_of_once(
    started: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "LIFETIME", timedelta(seconds=1))
        enrolled(started, "forgotten", Role.SERVER, tmp_path)
    assert started.master is not None

    def told() -> list[object]:
        return [event.detail["subject"] for event in started.store().events(500) if event.kind == "certificate.ending"]

    eventually(lambda: told() == ["forgotten"])
    started.master.identities.tell_of_ending()
    assert told() == ["forgotten"]


# -- revoked ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sso(started: System) -> SSO:
    return started.sso()[0]


def test_a_revoked_application_is_refused_by_agents_within_one_poll(started: System, sso: SSO, tmp_path: Path) -> None:
    with serving_agent(started, sso, tmp_path) as served:
        client = served.client()
        client.status()
        assert started.master is not None
        started.master.identities.revoke("payroll", "administrator")
        began = time.monotonic()
        eventually(lambda: refused(client.status))
        assert time.monotonic() - began < 10 * sso.poll_interval() + 20  # a moment, on a quiet machine
        enrolled(started, "payroll", Role.APPLICATION, tmp_path / "again")
        again = AgentClient(served.url, IdentityFiles(tmp_path / "again/identity-payroll"), SYSTEM_ID)
        eventually(lambda: not refused(again.status))
        assert refused(client.status)  # the one that was replaced
        for each in (client, again):
            each.close()


def test_while_the_mapping_store_is_away_an_agent_goes_by_what_it_read_last(
    started: System, sso: SSO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_agent(started, sso, tmp_path) as served:
        client = served.client()
        client.status()
        monkeypatch.setattr("keysvc.stores.sql.SQLMappingStore.identities", unavailable)
        time.sleep(2 * sso.poll_interval())
        client.status()
        client.close()


def unavailable(_store: object) -> None:
    raise MasterSecretServerUnavailable("cut off by the test")


def refused(call: abc.Callable[[], object]) -> bool:
    try:
        call()
    except AccessDenied:
        return True
    return False


def test_an_sso_server_that_was_revoked_forgets_the_master_secret_and_every_credential(
    started: System, tmp_path: Path
) -> None:
    files = enrolled(started, "web-02", Role.SERVER, tmp_path)
    with serving_master(started, tmp_path) as served:
        sso = SSO(started.store(), MasterClient([served.url], files, SYSTEM_ID), "web-02")
        sso.set_credential("SAP", user="anna", password="geheim")
        sso.credential("SAP", user="anna")
        assert started.master is not None
        started.master.identities.revoke("web-02", "administrator")
        eventually(lambda: sso.status().versions_held == ())
        assert not sso.status().can_encrypt
        for call in (
            lambda: sso.credential("SAP", user="anna"),
            lambda: sso.set_credential("SAP", user="anna", password="x"),
            lambda: sso.ticket(user="anna"),
        ):
            with pytest.raises(KeysvcError):
                call()
        sso.close()


def test_a_name_that_is_somebodys_but_for_its_case_is_not_enrolled(started: System, tmp_path: Path) -> None:
    enrolled(started, "Anna", Role.USER, tmp_path)
    assert started.master is not None
    with pytest.raises(InvalidInput, match="Anna is enrolled already"):
        started.master.identities.enroll("ANNA", Role.USER, "administrator")
    enrolled(started, "Anna", Role.USER, tmp_path)


# -- people ----------------------------------------------------------------------------------------------------------


def test_a_person_gets_at_its_own_credentials_and_no_others(started: System, sso: SSO, tmp_path: Path) -> None:
    sso.set_credential("SAP", user="anna", password="geheim")
    with serving_agent(started, sso, tmp_path) as served:
        anna = AgentClient(served.url, enrolled(started, "anna", Role.USER, tmp_path), SYSTEM_ID)
        eventually(lambda: not refused(anna.status))
        anna.set_credential("SAP", user="anna", password="mine")
        assert anna.credential("SAP", user="anna")["password"].reveal() == "mine"
        for wrong in (
            lambda: anna.credential("SAP", user="payroll"),
            lambda: anna.lookup("SAP", external_user="ANNA"),
            lambda: anna.set_credential("SAP", user="payroll", password="x"),
            lambda: anna.delete_credential("SAP", user="payroll"),
            lambda: anna.ticket(user="payroll"),
            lambda: anna.redeem("SAP", "keysvc-ticket-1.AAAA"),
            anna.purge_cache,
        ):
            with pytest.raises(AccessDenied):
                wrong()
        with pytest.raises(InvalidInput, match="not property bags"):
            anna.get_config_info("SAP", name="anna")
        assert [mapping.user for mapping in anna.mappings("SAP")] == ["anna"]
        anna.delete_credential("SAP", user="anna")
        anna.close()
