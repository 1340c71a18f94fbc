"""Mappings of one application: search among very many, change, credentials, and a wizard for many at once."""

from __future__ import annotations

from dataclasses import dataclass

from keysvc.errors import InvalidInput, KeysvcError, NotFound
from keysvc.model import Application, ApplicationType, Mapping
from keysvc.sso.permissions import Right
from keysvc.sso.requests.mapping_search import SearchMappings
from keysvc.sso.requests.reveals import CredentialState, GetCredentialState, RevealField
from keysvc_console.calls import Answer, Call, Data, Equivalent, Go, Page
from keysvc_console.reach import Rights
from keysvc_console.rendering import shell, with_query

PAGE = 50
MOST_IN_WIZARD = 500
SHOWN_SECONDS = 30
STATES = {"": None, "enabled": True, "disabled": False}
RULES = {
    "same": "The name without its domain, as it is",
    "upper": "The name without its domain, in capital letters",
    "lower": "The name without its domain, in small letters",
    "whole": "The whole name, with its domain",
}


def mappings(call: Call) -> Page:
    """One page of a search."""
    name = call.required("application", "The application")
    asked = {key: call.given(key) for key in ("user", "external", "state")}
    request = SearchMappings(
        name, asked["user"], asked["external"], STATES.get(asked["state"]), call.given("after"), PAGE
    )
    found = call.reach.agent.perform(request)
    rights = call.rights(name)
    values = {
        "application": name,
        "asked": asked,
        "found": found,
        "narrowed": any(asked.values()),
        "first": not call.given("after"),
        "may_change": rights.may(Right.CHANGE_MAPPINGS),
    }
    word = shell(name)
    equivalents = [
        Equivalent("This page", f"keysvc mapping list {word}", "GET /v1/mappings/found?application=…&user=…&enabled=…"),
        Equivalent(
            "Map a user", f"keysvc mapping set {word} USER EXTERNAL_USER", "PUT /v1/mapping?application=…&user=…"
        ),
    ]
    return Page("mappings.html", f"Mappings of {name}", values, equivalents)


def mapping(call: Call) -> Page:
    """One mapping, with its credential: no field of it is read before it is asked for."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    return mapping_page(call, name, user)


def mapping_page(call: Call, name: str, user: str, shown: dict[str, str] | None = None) -> Page:
    """The page of a mapping; `shown` are the fields that were asked for just now."""
    agent = call.reach.agent
    definition = agent.application(name)
    found = agent.administration.mapping(name, user)
    state = agent.perform(GetCredentialState(name, user))
    rights = call.rights(name)
    values = {**credential_values(rights, definition, found, state, call.reach.name), "shown": shown or {}}
    a, u = shell(name), shell(user)
    query = "application=…&user=…"
    equivalents = [
        Equivalent("This page", f"keysvc mapping show {a} {u}", f"GET /v1/mapping?{query}"),
        Equivalent("Enable, disable", f"keysvc mapping enable {a} {u}", f"PATCH /v1/mapping?{query}"),
        Equivalent("Set the credential", f"keysvc credential set {a} {u}", f"PUT /v1/credential?{query}"),
        Equivalent("Show one field", f"keysvc credential get {a} {u} --show", "POST /v1/credential/reveal"),
    ]
    page = Page("mapping.html", f"{user} in {name}", values, equivalents)
    if shown:
        page.hidden_after = SHOWN_SECONDS, with_query("/mapping", application=name, user=user)
    return page


def credential_values(
    rights: Rights, definition: Application, found: Mapping, state: CredentialState, caller: str
) -> dict[str, object]:
    """What the part about a credential needs."""
    own = found.user.casefold() == caller.casefold()

    def may(right: Right) -> bool:
        return rights.may(right) or (own and rights.may_own(right))

    return {
        "definition": definition,
        "mapping": found,
        "state": state,
        "may_change": may(Right.CHANGE_MAPPINGS),
        "may_set": may(Right.CHANGE_CREDENTIALS) and definition.type is not ApplicationType.CONFIG_STORE,
        "may_reveal": may(Right.LOOK_UP) and definition.flags.windows_initiated,
    }


def change(call: Call) -> Go:
    """Enable, disable, map to another external user, or delete; each by its own form."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    agent = call.reach.agent.administration
    what = call.given("what")
    match what:
        case "enable" | "disable":
            agent.enable_mapping(name, user, what == "enable")
            call.session.note(f"The mapping of {user} is {what}d.")
        case "set":
            made = agent.set_mapping(
                name, user, call.required("external", "The external user"), enable=call.given("enable") == "yes"
            )
            user = made.user
            call.session.note(f"{user} is {made.external_user} in {name}.")
        case "delete":
            agent.delete_mapping(name, user)
            call.session.note(f"The mapping of {user} is deleted, with its credential.")
            return Go(back(call, with_query("/mappings", application=name)))
        case _:
            raise InvalidInput("the form was changed on its way", hint="open the page again")
    return Go(back(call, with_query("/mapping", application=name, user=user)))


def back(call: Call, otherwise: str) -> str:
    """To the user's own page when the form came from there."""
    return "/mine" if call.given("from") == "mine" else otherwise


def all_mappings(call: Call) -> Go:
    """Enable or disable every mapping of an application."""
    name = call.required("application", "The application")
    enabled = call.given("what") == "enable"
    changed = call.reach.agent.administration.enable_all_mappings(name, enabled)
    call.session.note(f"{changed} mappings of {name} are {'enabled' if enabled else 'disabled'} now.")
    return Go(with_query("/mappings", application=name))


def set_credential(call: Call) -> Go:
    """Store all fields: those that are left empty are stored empty only when the user says so."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    definition = call.reach.agent.application(name)
    given = {field.label: call.given(f"value-{number}") for number, field in enumerate(definition.fields[1:])}
    empty = [label for label, value in given.items() if not value]
    if empty and call.given("empty") != "yes":
        raise InvalidInput(
            f"there is no value for {', '.join(empty)}",
            hint="fill in every field, or tick that the others are to be stored empty; nothing was changed",
        )
    version = call.reach.agent.set_credential(name, given, user=user)
    call.session.note(f"The credential of {user} for {name} is stored under version {version}.")
    return Go(back(call, with_query("/mapping", application=name, user=user)))


def clear_credential(call: Call) -> Go:
    """Delete the credential; the mapping stays."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    call.reach.agent.delete_credential(name, user=user)
    call.session.note(f"The credential of {user} for {name} is deleted.")
    return Go(back(call, with_query("/mapping", application=name, user=user)))


def try_credential(call: Call) -> Go:
    """Look it up, as an application would, and show nothing of it."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    found = call.reach.agent.credential(name, user=user, fresh=True)
    call.session.note(
        f"It works: {found.external_user} is there, and what is stored decrypts under version {found.version}."
    )
    return Go(back(call, with_query("/mapping", application=name, user=user)))


def reveal(call: Call) -> Answer:
    """One field: for the script as data, else in a page that hides it again."""
    name, user = call.required("application", "The application"), call.required("user", "The user")
    label = call.required("label", "The field")
    value = call.reach.agent.perform(RevealField(name, user, label)).value.reveal()
    return Data({"value": value}) if call.wants_data else mapping_page(call, name, user, {label: value})


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of the wizard."""

    user: str
    external_user: str
    before: str | None
    problem: str = ""

    @property
    def changes(self) -> bool:
        """Whether there is something to do."""
        return not self.problem and self.before != self.external_user


def wizard(call: Call) -> Page:
    """Many users at once: a list, a rule, a preview."""
    name = call.required("application", "The application")
    users, rule = call.given("users"), call.given("rule") or "upper"
    planned = _plan(call, name, users, rule) if users.strip() else []
    values = {
        "application": name,
        "rules": list(RULES.items()),
        "given": {key: call.given(key) for key in ("prefix", "suffix")},
        "rule": rule,
        "users": users,
        "planned": planned,
        "to_do": sum(each.changes for each in planned),
        "enable": call.given("enable") == "yes",
    }
    command = f"keysvc mapping set {shell(name)} USER EXTERNAL_USER"
    equivalents = [Equivalent("For each user", command, "GET and PUT /v1/mapping?application=…&user=…")]
    return Page("wizard.html", f"Map many users of {name}", values, equivalents)


def run_wizard(call: Call) -> Answer:
    """Do what the preview said; what fails is told, and the others are done."""
    name = call.required("application", "The application")
    planned = _plan(call, name, call.given("users"), call.given("rule"))
    if call.given("step") != "run":
        return wizard(call)
    done, failed = 0, []
    for each in planned:
        if not each.changes:
            continue
        try:
            call.reach.agent.administration.set_mapping(
                name, each.user, each.external_user, enable=call.given("enable") == "yes"
            )
            done += 1
        except KeysvcError as error:
            failed.append(f"{each.user}: {error}")
    call.session.note(f"{done} users are mapped in {name}.")
    for text in failed[:5]:
        call.session.note(text, "problem")
    if len(failed) > 5:
        call.session.note(f"{len(failed) - 5} more could not be mapped.", "problem")
    return Go(with_query("/mappings", application=name))


def _plan(call: Call, name: str, users: str, rule: str) -> list[Planned]:
    if rule not in RULES:
        raise InvalidInput("choose a rule", hint="choose how external users are named")
    lines = list(dict.fromkeys(line.strip() for line in users.splitlines() if line.strip()))
    if len(lines) > MOST_IN_WIZARD:
        raise InvalidInput(
            f"{len(lines)} users are more than {MOST_IN_WIZARD}", hint="use fewer lines, or keysvc mapping import FILE"
        )
    prefix, suffix = call.given("prefix").strip(), call.given("suffix").strip()
    planned = []
    for user in lines:
        external = f"{prefix}{_by_rule(user, rule)}{suffix}"
        try:
            planned.append(Planned(user, external, call.reach.agent.administration.mapping(name, user).external_user))
        except NotFound:
            planned.append(Planned(user, external, None))
        except KeysvcError as error:
            planned.append(Planned(user, external, None, str(error)))
    return planned


def _by_rule(user: str, rule: str) -> str:
    plain = user.rpartition("\\")[2].partition("@")[0]
    return {"same": plain, "upper": plain.upper(), "lower": plain.lower(), "whole": user}[rule]


PLACES = ()
ROUTES = (
    ("/mappings", mappings, False),
    ("/mappings/all", all_mappings, True),
    ("/mappings/wizard", wizard, False),
    ("/mappings/wizard", run_wizard, True),
    ("/mapping", mapping, False),
    ("/mapping/change", change, True),
    ("/mapping/credential", set_credential, True),
    ("/mapping/clear", clear_credential, True),
    ("/mapping/test", try_credential, True),
    ("/mapping/reveal", reveal, True),
)
