"""Notifiers, plugins, and the doctor: of the machine of the master secret server."""

from __future__ import annotations

from keysvc_console.calls import Call, Equivalent, Go, Page, Place


def notifiers(call: Call) -> Page:
    """What waits for each, and what was parked."""
    found = call.reach.master.notifiers()
    equivalents = [
        Equivalent("This page", "keysvc notify list", "GET /v1/notifiers"),
        Equivalent("Offer again", "keysvc notify retry --all", "POST /v1/notifiers/retry"),
        Equivalent("Test", "keysvc notify test", "POST /v1/notifiers/test, through the outbox"),
    ]
    return Page("notifiers.html", "Notifiers", {"found": found}, equivalents)


def retry(call: Call) -> Go:
    """Offer parked events again."""
    count = call.reach.master.retry_parked(call.given("event"), call.given("notifier"))
    call.session.note(f"{count} event{'s are' if count != 1 else ' is'} offered again.")
    return Go("/notifiers")


def send_test(call: Call) -> Go:
    """Through the outbox, as any event goes."""
    call.reach.master.send_test()
    call.session.note("A test event is on its way to every notifier that wants such events. Load the page again soon.")
    return Go("/notifiers")


def plugins(call: Call) -> Page:
    """Installed there, with what is wrong with those that do not work."""
    found = call.reach.master.plugins()
    equivalents = [Equivalent("This page", "keysvc plugin list", "GET /v1/plugins")]
    return Page("plugins.html", "Plugins", {"found": found}, equivalents)


def doctor(call: Call) -> Page:
    """What the doctor finds there."""
    found = call.reach.master.examine()
    bad = [each for each in found if not each.ok]
    equivalents = [Equivalent("This page", "keysvc doctor", "GET /v1/doctor")]
    return Page("doctor.html", "Doctor", {"found": [*bad, *(e for e in found if e.ok)], "bad": len(bad)}, equivalents)


PLACES = (
    Place("/notifiers", "Notifiers", "Oversight", lambda rights: rights.administers),
    Place("/doctor", "Doctor", "Oversight", lambda rights: rights.administers),
    Place("/plugins", "Plugins", "Oversight", lambda rights: rights.administers),
)
ROUTES = (
    ("/notifiers", notifiers, False),
    ("/notifiers/retry", retry, True),
    ("/notifiers/test", send_test, True),
    ("/plugins", plugins, False),
    ("/doctor", doctor, False),
)
