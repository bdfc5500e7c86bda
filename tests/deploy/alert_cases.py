"""What Prometheus has seen of each fault, and what it must say: for `test_alerts`.

A sample comes every ten seconds. All is well for the first minutes; then, in each case, some
series go on in another way, and a minute later the alert must fire, and no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

EVERY_SECONDS = 10
EVERY = f"{EVERY_SECONDS}s"
WELL_STEPS = 15
FAULT_STEPS = 60
MISSING = f"_x{WELL_STEPS + 1}"
AT_FAULT = f"{WELL_STEPS * EVERY_SECONDS}s"
NAMED = f"{WELL_STEPS * EVERY_SECONDS + 60}s"

ADD = 'operation="AddItem"'
ROUTE = 'http_route="/api/v1/cart/{storeId}/store"'
CALLS = "cart_dependency_call_duration_milliseconds_count"
DURATION = "cart_operation_duration_milliseconds"
REQUESTS = "http_server_request_duration_seconds_count"
TOPIC = 'topic="order.completed"'


def goes_on(before: float, after: float) -> str:
    """A counter, by its steps."""
    turn = before * WELL_STEPS
    return f"0+{before}x{WELL_STEPS} {turn + after}+{after}x{FAULT_STEPS}"


def shows(before: float, after: float) -> str:
    """A gauge."""
    return f"{before}+0x{WELL_STEPS} {after}+0x{FAULT_STEPS}"


def appears(step: float) -> str:
    """A counter that was not there before: its first value is its first step."""
    return f"{MISSING} {step}+{step}x{FAULT_STEPS}"


def once() -> str:
    """One that appears with its only step."""
    return f"{MISSING} 1+0x{FAULT_STEPS}"


def goes() -> str:
    """One that ends with its process."""
    return f"1+0x{WELL_STEPS} stale"


WELL: dict[str, str] = {
    **{
        f'up{{job="{job}", instance="{instance}"}}': shows(1, 1)
        for job, instance in {
            "cart-api": "api:4007",
            "cart-worker": "worker:9464",
            "cart-consumer": "consumer:9465",
            "temporal": "temporal:8000",
        }.items()
    },
    **{
        f'cart_dependency_circuit_open{{dependency="{dependency}", call="{call}"}}': shows(0, 0)
        for dependency, call in {
            "temporal": "start",
            "inventory": "reserve",
            "redis": "command",
            "kafka": "publish",
        }.items()
    },
    **{
        f'{CALLS}{{dependency="{dependency}", call="{call}", outcome="ok"}}': goes_on(50, 50)
        for dependency, call in {
            "mongodb": "command",
            "temporal": "start",
            "inventory": "reserve",
            "redis": "command",
            "kafka": "publish",
        }.items()
    },
    # A call that fails now and then is none of them.
    f'{CALLS}{{dependency="inventory", call="reserve", outcome="timeout"}}': goes_on(1, 1),
    'temporal_long_request_failure_total{operation="PollWorkflowTaskQueue"}': goes_on(0, 0),
    f'{REQUESTS}{{{ROUTE}, http_response_status_code="201"}}': goes_on(100, 100),
    f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': goes_on(0, 0),
    f'{DURATION}_bucket{{{ADD}, le="100"}}': goes_on(99.5, 99.5),
    f'{DURATION}_bucket{{{ADD}, le="2500"}}': goes_on(100, 100),
    f'{DURATION}_bucket{{{ADD}, le="+Inf"}}': goes_on(100, 100),
    f"{DURATION}_count{{{ADD}}}": goes_on(100, 100),
    "cart_lock_acquisition_success_total": goes_on(100, 100),
    f'cart_saga_count_total{{{ADD}, outcome="committed"}}': goes_on(95, 95),
    f'cart_saga_count_total{{{ADD}, outcome="rejected"}}': goes_on(4, 4),
    f'cart_saga_count_total{{{ADD}, outcome="aborted"}}': goes_on(1, 1),
    f'cart_saga_undo_count_total{{{ADD}, reason="conflict"}}': goes_on(1, 1),
    f'cart_saga_undo_count_total{{{ADD}, reason="rejected"}}': goes_on(9, 9),
    'temporal_workflow_failed_total{workflow_type="Sweep"}': goes_on(0, 1),
    'cart_drift_holds{kind="orphaned_hold"}': shows(0, 0),
    'cart_drift_holds{kind="missing_hold"}': shows(0, 0),
    'cart_outbox_oldest_age_seconds{kind="events"}': shows(4, 4),
    'cart_outbox_oldest_age_seconds{kind="releases"}': shows(0, 0),
    f'cart_event_consume_lag{{{TOPIC}, partition="0"}}': shows(3, 3),
    f'cart_event_consume_lag{{{TOPIC}, partition="1"}}': shows(0, 0),
    f"cart_event_consume_handled_total{{{TOPIC}}}": goes_on(10, 10),
    f"cart_event_consume_retries_total{{{TOPIC}}}": goes_on(0, 0),
    'cart_redis_away_total{use="rate_limit"}': goes_on(0, 0),
    'cart_redis_away_total{use="cart"}': goes_on(0, 1),
}


@dataclass(frozen=True)
class Case:
    """A fault: the series that it changes, and the labels of the alert that names it."""

    what: str
    alert: str
    labels: Mapping[str, str]
    series: dict[str, str]
    by: str = NAMED
    severity: str = "critical"
    also: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Other alerts that rightly fire with it, and their labels."""


def away(dependency: str, call: str, alert: str, severity: str) -> Case:
    """A system with a circuit breaker that has gone."""
    return Case(
        f"{dependency} is away",
        alert,
        {"dependency": dependency},
        {
            f'cart_dependency_circuit_open{{dependency="{dependency}", call="{call}"}}': shows(
                0, 1
            ),
            f'{CALLS}{{dependency="{dependency}", call="{call}", outcome="ok"}}': goes_on(50, 0),
            f'{CALLS}{{dependency="{dependency}", call="{call}", outcome="unavailable"}}': appears(
                9
            ),
        },
        severity=severity,
    )


MONGODB = 'dependency="mongodb", call="command"'
WORKER_UP = 'up{job="cart-worker", instance="worker:9464"}'

CASES = (
    away("temporal", "start", "CartTemporalDown", "critical"),
    away("inventory", "reserve", "CartInventoryDown", "critical"),
    away("redis", "command", "CartRedisDown", "warning"),
    away("kafka", "publish", "CartKafkaDown", "warning"),
    Case(
        "mongodb is away, and only what a worker reads for its gauges fails",
        "CartMongoDBDown",
        {"dependency": "mongodb"},
        {
            f'{CALLS}{{{MONGODB}, outcome="ok"}}': goes_on(50, 0),
            f'{CALLS}{{{MONGODB}, outcome="timeout"}}': appears(1),
        },
    ),
    Case(
        "temporal is away, and nobody shops",
        "CartTemporalDown",
        {"dependency": "temporal"},
        {
            'temporal_long_request_failure_total{operation="PollWorkflowTaskQueue"}': goes_on(0, 9),
            f'{CALLS}{{dependency="temporal", call="start", outcome="ok"}}': goes_on(50, 0),
        },
    ),
    Case(
        "the worker does not answer",
        "CartProcessDown",
        {"job": "cart-worker"},
        {WORKER_UP: shows(1, 0)},
    ),
    Case(
        "there is no worker any more",
        "CartProcessDown",
        {"job": "cart-worker"},
        {WORKER_UP: goes()},
    ),
    Case(
        "one of two workers does not answer",
        "CartTargetDown",
        {"job": "cart-worker", "instance": "worker-2:9464"},
        {'up{job="cart-worker", instance="worker-2:9464"}': shows(1, 0)},
        by="230s",
        severity="warning",
    ),
    Case(
        "the worker is up and does nothing",
        "CartSagasStandStill",
        {},
        {
            f'cart_saga_count_total{{{ADD}, outcome="{outcome}"}}': goes_on(step, 0)
            for outcome, step in {"committed": 95, "rejected": 4, "aborted": 1}.items()
        },
    ),
    Case(
        "requests fail",
        "CartErrorBudgetBurnsFast",
        {"window": "5m"},
        {f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': goes_on(0, 50)},
    ),
    Case(
        "a few requests fail for long",
        "CartErrorBudgetBurnsSlowly",
        {"window": "30m"},
        {f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': goes_on(0, 1.2)},
        by="660s",
        severity="warning",
    ),
    Case(
        "tokens are signed with another key",
        "CartTokensRefused",
        {},
        {
            f'{REQUESTS}{{{ROUTE}, http_response_status_code="201"}}': goes_on(100, 0),
            f'{REQUESTS}{{{ROUTE}, http_response_status_code="401"}}': goes_on(1, 100),
        },
        severity="warning",
    ),
    Case(
        "one add in fifty is slow",
        "CartAddsSlow",
        {},
        {f'{DURATION}_bucket{{{ADD}, le="100"}}': goes_on(99.5, 95)},
        severity="warning",
    ),
    Case(
        "changes are undone",
        "CartSagasUndone",
        {},
        {
            f'cart_saga_undo_count_total{{{ADD}, reason="inventory_unavailable"}}': goes_on(0, 30),
        },
        severity="warning",
    ),
    Case(
        "the first saga of a kind fails",
        "CartSagaFailed",
        {"workflow_type": "AddItem"},
        {'temporal_workflow_failed_total{workflow_type="AddItem"}': once()},
        severity="warning",
    ),
    Case(
        "a hold has leaked",
        "CartDrift",
        {"kind": "orphaned_hold"},
        {'cart_drift_holds{kind="orphaned_hold"}': shows(0, 1)},
        severity="warning",
    ),
    Case(
        "the first cart is repaired",
        "CartDriftRepaired",
        {},
        {'cart_saga_count_total{operation="RepairCart", outcome="committed"}': once()},
        severity="warning",
    ),
    Case(
        "a relay is paused",
        "CartRelayBehind",
        {"kind": "events"},
        {
            'cart_outbox_oldest_age_seconds{kind="events"}': f"4+0x{WELL_STEPS} 5+10x{FAULT_STEPS}",
        },
        severity="warning",
    ),
    Case(
        "the consumer hangs",
        "CartConsumerStuck",
        {"topic": "order.completed"},
        {f"cart_event_consume_handled_total{{{TOPIC}}}": goes_on(10, 0)},
    ),
    Case(
        "an event is tried again and again",
        "CartConsumerBehind",
        {"topic": "order.completed"},
        {f"cart_event_consume_retries_total{{{TOPIC}}}": goes_on(0, 2)},
        by="480s",
        severity="warning",
    ),
    Case(
        "more events come than are dealt with",
        "CartConsumerBehind",
        {"topic": "order.completed"},
        {f'cart_event_consume_lag{{{TOPIC}, partition="0"}}': shows(3, 900)},
        by="480s",
        severity="warning",
    ),
    Case(
        "one poison message",
        "CartEventsParked",
        {"topic": "order.completed", "error": "malformed"},
        {f'cart_event_consume_parked_total{{{TOPIC}, error="malformed"}}': once()},
        severity="warning",
    ),
    Case(
        "requests are not counted",
        "CartRateLimiterOpen",
        {},
        {'cart_redis_away_total{use="rate_limit"}': goes_on(0, 9)},
        severity="warning",
    ),
)
