"""An order service: charges what was checked out, and tells Kafka what became of the order.

`python -m examples.orders [--brokers 127.0.0.1:9092] [--group orders]`

A payment over 500 fails here. The events of a cart are handled in their order and may come twice:
the order's id is made of the checkout's, so a repeat has no second effect.
"""

import argparse
import asyncio
import json
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

LIMIT = 500


async def charge(checkout: dict[str, Any]) -> bool:
    """Whether the payment succeeded. A real one names `checkoutId` as its idempotency key."""
    return bool(checkout["totalPrice"] <= LIMIT)


async def handle(message: ConsumerRecord[bytes, bytes], producer: AIOKafkaProducer) -> None:
    """Charges one checkout."""
    checkout = json.loads(message.value or b"{}")
    paid = await charge(checkout)
    order = {
        "orderId": f"order-{checkout['checkoutId']}",
        "checkoutId": checkout["checkoutId"],
        "cartId": checkout["cartId"],
        "userId": checkout["userId"],
        "storeId": checkout["storeId"],
    }
    topic = "order.completed" if paid else "order.cancelled"
    await producer.send_and_wait(topic, json.dumps(order).encode(), key=checkout["cartId"].encode())
    print(
        f"{topic} {order['orderId']}: {checkout['totalPrice']} {checkout['currency']}", flush=True
    )


async def main(brokers: str, group: str) -> None:
    """Runs until it is stopped."""
    consumer = AIOKafkaConsumer(
        "cart.checked_out",
        bootstrap_servers=brokers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await consumer.start()
    await producer.start()
    try:
        async for message in consumer:
            await handle(message, producer)
            await consumer.commit()  # after the order is told: a crash repeats it
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--group", default="orders")
    options = parser.parse_args()
    asyncio.run(main(options.brokers, options.group))
