"""Property bags of the config store."""

from __future__ import annotations

from keysvc.errors import InvalidInput
from keysvc.model import ApplicationType
from keysvc.sso.permissions import Right
from keysvc.sso.requests.mapping_search import SearchMappings
from keysvc.sso.requests.reveals import CredentialState, GetCredentialState, RevealProperty
from keysvc_console.calls import Answer, Call, Data, Equivalent, Go, Page, Place
from keysvc_console.pages.mappings import PAGE, SHOWN_SECONDS
from keysvc_console.rendering import shell, with_query

MOST = 500


def bags(call: Call) -> Page:
    """The config stores that the caller sees, and the bags of one of them."""
    agent = call.reach.agent
    stores = [each for each in agent.applications(limit=MOST) if each.type is ApplicationType.CONFIG_STORE]
    name = call.given("application") or (stores[0].name if stores else "")
    found = None
    rights = call.rights(name or None)
    if name:
        found = agent.perform(SearchMappings(name, call.given("user"), after=call.given("after"), limit=PAGE))
    values = {
        "stores": stores,
        "application": name,
        "found": found,
        "asked": call.given("user"),
        "may_change": rights.may(Right.CHANGE_CONFIG_INFO),
        "may_create": call.rights().may(Right.CREATE_APPLICATION),
    }
    equivalents = [
        Equivalent("This page", f"keysvc mapping list {shell(name or 'APP')}", "GET /v1/mappings/found?application=…"),
        Equivalent("Open a bag", "keysvc config-store get APP NAME", "GET /v1/config-info?application=…&name=…"),
    ]
    return Page("bags.html", "Config store", values, equivalents)


def bag(call: Call) -> Page:
    """One bag: its labels, and no value before it is asked for."""
    return _bag_page(call, *_where(call))


def _bag_page(call: Call, application: str, name: str, shown: dict[str, str] | None = None) -> Page:
    agent = call.reach.agent
    definition = agent.application(application)
    rights = call.rights(application)
    state = CredentialState(stored=True)
    if rights.may(Right.SEE_MAPPINGS):
        state = agent.perform(GetCredentialState(application, name))
    values = {
        "definition": definition,
        "name": name,
        "state": state,
        "shown": shown or {},
        "may_change": rights.may(Right.CHANGE_CONFIG_INFO),
        "may_see": rights.may_own(Right.SEE_CONFIG_INFO),
    }
    words = f"{shell(application)} {shell(name)}"
    query = "application=…&name=…"
    equivalents = [
        Equivalent("Show one property", f"keysvc config-store get {words} --show", "POST /v1/config-info/reveal"),
        Equivalent("Store all", f"keysvc config-store set {words}", f"PUT /v1/config-info?{query}"),
        Equivalent("Delete", f"keysvc config-store delete {words}", f"DELETE /v1/config-info?{query}"),
    ]
    page = Page("bag.html", f"{name} in {application}", values, equivalents)
    if shown:
        page.hidden_after = SHOWN_SECONDS, with_query("/bag", application=application, name=name)
    return page


def store(call: Call) -> Go:
    """All properties, in place of those before."""
    application, name = _where(call)
    definition = call.reach.agent.application(application)
    given = {field.label: call.given(f"value-{number}") for number, field in enumerate(definition.fields[1:])}
    version = call.reach.agent.set_config_info(application, given, name=name)
    call.session.note(f"{name} is stored under version {version}.")
    return Go(with_query("/bag", application=application, name=name))


def delete(call: Call) -> Go:
    """The whole bag, after its name was typed."""
    application, name = _where(call)
    if call.given("typed") != name:
        raise InvalidInput(f"the confirmation is not “{name}”", hint="type the name exactly; nothing was changed")
    call.reach.agent.delete_config_info(application, name=name)
    call.session.note(f"{name} is deleted.")
    return Go(with_query("/bags", application=application))


def reveal(call: Call) -> Answer:
    """One property: for the script as data, else in a page that hides it again."""
    application, name = _where(call)
    label = call.required("label", "The property")
    value = call.reach.agent.perform(RevealProperty(application, name, label)).value.reveal()
    return Data({"value": value}) if call.wants_data else _bag_page(call, application, name, {label: value})


def _where(call: Call) -> tuple[str, str]:
    return call.required("application", "The application"), call.required("name", "The name of the bag")


PLACES = (Place("/bags", "Config store", "Single sign-on", lambda rights: rights.problem is None),)
ROUTES = (
    ("/bags", bags, False),
    ("/bag", bag, False),
    ("/bag/store", store, True),
    ("/bag/delete", delete, True),
    ("/bag/reveal", reveal, True),
)
