"""What an operator does about notifiers: see what did not arrive, offer it again, try one."""

from __future__ import annotations

import contextlib
import json

from sites import Site
from systems import eventually

from keysvc.installation import assembly, config
from keysvc.model import utc_now
from keysvc.plugin.changes import UNGUARDED, ParkEvent

TWO = 'notifiers = [{ url = "log:", name = "one" }, { url = "log:", name = "two", events = ["rotation.*"] }]\n'


def test_notifiers_and_what_they_refused_are_listed_and_offered_again(site: Site) -> None:
    site.init("--no-backup")
    with site.machine.config.open("a") as file:
        file.write(TWO)
    with contextlib.closing(assembly.open_mapping_store(config.load(site.machine.config))) as store:
        (event,) = store.events(9)
        store.commit([ParkEvent(event.event_id, "one", "550 no such user", utc_now())], UNGUARDED)
    listed = json.loads(site("notify", "list", "--json").out)
    assert [(n["name"], n["pending"], n["parked"]) for n in listed["notifiers"]] == [("one", 0, 1), ("two", 1, 0)]
    assert (listed["parked"][0]["reason"], listed["parked"][0]["event"]["kind"]) == (
        "550 no such user",
        "system.configured",
    )
    shown = site("notify", "list")
    assert "550 no such user" in shown.out
    assert "keysvc notify retry --all" in shown.err
    site("notify", "retry", ok=False)
    site("notify", "retry", "never", ok=False)
    assert site("notify", "retry", event.event_id).out.startswith("1 offered again")
    site.serve()
    eventually(lambda: [n["pending"] for n in json.loads(site("notify", "list", "--json").out)["notifiers"]] == [0, 0])
    assert "550 no such user" not in site("notify", "list").out


def test_a_notifier_is_tried_now_and_two_of_one_name_are_refused(site: Site) -> None:
    site.init("--no-backup")
    tried = site("notify", "test")
    assert "log:" in tried.out
    assert "notifier.test" in tried.out + tried.err
    site("notify", "test", "--notifier", "nobody", ok=False)
    with site.machine.config.open("a") as file:
        file.write('notifiers = ["log:", "log:"]\n')
    assert "two notifiers are called log:" in site("status", ok=False).err
