"""Rate, errors and duration of requests and operations; the processes; what fires."""

from dev.grafana.asking import quantile, rate, stat
from dev.grafana.panels import WIDTH, Board, Panel, Query

API = 'http_route=~"/api/.+"'
REQUESTS = "http_server_request_duration_seconds"

SERVICE = Board(
    "service",
    "service",
    [
        stat(
            "Alerts",
            'count(ALERTS{alertname=~"Cart.+", alertstate="firing"}) or vector(0)',
            "How many fire; which ones: the last panel, and docs/runbook.md.",
        ),
        stat(
            "Answered without an error",
            f'1 - (sum(rate({REQUESTS}_count{{{API}, http_response_status_code=~"5.."}}[$__range]))'
            f" or vector(0)) / sum(rate({REQUESTS}_count{{{API}}}[$__range]))",
            "Of the requests in the time that is shown, those not answered with 5xx.",
            unit="percentunit",
        ),
        stat(
            "Changes a second",
            "sum(rate(cart_operation_count_total[$__rate_interval]))",
            "Of carts, however they ended.",
        ),
        stat(
            "An add takes",
            quantile(95, "cart_operation_duration_milliseconds", where='operation="AddItem"').expr,
            "At most, for 95 of 100.",
            unit="ms",
        ),
        Panel(
            "Requests by status",
            [rate(f"{REQUESTS}_count", "http_response_status_code", where=API)],
            "409: the cart is busy. 429: the rate limit. 503: a system is away, or intake is held.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Requests by route",
            [rate(f"{REQUESTS}_count", "http_request_method", "http_route", where=API)],
            unit="reqps",
        ),
        Panel(
            "How long requests take, 95 of 100",
            [quantile(95, REQUESTS, "http_request_method", "http_route", where=API)],
            unit="s",
        ),
        Panel(
            "Operations",
            [rate("cart_operation_count_total", "operation")],
            "As callers asked for them: shoppers, and events of other services.",
            unit="reqps",
        ),
        Panel(
            "How they end",
            [rate("cart_operation_count_total", "outcome")],
            "pending: answered with 202. rejected: the business says no. unavailable: 503.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "Errors, by why",
            [rate("cart_operation_errors_total", "operation", "error")],
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "How long operations take",
            [
                quantile(50, "cart_operation_duration_milliseconds", "operation"),
                quantile(95, "cart_operation_duration_milliseconds", "operation"),
                quantile(99, "cart_operation_duration_milliseconds", "operation"),
            ],
            "From the request to the answer, with the wait for the cart.",
            unit="ms",
        ),
        Panel(
            "Carts that were not got",
            [rate("cart_lock_acquisition_failure_total", "error")],
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
