"""The consumer process: events of other services in, operations on carts out.

`python consumer.py`. Ends on SIGTERM or SIGINT after what it has begun is done (at most
`adapters.kafka.consumer.DRAIN_SECONDS`); what is not done is done by whoever consumes next.
"""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack

from adapters.kafka.consumer import EventConsumer
from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.redis.answers import AnswerInbox
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from heartbeat import beating
from models.incoming import CONSUMED
from process import run_process, told_to_stop
from settings import Settings
from telemetry.tracing import tracing
from workflows.event_handler import EventHandler
from workflows.gateway import CartGateway, connect, policy_of

logger = logging.getLogger("consumer")


async def run(settings: Settings) -> None:
    """Runs until a signal ends it; systems that are away are waited for."""
    stopping = told_to_stop()
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing(settings, "consumer"))
        carts = await CartStore.connect(settings.mongodb, app_name="cart-consumer")
        stack.push_async_callback(carts.close)
        publisher = EventPublisher(settings)
        stack.push_async_callback(publisher.close)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        log_levels = LogLevels(redis, usual=settings.log_level)
        log_levels.open()
        stack.push_async_callback(log_levels.close)
        inbox = AnswerInbox(settings.redis)
        inbox.open()
        stack.push_async_callback(inbox.close)
        handler = EventHandler(
            CartGateway(
                await connect(settings, lazy=True),
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
                inbox=inbox,
                fallback_seconds=settings.answer_fallback_ms / 1000,
            ),
            carts,
            DeadLetters(publisher),
            policy=policy_of(settings),
        )
        consumer = EventConsumer(settings, CONSUMED, handler)
        consuming = asyncio.create_task(consumer.run(stopping))
        joining = asyncio.create_task(consumer.joined.wait())
        await asyncio.wait({consuming, joining}, return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            logger.info("Consumer started", extra={"event": "consumer_started"})
            async with beating(settings.heartbeat_file):
                await consuming
        joining.cancel()
        await consuming
    logger.info("Consumer stopped", extra={"event": "consumer_stopped"})


def main() -> int:
    """Exit code 2 when the settings cannot be used."""
    return run_process("consumer", run)


if __name__ == "__main__":
    sys.exit(main())
