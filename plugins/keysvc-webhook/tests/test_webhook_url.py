"""What a URL may say, and how a mistake is told."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from keysvc_webhook import open_webhook, signing_secrets

from keysvc.plugin import ConfigurationError, Location, Opening, SecretText
from keysvc.plugin.loading import Plugins

GOOD = "whsec_" + b64encode(bytes(32)).decode()


def test_it_is_found_by_its_scheme_and_takes_its_secret_from_where_the_url_says(ca_file: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{GOOD} {GOOD}\n")
    url = f"webhook+https://hooks.example.com:8443/a?ca-file={ca_file}&secret-source=file:{tmp_path}/secret"
    notifier = Plugins().notifiers.open(url, pytest.fail, "5" * 32)
    assert repr(notifier) == "WebhookNotifier(hooks.example.com:8443)"


@pytest.mark.parametrize(
    "url",
    [
        "webhook+https:",
        "webhook+https:///path",
        "webhook+https://user:password@hooks.example.com/",
        "webhook+https://user@hooks.example.com/",
        "webhook+https://hooks.example.com/#part",
        "webhook+https://hooks.example.com:99999/",
        f"webhook+https://{'a' * 64}.example.com/",
        "webhook+https://hooks.example.com/a b",
        "webhook+https://hooks.example.com/ä",
        "webhook+https://hooks.example.com/?allow-private=perhaps",
        "webhook+https://hooks.example.com/?ca-file=/not/there",
        "webhook+https://hooks.example.com/?ca-file=/etc/hostname",
    ],
)
def test_an_unusable_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_webhook(Opening(Location.parse(url), lambda _what: SecretText(GOOD), "5" * 32))
    assert "password@" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "given", ["", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", GOOD + " hunter2", GOOD[1:]]
)
def test_an_unusable_secret_is_refused_without_being_shown(given: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        signing_secrets(SecretText(given))
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs an absolute path"):
        open_webhook(
            Opening(
                Location.parse("webhook+https://h.example.com/?ca-file=a.pem"), lambda _: SecretText(GOOD), "5" * 32
            )
        )


def test_installing_it_imports_no_http_and_no_tls() -> None:
    code = "import keysvc_webhook, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"http.client", "ssl", "standardwebhooks"} & set(loaded)
