"""A real slapd: a process of this user, on free ports and a socket of its own, with its files in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import ldap
import pytest
import trustme

from keysvc.cli.demo.processes import free_port
from keysvc.plugin.interfaces import Authorizer
from keysvc.plugin.loading import Plugins

SYSTEM_ID = "5" * 32
BASE = "dc=nordwind,dc=example"
ROOT, READER = f"cn=root,{BASE}", f"cn=keysvc,{BASE}"
PASSWORD = "correct horse battery staple"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/authority.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
security ssf=0 simple_bind=64
localSSF 256
sizelimit unlimited
database mdb
directory {folder}/data
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by dn.exact="cn=paged,{base}" read by * none
limits dn.exact="{reader}" size=40
limits dn.exact="cn=paged,{base}" size=40 size.prtotal=unlimited
overlay memberof
memberof-group-oc groupOfNames
memberof-refint TRUE
"""
PEOPLE = ["anna", "bert", "carla", "star*name", "back\\slash", "Ünal", "many"]


def eventually(true: abc.Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def person(name: str) -> str:
    return f"uid={ldap.dn.escape_dn_chars(name)},ou=people,{BASE}"


def group(name: str) -> str:
    return f"cn={ldap.dn.escape_dn_chars(name)},ou=groups,{BASE}"


@dataclass
class Slapd:
    """What it is asked with is that of `keysvc`, who may read and no more."""

    folder: Path
    program: str
    authority: trustme.CA
    host: str = "127.0.0.1"
    ports: dict[str, int] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.ports = self.ports or {name: free_port() for name in ("ldap", "ldaps")}
        if not (self.folder / "data").exists():
            (self.folder / "data").mkdir()
            (self.folder / "password").write_text(f"{PASSWORD}\n", "utf-8")
            certificate = self.authority.issue_cert(self.host)
            self.authority.cert_pem.write_to_path(str(self.folder / "authority.pem"))
            certificate.private_key_pem.write_to_path(str(self.folder / "server.key"))
            (self.folder / "server.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
        texts = {"folder": self.folder, "base": BASE, "root": ROOT, "reader": READER, "password": PASSWORD}
        (self.folder / "slapd.conf").write_text(CONFIGURATION.format(**texts), "utf-8")
        places = [f"{scheme}://127.0.0.1:{port}" for scheme, port in self.ports.items()]
        with (self.folder / "complaints").open("ab") as complaints:
            self._process = subprocess.Popen(
                [self.program, "-d", "0", "-f", self.folder / "slapd.conf", "-h", " ".join([*places, self.socket])],
                stdout=complaints,
                stderr=complaints,
            )
        eventually(self._listens)

    @property
    def socket(self) -> str:
        return f"ldapi://{quote(str(self.folder / 'socket'), safe='')}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def stalled(self) -> abc.Iterator[None]:
        """It keeps its connections, and answers nothing until the context ends."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        eventually(self._is_stopped)  # one of its threads may be about to answer
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _is_stopped(self) -> bool:
        assert self._process is not None
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(thread.read_text("utf-8").rpartition(")")[2].split()[0] == "T" for thread in threads)

    def as_root(self) -> ldap.ldapobject.LDAPObject:
        connection = ldap.initialize(self.socket)
        connection.simple_bind_s(ROOT, PASSWORD)
        return connection

    def add(self, dn: str, **attributes: str | list[str]) -> None:
        values = {name: [v.encode() for v in ([x] if isinstance(x, str) else x)] for name, x in attributes.items()}
        connection = self.as_root()
        connection.add_s(dn, list(values.items()))
        connection.unbind_s()

    def fill(self) -> None:
        """People in groups, in groups of groups, in groups that contain each other, and two who have one name."""
        self.add(BASE, objectClass=["dcObject", "organization"], dc="nordwind", o="Nordwind")
        for unit in ("people", "groups", "more"):
            self.add(f"ou={unit},{BASE}", objectClass="organizationalUnit", ou=unit)
        self.add(READER, objectClass=["organizationalRole", "simpleSecurityObject"], cn="keysvc", userPassword=PASSWORD)
        for name in PEOPLE:
            self.add(person(name), objectClass="inetOrgPerson", uid=name, cn=name, sn=name)
        for unit in ("people", "more"):
            self.add(f"uid=twin,ou={unit},{BASE}", objectClass="inetOrgPerson", uid="twin", cn="twin", sn="twin")
        members = {
            "Accounting": [person("bert"), group("Loop")],
            "SAP Users": [person("anna"), group("Accounting")],
            "Loop": [group("Accounting")],
            "Stars": [person("star*name"), person("back\\slash"), person("Ünal")],
            "Quote, \\ and (brackets)*": [group("Stars")],
        }
        for name, dns in members.items():
            self.add(group(name), objectClass="groupOfNames", cn=name, member=dns)
        for number in range(50):
            self.add(
                group(f"of many {number}"), objectClass="groupOfNames", cn=f"of many {number}", member=person("many")
            )
        self.add(
            f"cn=unix,ou=groups,{BASE}", objectClass="posixGroup", cn="unix", gidNumber="7", memberUid=["anna", "carla"]
        )
        elsewhere = "ldap://127.0.0.1:1/dc=elsewhere"
        self.add(f"ou=elsewhere,{BASE}", objectClass=["referral", "extensibleObject"], ou="elsewhere", ref=elsewhere)

    def url(self, scheme: str, **options: str | Path) -> str:
        given = {"bind-dn": READER, "password-source": f"file:{self.folder}/password"}
        if scheme == "ldapi":
            return f"{self.socket}/{BASE}?{urlencode({**given, **options})}"
        given["ca-file"] = f"{self.folder}/authority.pem"
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}/{BASE}?{urlencode({**given, **options})}"

    def open(self, scheme: str = "ldaps", **options: str | Path) -> Authorizer:
        return open_url(self.url(scheme, **{name.replace("_", "-"): value for name, value in options.items()}))

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "complaints").read_text()
        try:
            for port in self.ports.values():
                socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            return False
        return (self.folder / "socket").exists()


def open_url(url: str) -> Authorizer:
    return Plugins().authorizers.open(url, pytest.fail, SYSTEM_ID)


@contextlib.contextmanager
def running(authority: trustme.CA, host: str = "127.0.0.1") -> abc.Iterator[Slapd]:
    program = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        reason = "slapd is not installed: apt-get install slapd"
        assert "CI" not in os.environ, reason
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slapd") as folder:  # not tmp_path: a socket's path is short
        made = Slapd(Path(folder), program, authority, host)
        try:
            made.start()
            made.fill()
            yield made
        finally:
            made.kill()
