"""What `keysvc doctor` says of the notifiers that a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from keysvc.installation import config, doctor

WRITTEN = """
system_id = "55555555555555555555555555555555"
mapping_store = "sqlite:///keysvc.db"
master = "https://127.0.0.1:7443"
notifiers = ["log:", "{url}"]
"""


@pytest.mark.parametrize(
    ("url", "problem", "advice"),
    [
        ("carrier-pigeon://roof", "carrier-pigeon", "plugin"),
        ("webhook+https://hooks.example.com/keysvc", "the secret is needed", "secret-source=file:/PATH"),
        ("webhook+https://hooks.example.com/?secret-source=file:/not/there", "/not/there", ""),
        ("smtp://mail.example.com/?to=nobody", "needs", ""),
        ("syslog+tcp://logs.example.com?framing=lines", "framing is octets or newline", ""),
    ],
)
def test_a_notifier_that_cannot_be_opened_is_found_with_what_to_do(
    tmp_path: Path, url: str, problem: str, advice: str
) -> None:
    if url.startswith(("webhook", "smtp", "syslog")):
        pytest.importorskip("keysvc_" + url.partition(":")[0].partition("+")[0], reason="the plugin is not installed")
    (tmp_path / "keysvc.toml").write_text(WRITTEN.format(url=url))
    found = doctor.examine(config.load(tmp_path / "keysvc.toml"))
    by_name = {each.what.split()[1]: each for each in found if each.what.startswith("notifier ")}
    assert by_name.pop("log:").ok
    ((_, finding),) = by_name.items()
    assert not finding.ok
    assert problem in finding.what
    assert advice in finding.hint
