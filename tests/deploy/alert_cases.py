"""The series of each fault and the alert that must fire, for `test_alerts`.

There is a sample every ten seconds. The first minutes are normal; then some series change in each
case, and a minute later exactly its alert must fire.
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
TIMES = "cart_dependency_call_duration_milliseconds_sum"
FAILING = "cart_dependency_failing"
DURATION = "cart_operation_duration_milliseconds"
REQUESTS = "http_server_request_duration_seconds_count"
TOPIC = 'topic="order.completed"'
PUBLISHED = 'topic="cart.item.added"'
KINDS_OF_CALLS = {
    ("mongodb", "command"),
    ("temporal", "start"),
    ("inventory", "reserve"),
    ("inventory", "release"),
    ("inventory", "check"),
    ("product_service", "product"),
    ("redis", "command"),
    ("kafka", "publish"),
}


def counter(before: float, after: float) -> str:
    """A counter with these steps before and after the fault."""
    turn = before * WELL_STEPS
    return f"0+{before}x{WELL_STEPS} {turn + after}+{after}x{FAULT_STEPS}"


def gauge(before: float, after: float) -> str:
    """A gauge with these values before and after the fault."""
    return f"{before}+0x{WELL_STEPS} {after}+0x{FAULT_STEPS}"


def new_counter(step: float) -> str:
    """A counter that appears with the fault; its first value is its first step."""
    return f"{MISSING} {step}+{step}x{FAULT_STEPS}"


def single_step() -> str:
    """A counter that appears with its only step."""
    return f"{MISSING} 1+0x{FAULT_STEPS}"


def ending_series() -> str:
    """A series that ends with its process."""
    return f"1+0x{WELL_STEPS} stale"


def flapping() -> str:
    """A process that answers every other time after the fault."""
    return f"1+0x{WELL_STEPS} " + " ".join("0 1" for _ in range(FAULT_STEPS // 2))


WELL: dict[str, str] = {
    **{
        f'up{{job="{job}", instance="{instance}"}}': gauge(1, 1)
        for job, instance in {
            "cart-api": "api:4007",
            "cart-worker": "worker:9464",
            "cart-consumer": "consumer:9465",
            "temporal": "temporal:8000",
        }.items()
    },
    **{
        f'cart_dependency_circuit_open{{dependency="{dependency}", call="{call}"}}': gauge(0, 0)
        for dependency, call in KINDS_OF_CALLS
        if dependency != "mongodb"
    },
    **{
        f'{metric}{{dependency="{dependency}", call="{call}", outcome="ok"}}': counter(step, step)
        for dependency, call in KINDS_OF_CALLS
        for metric, step in ((CALLS, 50), (TIMES, 600))  # 12 ms
    },
    **{
        f'{FAILING}{{dependency="{dependency}", call="{call}"}}': gauge(0, 0)
        for dependency, call in {*KINDS_OF_CALLS, ("kafka", "consume")} - {("mongodb", "command")}
    },
    'cart_setup_missing{kind="topic"}': gauge(0, 0),
    'cart_setup_missing{kind="index"}': gauge(0, 0),
    "cart_mongodb_disk_used_percent": gauge(71, 71),
    f"cart_event_topic_leaderless{{{PUBLISHED}}}": gauge(0, 0),
    f"cart_event_publish_success_total{{{PUBLISHED}}}": counter(50, 50),
    f'cart_event_publish_failure_total{{{PUBLISHED}, error="unavailable"}}': counter(0, 0),
    # A call that fails now and then is none of them.
    f'{CALLS}{{dependency="inventory", call="reserve", outcome="timeout"}}': counter(1, 1),
    'temporal_long_request_failure_total{operation="PollWorkflowTaskQueue"}': counter(0, 0),
    f'{REQUESTS}{{{ROUTE}, http_response_status_code="201"}}': counter(100, 100),
    f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': counter(0, 0),
    f'{DURATION}_bucket{{{ADD}, le="100"}}': counter(99.5, 99.5),
    f'{DURATION}_bucket{{{ADD}, le="2500"}}': counter(100, 100),
    f'{DURATION}_bucket{{{ADD}, le="+Inf"}}': counter(100, 100),
    f"{DURATION}_count{{{ADD}}}": counter(100, 100),
    "cart_lock_acquisition_success_total": counter(100, 100),
    f'cart_saga_count_total{{{ADD}, outcome="committed"}}': counter(95, 95),
    f'cart_saga_count_total{{{ADD}, outcome="rejected"}}': counter(4, 4),
    f'cart_saga_count_total{{{ADD}, outcome="aborted"}}': counter(1, 1),
    f'cart_saga_undo_count_total{{{ADD}, reason="conflict"}}': counter(1, 1),
    f'cart_saga_undo_count_total{{{ADD}, reason="rejected"}}': counter(9, 9),
    'temporal_workflow_failed_total{workflow_type="Sweep"}': counter(0, 1),
    'cart_pause_age_seconds{kind="relay"}': gauge(0, 600),
    'cart_pause_age_seconds{kind="store"}': gauge(0, 0),
    'cart_drift_holds{kind="orphaned_hold"}': gauge(0, 0),
    'cart_drift_holds{kind="missing_hold"}': gauge(0, 0),
    'cart_outbox_oldest_age_seconds{kind="event"}': gauge(4, 4),
    'cart_outbox_oldest_age_seconds{kind="release"}': gauge(0, 0),
    f'cart_event_consume_lag{{{TOPIC}, partition="0"}}': gauge(3, 3),
    f'cart_event_consume_lag{{{TOPIC}, partition="1"}}': gauge(0, 0),
    f"cart_event_consume_handled_total{{{TOPIC}}}": counter(10, 10),
    f"cart_event_consume_retries_total{{{TOPIC}}}": counter(0, 0),
    'cart_redis_away_total{use="rate_limit"}': counter(0, 0),
    'cart_redis_away_total{use="cart"}': counter(0, 1),
}


@dataclass(frozen=True)
class Case:
    """A fault: the series that it changes, and its alert with labels."""

    what: str
    alert: str
    labels: Mapping[str, str]
    series: dict[str, str]
    by: str = NAMED
    severity: str = "critical"
    also: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Other alerts that also fire, and their labels."""


def outage(dependency: str, call: str, alert: str, severity: str) -> Case:
    """An outage of a system with a circuit breaker."""
    labels = f'dependency="{dependency}", call="{call}"'
    return Case(
        f"{dependency} is down",
        alert,
        {"dependency": dependency},
        {
            f"cart_dependency_circuit_open{{{labels}}}": gauge(0, 1),
            f'{CALLS}{{{labels}, outcome="ok"}}': counter(50, 0),
            f'{CALLS}{{{labels}, outcome="unavailable"}}': new_counter(9),
        },
        severity=severity,
    )


def refusals(dependency: str, alert: str, severity: str) -> Case:
    """A system that answers, and refuses every fifth command."""
    labels = f'dependency="{dependency}", call="command"'
    return Case(
        f"{dependency} refuses writes",
        alert,
        {"dependency": dependency},
        {
            f'{CALLS}{{{labels}, outcome="ok"}}': counter(50, 40),
            f'{CALLS}{{{labels}, outcome="refused"}}': new_counter(10),
        },
        severity=severity,
    )


def slowness(dependency: str, call: str, milliseconds: int) -> Case:
    """A kind of call that takes so long from the fault on, and 12 ms before."""
    labels = f'{{dependency="{dependency}", call="{call}", outcome="ok"}}'
    return Case(
        f"{dependency} {call} takes {milliseconds} ms",
        "CartDependencySlow",
        {"dependency": dependency, "call": call},
        {f"{TIMES}{labels}": counter(600, 50 * milliseconds)},
        severity="warning",
    )


def failing(dependency: str, call: str, alert: str) -> Case:
    """Three subjects for which a call keeps failing, while others work."""
    return Case(
        f"{dependency} {call} fails for three",
        alert,
        {"dependency": dependency, "call": call},
        {f'{FAILING}{{dependency="{dependency}", call="{call}"}}': gauge(0, 3)},
        severity="warning",
    )


def missing(kind: str) -> Case:
    return Case(
        f"one {kind} was deleted",
        "CartSetupMissing",
        {"kind": kind},
        {f'cart_setup_missing{{kind="{kind}"}}': gauge(0, 1)},
    )


def forgotten(kind: str) -> Case:
    """A pause of a relay or a store that is half an hour old at the fault."""
    begin = 1790 - EVERY_SECONDS * WELL_STEPS
    series = {
        f'cart_pause_age_seconds{{kind="{kind}"}}': f"{begin}+{EVERY_SECONDS}x{2 * FAULT_STEPS}"
    }
    what = f"a {kind} was paused half an hour ago"
    return Case(what, "CartPauseForgotten", {"kind": kind}, series, severity="warning")


MONGODB = 'dependency="mongodb", call="command"'
WORKER_UP = 'up{job="cart-worker", instance="worker:9464"}'

CASES = (
    outage("temporal", "start", "CartTemporalDown", "critical"),
    outage("inventory", "reserve", "CartInventoryDown", "critical"),
    outage("inventory", "release", "CartReleasesFail", "warning"),
    outage("inventory", "check", "CartStockNotShown", "warning"),
    outage("product_service", "product", "CartPricesDown", "critical"),
    outage("redis", "command", "CartRedisDown", "warning"),
    outage("kafka", "publish", "CartKafkaDown", "warning"),
    slowness("inventory", "reserve", 1500),
    slowness("inventory", "reserve", 400),
    slowness("redis", "command", 300),
    slowness("mongodb", "command", 500),
    failing("inventory", "reserve", "CartProductsFail"),
    failing("inventory", "release", "CartProductsFail"),
    failing("inventory", "check", "CartProductsFail"),
    failing("product_service", "product", "CartProductsFail"),
    failing("kafka", "consume", "CartEventWaits"),
    missing("topic"),
    missing("index"),
    refusals("mongodb", "CartMongoDBRefuses", "critical"),
    refusals("redis", "CartRedisRefuses", "warning"),
    Case(
        "the disk of mongodb is nearly full",
        "CartMongoDBDiskFull",
        {},
        {"cart_mongodb_disk_used_percent": gauge(71, 94)},
        severity="warning",
    ),
    Case(
        "a partition has no leader, and no event is for it",
        "CartTopicFails",
        {"topic": "cart.item.added"},
        {f"cart_event_topic_leaderless{{{PUBLISHED}}}": gauge(0, 1)},
        severity="warning",
    ),
    Case(
        "a partition takes no events, and the others of its topic do",
        "CartTopicFails",
        {"topic": "cart.item.added"},
        {f'cart_event_publish_failure_total{{{PUBLISHED}, error="unavailable"}}': counter(0, 1)},
        severity="warning",
    ),
    Case(
        "mongodb is frozen, and probes of a health check are cancelled",
        "CartMongoDBDown",
        {"dependency": "mongodb"},
        {
            f'{CALLS}{{dependency="mongodb", call="command", outcome="ok"}}': counter(50, 0),
            f'{CALLS}{{dependency="mongodb", call="command", outcome="timeout"}}': new_counter(1),
            f'{CALLS}{{dependency="mongodb", call="command", outcome="cancelled"}}': new_counter(5),
        },
    ),
    Case(
        "mongodb is down, and only the reads for a worker's gauges fail",
        "CartMongoDBDown",
        {"dependency": "mongodb"},
        {
            f'{CALLS}{{{MONGODB}, outcome="ok"}}': counter(50, 0),
            f'{CALLS}{{{MONGODB}, outcome="timeout"}}': new_counter(1),
        },
    ),
    Case(
        "temporal is down without traffic",
        "CartTemporalDown",
        {"dependency": "temporal"},
        {
            'temporal_long_request_failure_total{operation="PollWorkflowTaskQueue"}': counter(0, 9),
            f'{CALLS}{{dependency="temporal", call="start", outcome="ok"}}': counter(50, 0),
        },
    ),
    Case(
        "the worker does not answer",
        "CartProcessDown",
        {"job": "cart-worker"},
        {WORKER_UP: gauge(1, 0)},
    ),
    Case(
        "the worker is gone",
        "CartProcessDown",
        {"job": "cart-worker"},
        {WORKER_UP: ending_series()},
    ),
    Case(
        "one of two workers does not answer",
        "CartTargetDown",
        {"job": "cart-worker", "instance": "worker-2:9464"},
        {'up{job="cart-worker", instance="worker-2:9464"}': gauge(1, 0)},
        by="230s",
        severity="warning",
    ),
    Case(
        "the worker is up and does nothing",
        "CartSagasStandStill",
        {},
        {
            f'cart_saga_count_total{{{ADD}, outcome="{outcome}"}}': counter(step, 0)
            for outcome, step in {"committed": 95, "rejected": 4, "aborted": 1}.items()
        },
    ),
    Case(
        "requests fail",
        "CartErrorBudgetBurnsFast",
        {"window": "5m"},
        {f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': counter(0, 50)},
    ),
    Case(
        "a few requests fail for long",
        "CartErrorBudgetBurnsSlowly",
        {"window": "30m"},
        {f'{REQUESTS}{{{ROUTE}, http_response_status_code="503"}}': counter(0, 1.2)},
        by="660s",
        severity="warning",
    ),
    Case(
        "tokens are signed with another key",
        "CartTokensRefused",
        {},
        {
            f'{REQUESTS}{{{ROUTE}, http_response_status_code="201"}}': counter(100, 0),
            f'{REQUESTS}{{{ROUTE}, http_response_status_code="401"}}': counter(1, 100),
        },
        severity="warning",
    ),
    Case(
        "one add in fifty is slow",
        "CartAddsSlow",
        {},
        {f'{DURATION}_bucket{{{ADD}, le="100"}}': counter(99.5, 95)},
        severity="warning",
    ),
    Case(
        "changes are undone",
        "CartSagasUndone",
        {},
        {
            f'cart_saga_undo_count_total{{{ADD}, reason="inventory_unavailable"}}': counter(0, 30),
        },
        severity="warning",
    ),
    Case(
        "the first saga of a kind fails",
        "CartSagaFailed",
        {"workflow_type": "AddItem"},
        {'temporal_workflow_failed_total{workflow_type="AddItem"}': single_step()},
        severity="warning",
    ),
    Case(
        "a hold has leaked",
        "CartDrift",
        {"kind": "orphaned_hold"},
        {'cart_drift_holds{kind="orphaned_hold"}': gauge(0, 1)},
        severity="warning",
    ),
    Case(
        "the first cart is repaired",
        "CartDriftRepaired",
        {},
        {'cart_saga_count_total{operation="RepairCart", outcome="committed"}': single_step()},
        severity="warning",
    ),
    Case(
        "a relay is paused",
        "CartRelayBehind",
        {"kind": "event"},
        {
            'cart_outbox_oldest_age_seconds{kind="event"}': f"4+0x{WELL_STEPS} 5+10x{FAULT_STEPS}",
        },
        severity="warning",
    ),
    *(forgotten(kind) for kind in ("relay", "store")),
    Case(
        "the consumer may not read a topic",
        "CartTopicRefused",
        {"topic": "order.completed"},
        {
            f"cart_event_consume_refused{{{TOPIC}}}": f"{MISSING} 1+0x{FAULT_STEPS}",
            # What it may not read has no known lag.
            **{
                f'cart_event_consume_lag{{{TOPIC}, partition="{partition}"}}': gauge(0, 0)
                for partition in (0, 1)
            },
            f"cart_event_consume_handled_total{{{TOPIC}}}": counter(10, 0),
        },
    ),
    Case(
        "the consumer hangs",
        "CartConsumerStuck",
        {"topic": "order.completed"},
        {f"cart_event_consume_handled_total{{{TOPIC}}}": counter(10, 0)},
    ),
    Case(
        "no consumer is in its group",
        "CartConsumerOutOfGroup",
        {},
        {
            f'cart_event_consume_lag{{{TOPIC}, partition="{partition}"}}': ending_series()
            for partition in (0, 1)
        },
    ),
    Case(
        "a consumer fails and is restarted again and again",
        "CartConsumerOutOfGroup",
        {},
        {
            'up{job="cart-consumer", instance="consumer:9465"}': flapping(),
            **{
                f'cart_event_consume_lag{{{TOPIC}, partition="{partition}"}}': ending_series()
                for partition in (0, 1)
            },
        },
    ),
    Case(
        "an event is retried without success",
        "CartConsumerBehind",
        {"topic": "order.completed"},
        {f"cart_event_consume_retries_total{{{TOPIC}}}": counter(0, 2)},
        by="480s",
        severity="warning",
    ),
    Case(
        "more events arrive than are processed",
        "CartConsumerBehind",
        {"topic": "order.completed"},
        {f'cart_event_consume_lag{{{TOPIC}, partition="0"}}': gauge(3, 900)},
        by="480s",
        severity="warning",
    ),
    Case(
        "one order that cannot be booked in full",
        "CartOrderShort",
        {},
        {f'cart_event_consume_parked_total{{{TOPIC}, error="order_shortfall"}}': single_step()},
    ),
    Case(
        "one unusable message",
        "CartEventsParked",
        {"topic": "order.completed", "error": "malformed"},
        {f'cart_event_consume_parked_total{{{TOPIC}, error="malformed"}}': single_step()},
        severity="warning",
    ),
    Case(
        "requests are not counted",
        "CartRateLimiterOpen",
        {},
        {'cart_redis_away_total{use="rate_limit"}': counter(0, 9)},
        severity="warning",
    ),
)
