"""docs/plugins/first-afternoon.md, line by line, as a newcomer types it in an empty folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

from newcomers import Newcomer

PAGE = (Path(__file__).parents[2] / "docs/plugins/first-afternoon.md").read_text("utf-8")
LINES = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
CODE = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
CONTRACT = {
    "imported_mappings", "lookups", "failed_lookups", "rotated_from", "rotated_to", "reencrypted",
    "encrypt_refused_while_master_down", "restored_from_backup", "seconds",
}  # fmt: skip


def test_every_line_of_the_afternoon_works_as_printed(tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path)
    install, *typed = LINES
    assert install == 'pip install "keysvc[testing]" hatchling'
    script = "\n".join(f"{line} --json > told" if line.startswith("keysvc demo") else line for line in typed)
    said = newcomer.run("bash", "-e", "-x", "-c", script).out

    for path, code in CODE:
        (file,) = newcomer.folder.glob(f"keysvc-*/{path}")
        assert file.read_text("utf-8") == code, f"{path} is not what keysvc plugin new writes"
    assert len(CODE) == 5
    for listed in ("keysvc-memo", "keysvc-ledger", "keysvc-lines"):
        report = newcomer.run("keysvc", "plugin", "list", "--json").out
        found = next(each for each in json.loads(report) if each["distribution"] == listed)
        assert (found["version"], found["problem"], len(found["kinds"])) == ("0.1.0", "", 1)
    assert len(re.findall(r"\d+ passed", said)) == 4
    assert "FAILED tests/test_memo.py::TestMemoKeyStore::test_every_changed_byte_is_noticed" in said
    assert "13 promises of a key store, 0 broken" in said
    assert "12 promises of a mapping store, 0 broken" in said
    assert "4 promises of a notifier, 0 broken" in said

    told = json.loads((newcomer.folder / "told").read_text("utf-8"))
    assert told.keys() >= CONTRACT
    assert (told["failed_lookups"], told["restored_from_backup"]) == (0, True)
    assert told["reencrypted"] == told["imported_mappings"] >= 1000
    events = [json.loads(line) for line in (newcomer.folder / "events.jsonl").read_text("utf-8").splitlines()]
    kinds = {event["type"].removeprefix("org.keysvc.").removesuffix(".v1") for event in events}
    assert {"version.activated", "rotation.finished"} <= kinds
    assert not list((newcomer.folder / "secret").glob("version-0*")), "the demo leaves the key store empty"
