"""What relays have still to do, what is published, and how far the consumer is."""

from dev.grafana.asking import rate
from dev.grafana.panels import WIDTH, Board, Panel, Query

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
                rate(
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
            [rate("cart_event_publish_success_total", "topic")],
            unit="reqps",
        ),
        Panel(
            "Tries to publish that failed",
            [rate("cart_event_publish_failure_total", "topic", "error")],
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
            [rate("cart_event_consume_handled_total", "topic")],
            unit="reqps",
        ),
        Panel(
            "Tried again",
            [rate("cart_event_consume_retries_total", "topic")],
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
