"""What a URL may say, and how a mistake is told."""

from __future__ import annotations

import subprocess
import sys
from collections import abc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key as load_key,
)

from keysvc.plugin import ConfigurationError, SecretText
from keysvc.plugin.loading import Plugins

PASSPHRASE = "correct horse battery staple"


def open_url(url: str, prompt=pytest.fail) -> object:
    return Plugins().notifiers.open(url, prompt, "5" * 32)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("syslog:", "/dev/log"),
        ("syslog:/run/log", "/run/log"),
        ("syslog:///run/log?facility=audit", "/run/log"),
        ("syslog+udp://logs.example.com", "logs.example.com:514"),
        ("syslog+tcp://logs.example.com:1514/", "logs.example.com:1514"),
        ("syslog+tls://logs.example.com?facility=local0", "logs.example.com:6514"),
    ],
)
def test_a_url_names_the_receiver(url: str, receiver: str) -> None:
    assert repr(open_url(url)) == f"SyslogNotifier({receiver})"


@pytest.mark.parametrize(
    "url",
    [
        "syslog://logs.example.com/",
        "syslog:relative",
        "syslog:?ca-file=/x",
        "syslog:?facility=kern",
        "syslog+udp:",
        "syslog+udp://logs.example.com/path",
        "syslog+udp://user@logs.example.com",
        "syslog+udp://logs.example.com?ca-file=/x",
        "syslog+tcp://logs.example.com:99999",
        f"syslog+tcp://{'a' * 64}.example.com",
        "syslog+tls://logs.example.com?ca-file=/not/there",
        "syslog+tls://logs.example.com?client-key=/not/there",
        "syslog+tls://logs.example.com?client-certificate=/not/there",
        "syslog+relp://logs.example.com",
        "syslog+tcp://logs.example.com?framing=lines",
        "syslog+tls://logs.example.com?receipt=perhaps",
        "syslog+udp://logs.example.com?framing=newline",
        "syslog:?receipt=none",
    ],
)
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_url(url)


@pytest.fixture
def locked_certificate(client_certificate: abc.Callable[[], Path]) -> Path:
    """A client certificate whose key has a passphrase."""
    path = client_certificate()
    key = load_key(path.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode()))
    path.write_bytes(locked + path.read_bytes().partition(b"-----END EC PRIVATE KEY-----\n")[2])
    return path


def test_the_passphrase_of_a_client_key_comes_from_where_the_url_says(locked_certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    source = f"passphrase-source=file:{tmp_path}/passphrase"
    notifier = open_url(f"syslog+tls://logs.example.com?client-certificate={locked_certificate}&{source}")
    assert PASSPHRASE not in f"{notifier!r}{vars(notifier)!r}"


def test_a_wrong_passphrase_is_refused_without_being_shown(locked_certificate: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_url(
            f"syslog+tls://logs.example.com?client-certificate={locked_certificate}", lambda _: SecretText("hunter2")
        )
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"


@pytest.mark.parametrize("option", ["ca-file", "client-certificate", "client-key"])
def test_a_relative_path_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match="needs an absolute path"):
        open_url(f"syslog+tls://logs.example.com?{option}=a.pem")


def test_installing_it_imports_neither_sockets_nor_tls() -> None:
    code = "import keysvc_syslog, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"socket", "ssl"} & set(loaded)
