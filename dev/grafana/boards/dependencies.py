"""The systems that the service needs: which are away, how calls end and how long they take."""

from dev.grafana.asking import quantile, rate
from dev.grafana.panels import WIDTH, Board, Panel, Query

CALLS = "cart_dependency_call_duration_milliseconds"

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
            width=WIDTH // 2,
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
            width=WIDTH // 2,
        ),
        Panel(
            "Calls",
            [rate(f"{CALLS}_count", "dependency", "call")],
            unit="reqps",
        ),
        Panel(
            "Calls that did not succeed",
            [rate(f"{CALLS}_count", "dependency", "call", "outcome", where='outcome!="ok"')],
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
            [quantile(50, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "95 of 100",
            [quantile(95, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "99 of 100",
            [quantile(99, CALLS, "dependency", "call")],
            unit="ms",
        ),
        Panel(
            "Done without Redis",
            [rate("cart_redis_away_total", "use")],
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
            [quantile(95, "temporal_request_latency_seconds", "operation")],
            unit="s",
        ),
        Panel(
            "Temporal: requests that failed",
            [
                rate("temporal_request_failure_total", "operation", "status_code"),
                rate("temporal_long_request_failure_total", "operation", "status_code"),
            ],
            "Polls among them: a worker asks all the time.",
            unit="reqps",
        ),
    ],
)
