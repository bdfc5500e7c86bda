"""How sagas end, what is undone and why, and how long they and their steps take."""

from dev.grafana.asking import quantile, rate
from dev.grafana.panels import Board, Panel, Query

SAGAS = Board(
    "sagas",
    "sagas",
    [
        Panel(
            "How sagas end",
            [rate("cart_saga_count_total", "outcome")],
            "Whether or not anybody still waited.",
            unit="reqps",
            stacked=True,
        ),
        Panel(
            "By operation",
            [rate("cart_saga_count_total", "operation")],
            "RepairCart is reconciling; ClearCart is orders, expiry and shoppers.",
            unit="reqps",
        ),
        Panel(
            "Undone, by why",
            [rate("cart_saga_undo_count_total", "reason")],
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
            [rate("temporal_workflow_failed_total", "workflow_type")],
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
                quantile(50, "temporal_workflow_endtoend_latency_seconds", "workflow_type"),
                quantile(99, "temporal_workflow_endtoend_latency_seconds", "workflow_type"),
            ],
            "From start to end, also of those that went on after their answer.",
            unit="s",
        ),
        Panel(
            "How long steps take, 95 of 100",
            [
                quantile(95, "temporal_local_activity_execution_latency_seconds", "activity_type"),
                quantile(95, "temporal_activity_execution_latency_seconds", "activity_type"),
            ],
            unit="s",
        ),
        Panel(
            "How long a task waits for a worker, 95 of 100",
            [quantile(95, "temporal_workflow_task_schedule_to_start_latency_seconds")],
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
                rate("cart_inventory_reservation_failure_total", "error"),
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
        Panel(
            "Holds that do not agree with their carts",
            [Query("max by (kind) (cart_drift_holds)", "{{kind}}")],
            "Above 0: `cart doctor` names them.",
        ),
    ],
)
