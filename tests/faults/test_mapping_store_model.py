"""Any sequence of commits, right or wrong, does to the store what it does to a few dictionaries."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keysvc.errors import Conflict, Fenced, NotFound, StaleVersion, VersionInUse
from keysvc.model import (
    Application,
    ApplicationType,
    CredentialKey,
    EncryptedCredential,
    Event,
    Guard,
    Mapping,
    VersionId,
    VersionRecord,
    VersionState,
)
from keysvc.plugin.changes import (
    AppendEvent,
    DeleteApplication,
    DeleteCredential,
    DeleteMapping,
    EventDelivered,
    ForgetEvents,
    PutApplication,
    PutCredential,
    PutMapping,
    PutVersion,
    Reencrypt,
)
from keysvc.stores.sqlite import SQLiteMappingStore

AT = datetime(2026, 2, 3, tzinfo=UTC)
APPLICATIONS = st.sampled_from(["SAP", "sap", "Zürich 🔑"])
USERS = st.sampled_from(["alice", "Alice", "bob"])
VERSIONS = st.integers(1, 3)


class Model:
    """Rows by key, each with a serial number that tells one writing of it from every other."""

    def __init__(self):
        self.applications, self.mappings, self.credentials = {}, {}, {}
        self.versions, self.events = {}, []
        self.epoch = self.serial = 0

    def put(self, rows, key, value, seen):
        if rows.get(key, (None, None))[1] != seen:
            raise Conflict("")
        self.serial += 1
        rows[key] = (value, self.serial)

    def delete(self, rows, key):
        if rows.pop(key, None) is None:
            raise Conflict("")
        for below in (self.mappings, self.credentials):
            if rows is not below and rows is not self.credentials:
                for other in [k for k in below if key in (k, k[0])]:
                    del below[other]

    def active(self):
        return [version for version, state in self.versions.items() if state is VersionState.ACTIVE]

    def check(self, guard):
        if guard.epoch not in (None, self.epoch):
            raise Fenced("")
        if guard.active_version is not None and guard.active_version.number not in self.active():
            raise StaleVersion("")

    def need(self, rows, key):
        if key not in rows:
            raise NotFound("")


class MappingStoreMachine(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.store = SQLiteMappingStore(None)
        self.store.prepare()
        self.model = Model()
        self.read = {}  # key -> (revision in the store, serial in the model), as some client read them last

    def teardown(self):
        self.store.close()

    def commit(self, steps, guard=Guard()):  # noqa: B008
        """Apply each (change, effect on the model) to both: the same error, or none, and nothing in between."""
        trial, expected = copy.deepcopy(self.model), None
        try:
            trial.check(guard)
            for _, effect in steps:
                effect(trial)
            if len(trial.active()) > 1:
                raise Conflict("")
        except (Conflict, NotFound, Fenced, StaleVersion, VersionInUse) as error:
            expected = type(error)
        changes = [change for change, _ in steps]
        if expected:
            with pytest.raises(expected):
                self.store.commit(changes, guard)
        else:
            self.store.commit(changes, guard)
            self.model = trial

    def seen(self, kind, key):
        return self.read.get((kind, key), (0, None))

    @rule(application=APPLICATIONS, user=USERS)
    def look(self, application, user):
        rows = {
            ("application", application): (self.store.application(application), self.model.applications),
            ("mapping", (application, user)): (self.store.mapping(application, user), self.model.mappings),
            ("credential", (application, user)): (self.store.credential(application, user), self.model.credentials),
        }
        for (kind, key), (row, model) in rows.items():
            if row is None:
                assert key not in model
                self.read.pop((kind, key), None)
            else:
                self.read[kind, key] = (row.revision, model[key][1])

    def application_step(self, name, text):
        revision, serial = self.seen("application", name)
        row = Application(name, name.encode().hex(), ApplicationType.GROUP, (), description=text, revision=revision)
        return PutApplication(row), lambda m: m.put(m.applications, name, text, serial)

    def mapping_step(self, key, text):
        revision, serial = self.seen("mapping", key)

        def effect(m):
            m.need(m.applications, key[0])
            m.put(m.mappings, key, text, serial)

        return PutMapping(Mapping(*key, text, revision=revision)), effect

    def credential_step(self, key, version):
        revision, serial = self.seen("credential", key)

        def effect(m):
            m.need(m.mappings, key)
            m.put(m.credentials, key, version, serial)

        return PutCredential(EncryptedCredential(*key, version, b"x", revision)), effect

    @rule(name=APPLICATIONS, text=st.text("ab", max_size=2))
    def put_application(self, name, text):
        self.commit([self.application_step(name, text)])

    @rule(application=APPLICATIONS, user=USERS, text=st.text("ab", max_size=2))
    def put_mapping(self, application, user, text):
        self.commit([self.mapping_step((application, user), text)])

    @rule(application=APPLICATIONS, user=USERS, version=VERSIONS, guarded=st.booleans())
    def put_credential(self, application, user, version, guarded):
        guard = Guard(active_version=VersionId(version, f"{version}") if guarded else None)
        self.commit([self.credential_step((application, user), version)], guard)

    @rule(application=APPLICATIONS, user=USERS, other=USERS, version=VERSIONS)
    def put_several(self, application, user, other, version):
        key = (application, user)
        steps = [self.application_step(application, "s"), self.mapping_step(key, "s")]
        self.commit([*steps, self.credential_step((application, other), version)])

    @rule(application=APPLICATIONS, user=USERS, what=st.integers(0, 2))
    def delete(self, application, user, what):
        key = (application, user)
        self.commit(
            [
                [(DeleteApplication(application), lambda m: m.delete(m.applications, application))],
                [(DeleteMapping(*key), lambda m: m.delete(m.mappings, key))],
                [(DeleteCredential(*key), lambda m: m.delete(m.credentials, key))],
            ][what]
        )

    @rule(version=VERSIONS, epoch=st.integers(0, 3))
    def reencrypt(self, version, epoch):
        keys = [key for kind, key in self.read if kind == "credential"]

        def effect(m):
            for key in keys:
                if m.credentials.get(key, (None, None))[1] == self.seen("credential", key)[1]:
                    m.put(m.credentials, key, version, m.credentials[key][1])

        batch = [EncryptedCredential(*key, version, b"y", self.seen("credential", key)[0]) for key in keys]
        self.commit([(Reencrypt(batch), effect)], Guard(epoch=epoch))

    @rule(puts=st.lists(st.tuples(VERSIONS, st.sampled_from(VersionState)), min_size=1, max_size=3))
    def put_versions(self, puts):
        records = [VersionRecord(version, state, AT, f"{version}") for version, state in puts]

        def effect(m, record):
            under = [version for version, _ in m.credentials.values()]
            if record.state is VersionState.DESTROYED and record.version in under:
                raise VersionInUse("")
            m.versions[record.version] = record.state

        self.commit([(PutVersion(r), lambda m, r=r: effect(m, r)) for r in records])

    @rule(number=st.integers(0, 5), delivered=st.booleans())
    def event(self, number, delivered):
        name = str(number)
        if delivered:
            changes = EventDelivered(name, "mail"), ForgetEvents(("mail",))
            self.commit([(each, lambda m: m.events.remove(name) if name in m.events else None) for each in changes])
        elif name not in self.model.events:
            self.commit([(AppendEvent(Event(name, "k", AT, {})), lambda m: m.events.append(name))])

    @rule(holder=st.sampled_from(["one", "two"]), release=st.booleans())
    def lease(self, holder, release):
        held = self.store.lease()
        granted = self.store.grant_lease(holder, timedelta(hours=1))
        assert (granted is None) == (held is not None and held.holder != holder)
        if granted is not None:
            self.model.epoch += 1
            assert granted.epoch == self.model.epoch
        if held is not None and granted is None and release:
            self.store.release_lease(held)

    @invariant()
    def both_hold_the_same(self):
        if not hasattr(self, "store"):
            return
        model, store = self.model, self.store
        assert {a.name: a.description for a in store.applications()} == {
            k: v for k, (v, _) in model.applications.items()
        }
        mappings = [m for name in model.applications for m in store.mappings(name)]
        assert {(m.application, m.user): m.external_user for m in mappings} == {
            k: v for k, (v, _) in model.mappings.items()
        }
        found, after = [], None
        while page := store.credentials(after=after, limit=2):
            found += page
            after = page[-1].key
        assert [c.key for c in found] == [CredentialKey(*key) for key in sorted(model.credentials)]
        assert [c.version for c in found] == [model.credentials[key][0] for key in sorted(model.credentials)]
        assert {v.version: v.state for v in store.versions()} == model.versions
        assert [event.event_id for event in store.events(99)] == model.events
        assert store.epoch() == model.epoch


TestMappingStoreModel = MappingStoreMachine.TestCase
TestMappingStoreModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
