"""What happens, counted where it happens: each call of a store, by a wrapper, and each answer over HTTP.

prometheus-client's own counters and histograms cost a microsecond or more each time, which is much beside a lookup.
Here, a call costs a comparison and two additions under a lock; the rest is done when somebody asks."""

from __future__ import annotations

import bisect
import itertools
import threading
import time
from collections import Counter, abc
from typing import Any, TypeVar, cast

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric as Family
from prometheus_client.registry import Collector

from keysvc.errors import KeysvcError
from keysvc.operating.metrics import catalogue
from keysvc.operating.metrics.catalogue import Metric
from keysvc.plugin.changes import Change, PutCredential, Reencrypt
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.loading import Plugins

LOOKUPS = frozenset({("GET", "/v1/credential"), ("POST", "/v1/credential/lookup")})
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the histogram of calls, in seconds."""
Part = TypeVar("Part")


class Durations:
    """How often a method was called, by how long it took. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """One call more."""
        bucket = bisect.bisect_left(BUCKETS, seconds)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += seconds

    def read(self) -> tuple[abc.Sequence[tuple[str, float]], float]:
        """Return the cumulative buckets, as Prometheus has them, and the sum."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        return [*zip(bounds, itertools.accumulate(counts), strict=True)], total


class Tally:
    """How often each of some things happened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Any] = Counter()

    def add(self, what: object, times: int = 1) -> None:
        """It happened once more, or so many times."""
        with self._lock:
            self._counts[what] += times

    def read(self) -> abc.Mapping[Any, int]:
        """Return a copy."""
        with self._lock:
            return Counter(self._counts)


class Calls(Collector):
    """The counters of one process. Thread-safe."""

    def __init__(self) -> None:
        self._answers, self._changes, self._errors, self._credentials = Tally(), Tally(), Tally(), Tally()
        self._durations: dict[tuple[str, str], Durations] = {}

    def answered(self, method: str, path: str, status: int, from_memory: bool) -> None:
        """Count an answer. `path` is as the operation writes it."""
        self._answers.add((method, path, status, from_memory))

    def watch(self, plugins: Plugins) -> None:
        """Wrap every mapping store and key store that is opened from now on."""
        plugins.mapping_stores.wrap = self.mapping_store
        plugins.key_stores.wrap = self.key_store

    def mapping_store(self, store: MappingStore) -> MappingStore:
        """Return the store, with its calls counted and its changes."""
        return self._timed(store, "mapping_store", commit=self._committed)

    def key_store(self, key_store: KeyStore) -> KeyStore:
        """Return the key store, with its calls counted."""
        return self._timed(key_store, "key_store")

    def _timed(self, part: Part, name: str, **after: abc.Callable[..., None]) -> Part:
        """Return the part, with its calls counted as those of `name`. `after` names methods, and what is called with
        their arguments when they succeed."""

        def durations(method: str) -> Durations:
            return self._durations.setdefault((name, method), Durations())

        return cast(Part, Timed(part, durations, lambda code: self._errors.add((name, code)), after))

    def _committed(self, changes: abc.Sequence[Change], *_more: object) -> None:
        for change in changes:
            self._changes.add((type(change).__name__,))
            if isinstance(change, PutCredential):
                self._credentials.add(catalogue.ENCRYPTED)
            elif isinstance(change, Reencrypt):
                self._credentials.add(catalogue.REENCRYPTED, len(change.credentials))

    def collect(self) -> abc.Iterator[Family]:
        """As prometheus-client asks."""
        requests, lookups = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
        for (method, path, status, from_memory), count in self._answers.read().items():
            requests[method, path, str(status)] += count
            if (method, path) in LOOKUPS:
                result = "ok" if status < 400 else "refused" if status < 500 else "failed"
                lookups["memory" if from_memory else "store", result] += count
        yield _counter(catalogue.REQUESTS, requests)
        yield _counter(catalogue.LOOKUPS, lookups)
        yield _counter(catalogue.CHANGES, self._changes.read())
        yield _counter(catalogue.ERRORS, self._errors.read())
        credentials = self._credentials.read()
        for metric in (catalogue.ENCRYPTED, catalogue.REENCRYPTED):
            yield _counter(metric, {(): credentials[metric]})
        calls = catalogue.CALLS
        histogram = HistogramMetricFamily(calls.name, calls.text, labels=calls.labels)
        for labels, durations in sorted(self._durations.items()):
            histogram.add_metric(labels, *durations.read())
        yield histogram


def _counter(metric: Metric, values: abc.Mapping[tuple[str, ...], int]) -> Family:
    family = CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


class Timed:
    """Stands for a part: each of its methods, timed. Each wrapper is made once."""

    def __init__(
        self,
        part: object,
        durations: abc.Callable[[str], Durations],
        failed: abc.Callable[[str], None],
        after: abc.Mapping[str, abc.Callable[..., None]],
    ) -> None:
        self._part, self._durations, self._failed, self._after = part, durations, failed, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found) or name.startswith("_"):
            return found
        add, failed, after, clock = self._durations(name).add, self._failed, self._after.get(name), time.perf_counter

        def method(*arguments: Any, **options: Any) -> Any:
            began = clock()
            try:
                result = found(*arguments, **options)
            except KeysvcError as error:
                failed(error.code)
                raise
            finally:
                add(clock() - began)
            if after is not None:
                after(*arguments, **options)
            return result

        setattr(self, name, method)
        return method

    def __repr__(self) -> str:
        return repr(self._part)
