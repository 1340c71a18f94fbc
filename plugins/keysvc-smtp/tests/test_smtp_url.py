"""What a URL may say, and how a mistake is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keysvc.plugin import ConfigurationError, SecretText
from keysvc.plugin.loading import Plugins

ADDRESSES = "to=ops@example.com&from=keysvc@example.com"


def test_it_is_found_by_its_scheme_and_takes_its_password_from_where_the_url_says(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse battery staple\n")
    url = f"smtps://alerts%40example.com@mail.example.com/?{ADDRESSES}&password-source=file:{tmp_path}/password"
    notifier = Plugins().notifiers.open(url, pytest.fail, "5" * 32)
    assert repr(notifier) == "MailNotifier(mail.example.com:465)"


def test_without_a_user_nothing_is_asked() -> None:
    notifier = Plugins().notifiers.open(f"smtp://mail.example.com/?{ADDRESSES}", pytest.fail, "5" * 32)
    assert repr(notifier) == "MailNotifier(mail.example.com:587)"


@pytest.mark.parametrize(
    "url",
    [
        "smtp:",
        f"smtp:///?{ADDRESSES}",
        f"smtp://user:hunter2@mail.example.com/?{ADDRESSES}",
        f"smtp://user:@mail.example.com/?{ADDRESSES}",
        f"smtp://mail.example.com:99999/?{ADDRESSES}",
        f"smtp://mail.example.com/path?{ADDRESSES}",
        f"smtp://mail.example.com/?{ADDRESSES}&starttls=perhaps",
        f"smtp://user@mail.example.com/?{ADDRESSES}&starttls=no",
        f"smtp://mail.example.com/?{ADDRESSES}&ehlo=",
        f"smtp://mail.example.com/?{ADDRESSES}&ehlo=web_01%0D%0AMAIL",
        f"smtp://mail.example.com/?{ADDRESSES}&ehlo=[::1]",
        f"smtp://mail.example.com/?{ADDRESSES}&ehlo=[IPv6:192.0.2.1]",
        f"smtps://mail.example.com/?{ADDRESSES}&starttls=no",
        f"smtp://mail.example.com/?{ADDRESSES}&ca-file=/not/there",
        f"smtp://{'a' * 64}.example.com/?{ADDRESSES}",
        f"smtp://us%C3%A9r@mail.example.com/?{ADDRESSES}",
        "smtp://mail.example.com/?to=ops@example.com",
        "smtp://mail.example.com/?from=keysvc@example.com",
        "smtp://mail.example.com/?to=&from=keysvc@example.com",
        "smtp://mail.example.com/?to=ops@example.com&from=a@example.com,b@example.com",
        "smtp://mail.example.com/?to=ops+keysvc@example.com&from=keysvc@example.com",
        "smtp://mail.example.com/?to=ops@example.com%0D%0ARCPT%20TO:x@y&from=keysvc@example.com",
        "smtp://mail.example.com/?to=Ops%20<ops@example.com>&from=keysvc@example.com",
        "smtp://mail.example.com/?to=%C3%B6ps@example.com&from=keysvc@example.com",
    ],
)
def test_an_unusable_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Plugins().notifiers.open(url, lambda _what: SecretText("x"), "5" * 32)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_a_password_that_cannot_be_sent_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Plugins().notifiers.open(f"smtp://u@mail.example.com/?{ADDRESSES}", lambda _: SecretText("hüntér2"), "5" * 32)
    assert "hüntér2" not in f"{refused.value} {refused.value.hint}"


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an absolute path"):
        Plugins().notifiers.open(f"smtp://mail.example.com/?{ADDRESSES}&ca-file=a.pem", pytest.fail, "5" * 32)


def test_installing_it_imports_neither_smtp_nor_tls() -> None:
    code = "import keysvc_smtp, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"smtplib", "ssl", "email"} & set(loaded)
