"""Every metric of the service, as OpenTelemetry instruments.

An instrument costs next to nothing until a process shows its metrics (`telemetry.exposition`).
`docs/metrics.md` is the table of them for operators, with the names at `/metrics`.

Attributes have few values: what is asked for, how it ended, which system was asked. Never the id of
a store, a user, a product or a cart, nor anything else a client can choose.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from opentelemetry.metrics import Counter, Histogram, get_meter
from opentelemetry.metrics import _Gauge as Gauge

from models import events, incoming

Process = Literal["api", "worker", "consumer"]
Kind = Literal["counter", "gauge", "histogram"]
Values = Collection[str]
"""The values of an attribute; none where there are few that are not listed here."""

ALL: tuple[Process, ...] = ("api", "worker", "consumer")
API: tuple[Process, ...] = ("api",)
WORKER: tuple[Process, ...] = ("worker",)
CONSUMER: tuple[Process, ...] = ("consumer",)

OPERATION_MS = (5, 10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000)
CALL_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)


# What Prometheus appends to a name; units in braces are only said.
_SUFFIXES = {"ms": "_milliseconds", "s": "_seconds", "%": "_percent"}


@dataclass(frozen=True, slots=True)
class Metric:
    """What is known of an instrument; `shown_by` are the processes that have something to tell."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    shown_by: tuple[Process, ...]
    attributes: Mapping[str, Values]
    counter: Counter | None = field(default=None, compare=False)

    @property
    def shown_as(self) -> str:
        """Its name at `/metrics`; a histogram's has `_bucket`, `_count` or `_sum` after it."""
        total = "_total" if self.kind == "counter" else ""
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "") + total

    def show_zeros(self) -> None:
        """Lets a counter whose values are listed begin at 0, so that its first step is seen."""
        if self.counter is None or not all(self.attributes.values()):
            return
        for values in product(*self.attributes.values()):
            self.counter.add(0, dict(zip(self.attributes, values, strict=True)))


CATALOG: dict[str, Metric] = {}
_meter = get_meter("cart-service")


def _counter(
    name: str, unit: str, meaning: str, shown_by: tuple[Process, ...] = ALL, **attributes: Values
) -> Counter:
    counter = _meter.create_counter(name, unit, meaning)
    CATALOG[name] = Metric(name, "counter", unit, meaning, shown_by, attributes, counter)
    return counter


def _gauge(
    name: str, unit: str, meaning: str, shown_by: tuple[Process, ...] = ALL, **attributes: Values
) -> Gauge:
    CATALOG[name] = Metric(name, "gauge", unit, meaning, shown_by, attributes)
    return _meter.create_gauge(name, unit, meaning)


def _request(name: str, kind: Kind, unit: str, meaning: str, *attributes: str) -> None:
    """One that FastAPI measures itself."""
    CATALOG[name] = Metric(name, kind, unit, meaning, API, dict.fromkeys(attributes, ()))


def _histogram(
    name: str,
    unit: str,
    meaning: str,
    bounds: Sequence[float],
    shown_by: tuple[Process, ...] = ALL,
    **attributes: Values,
) -> Histogram:
    CATALOG[name] = Metric(name, "histogram", unit, meaning, shown_by, attributes)
    return _meter.create_histogram(
        name, unit, meaning, explicit_bucket_boundaries_advisory=[float(one) for one in bounds]
    )


# Operations, as their callers see them (`telemetry.operations`)

OPERATION_DURATION = _histogram(
    "cart.operation.duration",
    "ms",
    "From the request for an operation to its answer, with the wait for the cart",
    OPERATION_MS,
    operation=(),
    outcome=(),
)
OPERATIONS = _counter(
    "cart.operation.count",
    "{operation}",
    "Operations that were asked for, by how they ended for their caller",
    operation=(),
    outcome=(),
)
OPERATION_ERRORS = _counter(
    "cart.operation.errors",
    "{operation}",
    "Operations that did not do what was asked for, by why",
    operation=(),
    error=(),
)
LOCKS_ACQUIRED = _counter(
    "cart.lock.acquisition.success",
    "{acquisition}",
    "Operations that got their cart, which is when their saga is started",
)
LOCKS_MISSED = _counter(
    "cart.lock.acquisition.failure",
    "{acquisition}",
    "Operations that did not: the cart, or the same key, was busy, or Temporal was away",
    error=("busy", "temporal_unavailable"),
)

# Sagas, as the worker ends them

SAGAS = _counter(
    "cart.saga.count",
    "{saga}",
    "Sagas that have ended, by how, whether or not anybody still waited",
    WORKER,
    operation=(),
    outcome=(),
)
UNDOS = _counter(
    "cart.saga.undo.count",
    "{saga}",
    "Sagas that were undone after they had begun to change something, by why",
    WORKER,
    operation=(),
    reason=(),
)
RESERVED = _counter(
    "cart.inventory.reservation.success", "{reservation}", "Holds that were granted", WORKER
)
NOT_RESERVED = _counter(
    "cart.inventory.reservation.failure",
    "{reservation}",
    "Tries of a hold that failed, by why; a saga tries up to three times",
    WORKER,
    error=("insufficient_stock", "timeout", "unavailable"),
)

# Events, out and in

PUBLISHED = _counter(
    "cart.event.publish.success",
    "{event}",
    "Events that Kafka has acknowledged, sent by sagas and relays",
    WORKER,
    topic=events.PUBLISHED,
)
NOT_PUBLISHED = _counter(
    "cart.event.publish.failure",
    "{event}",
    "Tries to publish an event that failed; it stays pending, and a relay tries again",
    WORKER,
    topic=events.PUBLISHED,
    error=("refused", "unavailable"),
)
OUTBOX_PENDING = _gauge(
    "cart.outbox.pending",
    "{effect}",
    "Effects of committed sagas that relays have still to do; each worker shows all there are",
    WORKER,
    kind=(),
)
OUTBOX_OLDEST = _gauge(
    "cart.outbox.oldest.age",
    "s",
    "How long the oldest of them has been pending; 0 without any",
    WORKER,
    kind=(),
)
DRIFTING_HOLDS = _gauge(
    "cart.drift.holds",
    "{hold}",
    "Products of carts of which more (orphaned_hold) or less (missing_hold) is held than the cart "
    "has; each worker shows all there are",
    WORKER,
    kind=(),
)
CONSUMED = _counter(
    "cart.event.consume.handled",
    "{event}",
    "Consumed events that have had their effect",
    CONSUMER,
    topic=incoming.CONSUMED,
)
RETRIED = _counter(
    "cart.event.consume.retries",
    "{try}",
    "Tries of a consumed event that failed for a passing reason",
    CONSUMER,
    topic=incoming.CONSUMED,
)
PARKED = _counter(
    "cart.event.consume.parked",
    "{event}",
    "Consumed events that can never have their effect, now in cart.dlq, by why",
    CONSUMER,
    topic=(),
    error=(),
)
CONSUMER_LAG = _gauge(
    "cart.event.consume.lag",
    "{event}",
    "Events of a partition that are not yet dealt with; 0 for one that another process has now",
    CONSUMER,
    topic=(),
    partition=(),
)

# The cache, and the systems that are asked

CACHE_HITS = _counter("cart.cache.hit", "{read}", "Reads of a cart that Redis answered", API)
CACHE_MISSES = _counter("cart.cache.miss", "{read}", "Reads of a cart that Redis has not", API)
REDIS_AWAY = _counter(
    "cart.redis.away",
    "{call}",
    "What was done without Redis; a rate_limit is a request that was let through uncounted",
    use=("cart", "stock", "rate_limit", "log_level"),
)
CALL_DURATION = _histogram(
    "cart.dependency.call.duration",
    "ms",
    "Calls of other systems, by how they ended; those an open circuit turned away are none",
    CALL_MS,
    dependency=(),
    call=(),
    outcome=(),
)
CIRCUIT_OPEN = _gauge(
    "cart.dependency.circuit.open",
    "1",
    "1 from when a circuit breaker opens until a call succeeds again, else 0",
    dependency=(),
    call=(),
)

# Requests, by OpenTelemetry's semantic conventions

_request(
    "http.server.active_requests",
    "gauge",
    "{request}",
    "Requests that are being answered",
    "http.request.method",
    "url.scheme",
)
_request(
    "http.server.request.duration",
    "histogram",
    "s",
    "Requests, by the template of their route and the status of their answer",
    "http.request.method",
    "http.route",
    "http.response.status_code",
    "url.scheme",
    "network.protocol.version",
    "error.type",
)

# The business, as the latest aggregation has it (`models.upkeep.figures`)

ITEMS_TOTAL = _gauge("cart.items.total", "{item}", "Units in all carts", WORKER)
VALUE_TOTAL = _gauge(
    "cart.value.total", "{money}", "What they cost, in each currency", WORKER, currency=()
)
ABANDONMENT_RATE = _gauge(
    "cart.abandonment.rate", "%", "Of the carts that ended in 30 days, those that expired", WORKER
)
CONVERSION_RATE = _gauge(
    "cart.conversion.rate", "%", "Of the carts that ended in 30 days, those ordered", WORKER
)
