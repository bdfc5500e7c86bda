"""A dead letter, of which tests change what they are about."""

from adapters.kafka.dead_letters import Letter

LETTER = Letter(
    id="0/7",
    topic="order.completed",
    partition=2,
    offset=41,
    timestamp=1_769_509_800_000,
    error="order_shortfall",
    detail="2 of lamp are missing",
    parked_at="2026-01-27T10:30:00.000Z",
    size=17,
    key=b"cart-1",
    value=b'{"orderId": "o"}',
    headers=(("ce_id", b"event-1"),),
)
