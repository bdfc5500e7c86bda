"""What each dashboard asks. `docs/metrics.md` has the meaning of every metric.

Each process counts what went through it: add those up. Gauges that every worker reads from MongoDB
are the same in all: take the `max`.
"""

from collections.abc import Sequence

from deploy.grafana.panels import WIDTH, Board, Panel, Query, Unit

API = 'http_route=~"/api/.+"'
CALLS = "cart_dependency_call_duration_milliseconds"
REQUESTS = "http_server_request_duration_seconds"
HALF = WIDTH // 2
QUARTER = WIDTH // 4


def _rate(metric: str, *by: str, where: str = "") -> Query:
    """So many a second, by some labels."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return Query(f"sum{grouped} (rate({metric}{_chosen(where)}[$__rate_interval]))", _named(by))


def _quantile(of_100: int, histogram: str, *by: str, where: str = "") -> Query:
    """What so many of 100 do not exceed."""
    labels = ", ".join(("le", *by))
    rate = f"rate({histogram}_bucket{_chosen(where)}[$__rate_interval])"
    legend = f"{_named(by)} p{of_100}".strip()
    return Query(f"histogram_quantile({of_100 / 100:g}, sum by ({labels}) ({rate}))", legend)


def _chosen(where: str) -> str:
    return f"{{{where}}}" if where else ""


def _named(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)


def _stat(title: str, expr: str, means: str = "", *, unit: Unit = "short") -> Panel:
    return Panel(title, [Query(expr)], means, unit=unit, kind="stat", width=QUARTER)


SERVICE = Board(
    "service",
    "service",
    [
        _stat(
            "Alerts",
            'count(ALERTS{alertname=~"Cart.+", alertstate="firing"}) or vector(0)',
            "How many fire; which ones: the last panel, and docs/runbook.md.",
        ),
        _stat(
            "Answered without an error",
            f'1 - (sum(rate({REQUESTS}_count{{{API}, http_response_status_code=~"5.."}}[$__range]))'
            f" or vector(0)) / sum(rate({REQUESTS}_count{{{API}}}[$__range]))",
            "Of the requests in the time that is shown, those not answered with 5xx.",
            unit="percentunit",
        ),
        _stat(
            "Changes a second",
            "sum(rate(cart_operation_count_total[$__rate_interval]))",
            "Of carts, however they ended.",
        ),
        _stat(
            "An add takes",
            _quantile(95, "cart_operation_duration_milliseconds", where='operation="AddItem"').expr,
            "At most, for 95 of 100.",
            unit="ms",
        ),
        Panel(
            "Requests by status",
            [_rate(f"{REQUESTS}_count", "http_response_status_code", where=API)],
            "409: the cart is busy. 429: the rate limit. 503: a system is away, or intake is held.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Requests by route",
            [_rate(f"{REQUESTS}_count", "http_request_method", "http_route", where=API)],
            unit="reqps",
        ),
        Panel(
            "How long requests take, 95 of 100",
            [_quantile(95, REQUESTS, "http_request_method", "http_route", where=API)],
            unit="s",
        ),
        Panel(
            "Operations",
            [_rate("cart_operation_count_total", "operation")],
            "As callers asked for them: shoppers, and events of other services.",
            unit="reqps",
        ),
        Panel(
            "How they end",
            [_rate("cart_operation_count_total", "outcome")],
            "pending: answered with 202. rejected: the business says no. unavailable: 503.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Errors, by why",
            [_rate("cart_operation_errors_total", "operation", "error")],
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "How long operations take",
            [
                _quantile(50, "cart_operation_duration_milliseconds", "operation"),
                _quantile(95, "cart_operation_duration_milliseconds", "operation"),
                _quantile(99, "cart_operation_duration_milliseconds", "operation"),
            ],
            "From the request to the answer, with the wait for the cart.",
            unit="ms",
        ),
        Panel(
            "Carts that were not got",
            [_rate("cart_lock_acquisition_failure_total", "error")],
            "busy: another operation on the cart took too long; a client that sends twice.",
            unit="reqps",
        ),
        Panel(
            "Error budget",
            [Query("cart:request_errors:ratio", "{{window}}")],
            "The share of requests that failed, over windows. 0.001 uses the budget up exactly.",
            unit="percentunit",
        ),
        Panel(
            "Processes",
            [Query('sum by (job) (up{job=~"cart-.+"})', "{{job}}")],
            "That answer Prometheus.",
        ),
        Panel(
            "Processor time",
            [
                Query(
                    'rate(process_cpu_seconds_total{job=~"cart-.+"}[$__rate_interval])',
                    "{{job}} {{instance}}",
                )
            ],
            "A process uses one core at most: near 1 it is time for another.",
        ),
        Panel(
            "Memory",
            [Query('process_resident_memory_bytes{job=~"cart-.+"}', "{{job}} {{instance}}")],
            unit="bytes",
        ),
        Panel(
            "Alerts that fire",
            [Query('sum by (alertname) (ALERTS{alertname=~"Cart.+", alertstate="firing"})')],
            "Each has its section in docs/runbook.md.",
            stacked=True,
            width=WIDTH,
        ),
    ],
)

SAGAS = Board(
    "sagas",
    "sagas",
    [
        Panel(
            "How sagas end",
            [_rate("cart_saga_count_total", "outcome")],
            "Whether or not anybody still waited.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "By operation",
            [_rate("cart_saga_count_total", "operation")],
            "RepairCart is reconciling; ClearCart is orders, expiry and shoppers.",
            unit="reqps",
        ),
        Panel(
            "Undone, by why",
            [_rate("cart_saga_undo_count_total", "reason")],
            "rejected: a hold went back because the business refused what followed.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Share that is undone",
            [
                Query(
                    'sum(rate(cart_saga_undo_count_total{reason!="rejected"}[$__rate_interval]))'
                    " / sum(rate(cart_saga_count_total[$__rate_interval]))",
                    "undone",
                )
            ],
            unit="percentunit",
        ),
        Panel(
            "Runs that failed",
            [_rate("temporal_workflow_failed_total", "workflow_type")],
            "A bug, but for Sweep, which fails when MongoDB is away.",
            unit="reqps",
        ),
        Panel(
            "Carts that were repaired, an hour",
            [
                Query(
                    'sum(increase(cart_saga_count_total{operation="RepairCart",'
                    ' outcome="committed"}[1h]))',
                    "repaired",
                )
            ],
            "Holds, lines and cache did not agree.",
        ),
        Panel(
            "How long sagas run",
            [
                _quantile(50, "temporal_workflow_endtoend_latency_seconds", "workflow_type"),
                _quantile(99, "temporal_workflow_endtoend_latency_seconds", "workflow_type"),
            ],
            "From start to end, also of those that went on after their answer.",
            unit="s",
        ),
        Panel(
            "How long steps take, 95 of 100",
            [
                _quantile(95, "temporal_local_activity_execution_latency_seconds", "activity_type"),
                _quantile(95, "temporal_activity_execution_latency_seconds", "activity_type"),
            ],
            unit="s",
        ),
        Panel(
            "How long a task waits for a worker, 95 of 100",
            [_quantile(95, "temporal_workflow_task_schedule_to_start_latency_seconds")],
            "It grows when there are too few workers.",
            unit="s",
        ),
        Panel(
            "Free slots",
            [
                Query(
                    "sum by (worker_type) (temporal_worker_task_slots_available)", "{{worker_type}}"
                )
            ],
            "At 0 a worker takes nothing more.",
        ),
        Panel(
            "Holds",
            [
                Query(
                    "sum(rate(cart_inventory_reservation_success_total[$__rate_interval]))",
                    "granted",
                ),
                _rate("cart_inventory_reservation_failure_total", "error"),
            ],
            "Granted, and tries that were not: a saga tries up to three times.",
            unit="reqps",
        ),
        Panel(
            "Oldest that is not finished",
            [Query("max by (kind) (cart_outbox_oldest_age_seconds)", "{{kind}}")],
            "Of committed sagas: events to publish, units to give back.",
            unit="s",
        ),
    ],
)

DEPENDENCIES = Board(
    "dependencies",
    "systems it needs",
    [
        Panel(
            "Away",
            [Query("cart:dependency_down", "{{dependency}}")],
            "As the alerts see it.",
            unit="bool",
            stacked=True,
            width=HALF,
        ),
        Panel(
            "Open circuits",
            [
                Query(
                    "max by (dependency, call) (cart_dependency_circuit_open)",
                    "{{dependency}} {{call}}",
                )
            ],
            "1 from when calls have failed until one succeeds again, in any process.",
            unit="bool",
            width=HALF,
        ),
        Panel(
            "Calls",
            [_rate(f"{CALLS}_count", "dependency", "call")],
            unit="reqps",
        ),
        Panel(
            "Calls that did not succeed",
            [_rate(f"{CALLS}_count", "dependency", "call", "outcome", where='outcome!="ok"')],
            "refused: an answer, but not the one wanted.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Share that did not succeed",
            [
                Query(
                    f"sum by (dependency) (rate({CALLS}_count"
                    '{outcome=~"timeout|unavailable"}[$__rate_interval]))'
                    f" / sum by (dependency) (rate({CALLS}_count[$__rate_interval]))",
                    "{{dependency}}",
                )
            ],
            unit="percentunit",
        ),
        Panel(
            "How long calls take, 50 of 100",
            [_quantile(50, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "95 of 100",
            [_quantile(95, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "99 of 100",
            [_quantile(99, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "Done without Redis",
            [_rate("cart_redis_away_total", "use")],
            "rate_limit: let through uncounted. cart: read from MongoDB, or shown later.",
            unit="reqps",
        ),
        Panel(
            "How often the cache helps",
            [
                Query(
                    "sum(rate(cart_cache_hit_total[$__rate_interval]))"
                    " / (sum(rate(cart_cache_hit_total[$__rate_interval]))"
                    " + sum(rate(cart_cache_miss_total[$__rate_interval])))",
                    "hits",
                )
            ],
            unit="percentunit",
        ),
        Panel(
            "Temporal: requests, 95 of 100",
            [_quantile(95, "temporal_request_latency_seconds", "operation")],
            unit="s",
        ),
        Panel(
            "Temporal: requests that failed",
            [
                _rate("temporal_request_failure_total", "operation", "status_code"),
                _rate("temporal_long_request_failure_total", "operation", "status_code"),
            ],
            "Polls among them: a worker asks all the time.",
            unit="reqps",
        ),
    ],
)

EVENTS = Board(
    "events",
    "relays and consumer",
    [
        Panel(
            "Effects that relays have still to do",
            [Query("max by (kind) (cart_outbox_pending)", "{{kind}}")],
            "Events to publish, units to give back.",
        ),
        Panel(
            "Since when",
            [Query("max by (kind) (cart_outbox_oldest_age_seconds)", "{{kind}}")],
            "The oldest of them. It grows when a relay is paused or does not get on.",
            unit="s",
        ),
        Panel(
            "Runs of relays",
            [
                _rate(
                    "temporal_workflow_completed_total",
                    "workflow_type",
                    where='workflow_type="Relay"',
                )
            ],
            "Each is something that a saga could not do at once.",
            unit="reqps",
        ),
        Panel(
            "Published",
            [_rate("cart_event_publish_success_total", "topic")],
            unit="reqps",
        ),
        Panel(
            "Tries to publish that failed",
            [_rate("cart_event_publish_failure_total", "topic", "error")],
            "refused: Kafka does not take this one, ever.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Events to deal with",
            [Query("sum by (topic) (cart_event_consume_lag)", "{{topic}}")],
            "The consumer's lag.",
        ),
        Panel(
            "By partition",
            [
                Query(
                    "sum by (topic, partition) (cart_event_consume_lag)", "{{topic}} {{partition}}"
                )
            ],
        ),
        Panel(
            "Dealt with",
            [_rate("cart_event_consume_handled_total", "topic")],
            unit="reqps",
        ),
        Panel(
            "Tried again",
            [_rate("cart_event_consume_retries_total", "topic")],
            "Something is down, or a cart is busy.",
            unit="reqps",
        ),
        Panel(
            "Parked in cart.dlq",
            [
                Query(
                    "sum by (topic, error) (cart_event_consume_parked_total)", "{{topic}} {{error}}"
                )
            ],
            "Since the consumers started; `cart dlq list` shows them.",
            stacked=True,
            width=WIDTH,
        ),
    ],
)

BUSINESS = Board(
    "business",
    "business",
    [
        _stat("Units in all carts", "max(cart_items_total)"),
        _stat(
            "What they cost",
            "max by (currency) (cart_value_total)",
            "In each currency.",
        ),
        _stat(
            "Carts that were ordered",
            "max(cart_conversion_rate_percent)",
            "Of those that ended in 30 days.",
            unit="percent",
        ),
        _stat(
            "Carts that expired",
            "max(cart_abandonment_rate_percent)",
            "Of those that ended in 30 days.",
            unit="percent",
        ),
        Panel("Units", [Query("max(cart_items_total)", "units")]),
        Panel("Worth", [Query("max by (currency) (cart_value_total)", "{{currency}}")]),
        Panel(
            "Ordered and expired",
            [
                Query("max(cart_conversion_rate_percent)", "ordered"),
                Query("max(cart_abandonment_rate_percent)", "expired"),
            ],
            unit="percent",
        ),
        Panel(
            "Changes that were made, an hour",
            [
                Query(
                    'sum by (operation) (increase(cart_saga_count_total{outcome="committed"}[1h]))',
                    "{{operation}}",
                )
            ],
        ),
        Panel(
            "Changes that were refused, an hour",
            [Query("sum by (error) (increase(cart_operation_errors_total[1h]))", "{{error}}")],
            "insufficient_stock: somebody wanted what there was not.",
        ),
        Panel(
            "Orders that came, an hour",
            [
                Query(
                    'sum(increase(cart_event_consume_handled_total{topic="order.completed"}[1h]))',
                    "orders",
                )
            ],
        ),
    ],
)

BOARDS = (SERVICE, SAGAS, DEPENDENCIES, EVENTS, BUSINESS)
