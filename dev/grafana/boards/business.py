"""Carts and what is in them, and what shoppers do."""

from dev.grafana.asking import stat
from dev.grafana.panels import Board, Panel, Query

BUSINESS = Board(
    "business",
    "business",
    [
        stat("Units in all carts", "max(cart_items_total)"),
        stat(
            "What they cost",
            "max by (currency) (cart_value_total)",
            "In each currency.",
        ),
        stat(
            "Carts that were ordered",
            "max(cart_conversion_rate_percent)",
            "Of those that ended in 30 days.",
            unit="percent",
        ),
        stat(
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
