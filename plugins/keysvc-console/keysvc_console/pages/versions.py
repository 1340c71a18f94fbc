"""Versions of the master secret, and the rotation from one to the next."""

from __future__ import annotations

from keysvc.errors import InvalidInput
from keysvc.model import VersionState
from keysvc_console.calls import Call, Equivalent, Go, Page, Place
from keysvc_console.charts import versions_chart
from keysvc_console.pages.overview import rotation_line


def versions(call: Call) -> Page:
    """All versions, the rotation that is under way, and what can be done to them."""
    status = call.reach.master.status()
    rotation = status.rotation
    values = {
        "status": status,
        "chart": versions_chart(status.versions),
        "rotation": rotation,
        "rotation_says": rotation_line(rotation) if rotation is not None else "",
        "destroyable": [v for v in status.versions if v.state is VersionState.RETIRING],
        "live_choices": [
            (v.version, f"{v.version}, {v.state.value}")
            for v in status.versions
            if v.state is not VersionState.DESTROYED
        ],
    }
    equivalents = [
        Equivalent("This page", "keysvc secret list", "GET /v1/status (master secret server)"),
        Equivalent("Start a rotation", "keysvc secret rotate", "POST /v1/rotations"),
        Equivalent("Pause, resume", "keysvc secret pause, keysvc secret resume", 'PATCH /v1/rotation {"paused": true}'),
        Equivalent(
            "Limit the rate",
            "keysvc secret throttle --max-rows-per-second 500",
            'PATCH /v1/rotation {"max_rows_per_second": 500}',
        ),
        Equivalent("Report as compromised", "keysvc secret rotate --compromised 1", "POST /v1/rotations?compromised=1"),
        Equivalent("Destroy", "keysvc secret destroy 1", "DELETE /v1/versions/1?force=false"),
        Equivalent("Make a backup", "keysvc secret backup FILE", "POST /v1/backups, when it was proved"),
    ]
    return Page("versions.html", "Versions and rotation", values, equivalents)


def rotate(call: Call) -> Go:
    """Begin a rotation."""
    started = call.reach.master.rotate()
    call.session.note(f"Version {started.version} is announced. It becomes active when every SSO server holds it.")
    return Go("/versions")


def change(call: Call) -> Go:
    """Pause or resume, or limit the rate."""
    paused = {"pause": True, "resume": False}.get(call.given("what"))
    if paused is not None:
        call.reach.master.change_rotation(paused=paused)
        call.session.note("Rotations are paused." if paused else "Rotations go on.")
        return Go("/versions")
    rate = call.number("rate", "The rate")
    call.reach.master.change_rotation(max_rows_per_second=rate or 0)
    call.session.note(f"At most {rate:,} credentials a second." if rate else "Rotations go as fast as they can.")
    return Go("/versions")


def compromised(call: Call) -> Go:
    """Report a version as known to others: a rotation begins, and the version is destroyed after it."""
    version = _typed_version(call, "compromised")
    started = call.reach.master.rotate(compromised=version)
    call.session.note(f"Version {version} is reported as compromised; version {started.version} takes its place.")
    return Go("/versions")


def destroy(call: Call) -> Go:
    """Destroy a version that retired, after its name was typed."""
    version = _typed_version(call, "destroy")
    call.reach.master.destroy(version, force=False)
    call.session.note(f"Version {version} is destroyed.")
    return Go("/versions")


def _typed_version(call: Call, verb: str) -> int:
    version = call.number("version", "The version")
    if version is None:
        raise InvalidInput("choose a version", hint="go back and choose one")
    wanted = f"{verb} {version}"
    if call.given("typed").strip() != wanted:
        raise InvalidInput(f"the confirmation is not “{wanted}”", hint="type it exactly; nothing was changed")
    return version


PLACES = (Place("/versions", "Versions and rotation", "System", lambda rights: rights.administers),)
ROUTES = (
    ("/versions", versions, False),
    ("/versions/rotate", rotate, True),
    ("/versions/change", change, True),
    ("/versions/compromised", compromised, True),
    ("/versions/destroy", destroy, True),
)
