"""Every metric of the service, as OpenTelemetry instruments.

An instrument costs almost nothing until a process serves its metrics (`telemetry.exposition`).
`docs/metrics.md` describes them for operators, with their names at `/metrics`.

Attributes have few values: the operation, its outcome, the dependency. They never hold ids of
stores, users, products or carts, or other values that a client can choose.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation, get_meter
from opentelemetry.metrics import _Gauge as Gauge

from models import events, incoming

Process = Literal["api", "worker", "consumer"]
Kind = Literal["counter", "gauge", "histogram"]
Values = Collection[str]
"""The values of an attribute; empty if they are few but not listed here."""

ALL: tuple[Process, ...] = ("api", "worker", "consumer")
API: tuple[Process, ...] = ("api",)
WORKER: tuple[Process, ...] = ("worker",)
CONSUMER: tuple[Process, ...] = ("consumer",)

OPERATION_MS = (5, 10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000, 10_000)
CALL_MS = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)


# What Prometheus appends to a name; it ignores units in braces.
_SUFFIXES = {"ms": "_milliseconds", "s": "_seconds", "%": "_percent"}


@dataclass(frozen=True, slots=True)
class Metric:
    """An instrument's metadata; `shown_by` are the processes that record it."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    shown_by: tuple[Process, ...]
    attributes: Mapping[str, Values]
    counter: Counter | None = field(default=None, compare=False)

    @property
    def shown_as(self) -> str:
        """The name at `/metrics`; histograms add `_bucket`, `_count` or `_sum`."""
        total = "_total" if self.kind == "counter" else ""
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "") + total

    def show_zeros(self) -> None:
        """Starts a counter with listed values at 0, so that its first increment is visible."""
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


class CurrentValues:
    """The values of a gauge that are known now. A value that is not known has no sample."""

    def __init__(self) -> None:
        self._values: dict[tuple[tuple[str, str], ...], float] = {}

    def set(self, value: float, attributes: Mapping[str, str]) -> None:
        self._values[tuple(attributes.items())] = value

    def forget(self, attributes: Mapping[str, str]) -> None:
        self._values.pop(tuple(attributes.items()), None)

    def observations(self, _: CallbackOptions) -> Iterable[Observation]:
        """Called in the thread of a scrape."""
        return [Observation(value, dict(known)) for known, value in [*self._values.items()]]


def _gauge_of_known(
    name: str, unit: str, meaning: str, shown_by: tuple[Process, ...] = ALL, **attributes: Values
) -> CurrentValues:
    CATALOG[name] = Metric(name, "gauge", unit, meaning, shown_by, attributes)
    values = CurrentValues()
    _meter.create_observable_gauge(name, [values.observations], unit, meaning)
    return values


def _request(name: str, kind: Kind, unit: str, meaning: str, *attributes: str) -> None:
    """Registers a metric that FastAPI records itself."""
    CATALOG[name] = Metric(name, kind, unit, meaning, API, dict.fromkeys(attributes, ()))


def _histogram(
    name: str, unit: str, meaning: str, bounds: Sequence[float], **attributes: Values
) -> Histogram:
    CATALOG[name] = Metric(name, "histogram", unit, meaning, ALL, attributes)
    return _meter.create_histogram(
        name, unit, meaning, explicit_bucket_boundaries_advisory=[float(one) for one in bounds]
    )


# Operations, as their callers see them (`telemetry.operations`)

OPERATION_DURATION = _histogram(
    "cart.operation.duration",
    "ms",
    "Time from the request for an operation to its answer, including the wait for the cart",
    OPERATION_MS,
    operation=(),
    outcome=(),
)
OPERATIONS = _counter(
    "cart.operation.count",
    "{operation}",
    "Requested operations, by the outcome that their caller saw",
    operation=(),
    outcome=(),
)
OPERATION_ERRORS = _counter(
    "cart.operation.errors",
    "{operation}",
    "Operations that did not succeed, by reason",
    operation=(),
    error=(),
)
LOCKS_ACQUIRED = _counter(
    "cart.lock.acquisition.success",
    "{acquisition}",
    "Operations that acquired their cart, which is when their saga starts",
)
LOCKS_MISSED = _counter(
    "cart.lock.acquisition.failure",
    "{acquisition}",
    "Operations that did not: the cart or the key was busy, or Temporal was unavailable",
    error=("busy", "temporal_unavailable"),
)

# Live carts

LIVE_STREAMS = _gauge("cart.live.streams", "{stream}", "Open live carts of the process", API)
LIVE_EVENTS = _counter(
    "cart.live.events",
    "{event}",
    "Events sent to live carts",
    API,
    event=("cart", "cart_deleted", "unavailable", "available"),
)
LIVE_REFUSED = _counter(
    "cart.live.refused",
    "{stream}",
    "Live carts that were refused, by the limit",
    API,
    limit=("user", "process"),
)

# Sagas, as the worker ends them

SAGAS = _counter(
    "cart.saga.count",
    "{saga}",
    "Finished sagas, by outcome, whether or not a caller still waited",
    WORKER,
    operation=(),
    outcome=(),
)
UNDOS = _counter(
    "cart.saga.undo.count",
    "{saga}",
    "Sagas that were rolled back after their first change, by reason",
    WORKER,
    operation=(),
    reason=(),
)
RESERVED = _counter(
    "cart.inventory.reservation.success", "{reservation}", "Successful reservations", WORKER
)
NOT_RESERVED = _counter(
    "cart.inventory.reservation.failure",
    "{reservation}",
    "Failed attempts to reserve, by reason; a saga tries up to three times",
    WORKER,
    error=("insufficient_stock", "product_not_accepted", "timeout", "unavailable"),
)

# Events, out and in

PUBLISHED = _counter(
    "cart.event.publish.success",
    "{event}",
    "Events sent by sagas and relays that Kafka acknowledged",
    WORKER,
    topic=events.PUBLISHED,
)
NOT_PUBLISHED = _counter(
    "cart.event.publish.failure",
    "{event}",
    "Failed attempts to publish an event, which stays pending until a relay sends it",
    WORKER,
    topic=events.PUBLISHED,
    error=("refused", "unavailable"),
)
OUTBOX_PENDING = _gauge_of_known(
    "cart.outbox.pending",
    "{record}",
    "Operations with effects that relays have yet to do, counted up to 10,000; each worker shows "
    "the total",
    WORKER,
    kind=(),
)
OUTBOX_OLDEST = _gauge_of_known(
    "cart.outbox.oldest.age",
    "s",
    "Age of the oldest pending effect; 0 if there is none",
    WORKER,
    kind=(),
)
DRIFTING_HOLDS = _gauge_of_known(
    "cart.drift.holds",
    "{hold}",
    "Products of carts with more (orphaned_hold) or fewer (missing_hold) units held than the cart "
    "has; each worker shows the total",
    WORKER,
    kind=(),
)
PAUSE_AGE = _gauge_of_known(
    "cart.pause.age",
    "s",
    "Time since the oldest pause by an operator that has not ended, of a relay or a store; 0 if "
    "there is none",
    WORKER,
    kind=("relay", "store"),
)
TOPICS_WITHOUT_LEADER = _gauge_of_known(
    "cart.event.topic.leaderless",
    "{partition}",
    "Partitions of a topic that have no leader, so that nothing is published to them or read",
    WORKER,
    topic=(),
)
SETUP_MISSING = _gauge_of_known(
    "cart.setup.missing",
    "{thing}",
    "Topics and indexes that the service needs and that do not exist; `cart setup` creates them",
    WORKER,
    kind=("topic", "index"),
)
MONGODB_DISK_USED = _gauge_of_known(
    "cart.mongodb.disk.used", "%", "Used share of the disk that has MongoDB's data", WORKER
)
CONSUMED = _counter(
    "cart.event.consume.handled",
    "{event}",
    "Consumed events that took effect",
    CONSUMER,
    topic=incoming.CONSUMED,
)
RETRIED = _counter(
    "cart.event.consume.retries",
    "{try}",
    "Failed attempts to handle a consumed event, for a temporary reason",
    CONSUMER,
    topic=incoming.CONSUMED,
)
PARKED = _counter(
    "cart.event.consume.parked",
    "{event}",
    "Consumed events that can never take effect, moved to cart.dlq, by reason",
    CONSUMER,
    topic=(),
    error=(),
)
ORDER_UNITS_SHORT = _counter(
    "cart.order.units.short",
    "{unit}",
    "Units of completed orders that are neither reserved nor available any more",
    CONSUMER,
)
CONSUMER_LAG = _gauge_of_known(
    "cart.event.consume.lag",
    "{event}",
    "Events of a partition not yet handled; only from the process that reads the partition",
    CONSUMER,
    topic=(),
    partition=(),
)

TOPIC_REFUSED = _gauge_of_known(
    "cart.event.consume.refused",
    "1",
    "1 while Kafka does not let this consumer read a topic",
    CONSUMER,
    topic=incoming.CONSUMED,
)

# The cache, and calls to other systems

_CACHES = ("cart", "inventory")
CACHE_HITS = _counter(
    "cart.cache.hit", "{entry}", "Carts, and stock of products, found in Redis", API, cache=_CACHES
)
CACHE_MISSES = _counter(
    "cart.cache.miss",
    "{entry}",
    "Carts, and stock of products, not found in Redis",
    API,
    cache=_CACHES,
)
REDIS_AWAY = _counter(
    "cart.redis.away",
    "{call}",
    "Work done without Redis; rate_limit: a request passed uncounted",
    use=("cart", "stock", "rate_limit", "log_level"),
)
REDIS_REJECTED = _counter(
    "cart.redis.rejected",
    "{value}",
    "Values in Redis that this service has not written so; each counts as absent",
    use=("cart", "stock", "reply", "log_level"),
)
CALL_DURATION = _histogram(
    "cart.dependency.call.duration",
    "ms",
    "Calls to other systems, by outcome, without calls rejected by an open circuit",
    CALL_MS,
    dependency=(),
    call=(),
    outcome=(),
)
CIRCUIT_OPEN = _gauge(
    "cart.dependency.circuit.open",
    "1",
    "1 from the opening of a circuit breaker until a call succeeds, else 0",
    dependency=(),
    call=(),
)

FAILING_SUBJECTS = _gauge(
    "cart.dependency.failing",
    "{subject}",
    "Products, partitions (kafka, publish) or consumed events (kafka, consume) that keep failing, "
    "as one process sees them; `cart doctor` names them",
    dependency=(),
    call=(),
)

# Requests, by OpenTelemetry's semantic conventions

_request(
    "http.server.active_requests",
    "gauge",
    "{request}",
    "Requests in progress",
    "http.request.method",
    "url.scheme",
)
_request(
    "http.server.request.duration",
    "histogram",
    "s",
    "Requests, by route template and response status",
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
    "cart.value.total", "{money}", "Their total price, by currency", WORKER, currency=()
)
ABANDONMENT_RATE = _gauge(
    "cart.abandonment.rate", "%", "Share of expired carts among those that ended in 30 days", WORKER
)
CONVERSION_RATE = _gauge(
    "cart.conversion.rate", "%", "Share of ordered carts among those that ended in 30 days", WORKER
)
