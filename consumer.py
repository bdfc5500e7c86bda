"""The consumer process: starts cart operations for the events of other services.

`python consumer.py`. On SIGTERM or SIGINT it finishes the events in progress, for at most
`adapters.kafka.consumer.DRAIN_SECONDS`. The next consumer of the partition continues after them.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

import structlog

from adapters.kafka.consumer import EventConsumer
from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.publisher import EventPublisher
from adapters.keyring import Keyring
from adapters.mongo.carts import CartStore
from adapters.mongo.operations import OperationStore
from adapters.mongo.reports import reporting
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.redis.answers import AnswerInbox
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from heartbeat import beating
from models.incoming import CONSUMED
from process import run_process, stop_event
from settings import Settings
from telemetry.tracing import tracing
from workflows.connection import connect
from workflows.event_handler import EventHandler
from workflows.gateway import CartGateway
from workflows.requests import policy_of

logger = structlog.stdlib.get_logger("consumer")


async def run(settings: Settings) -> None:
    """Runs until a signal. Waits for systems that are unavailable."""
    stopping = stop_event()
    async with AsyncExitStack() as stack:
        stack.enter_context(tracing(settings, "consumer"))
        carts = await CartStore.connect(settings.mongodb, app_name="cart-consumer")
        stack.push_async_callback(carts.close)
        publisher = EventPublisher(settings)
        stack.push_async_callback(publisher.close)
        keyring = Keyring(settings.secrets_of_data)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        log_levels = LogLevels(redis, keyring, usual=settings.log_level)
        await stack.enter_async_context(log_levels.following())
        inbox = AnswerInbox(settings.redis, keyring)
        inbox.open()
        stack.push_async_callback(inbox.close)
        gateway = CartGateway(
            await connect(settings, lazy=True),
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
            inbox=inbox,
            fallback_seconds=settings.answer_fallback_ms / 1000,
        )
        policies = StorePolicies(policy_of(settings), StoreSettingsStore().read_all)
        stack.push_async_callback(policies.close)
        handler = EventHandler(
            gateway,
            OperationStore(carts.client, keyring),
            carts,
            DeadLetters(publisher),
            policies=policies,
        )
        watched = (handler.waiting, publisher.breaker, redis.breaker, gateway.breaker)
        await stack.enter_async_context(reporting("consumer", watched))
        consumer = EventConsumer(settings, CONSUMED, handler)
        consuming = asyncio.create_task(consumer.run(stopping))
        joining = asyncio.create_task(consumer.joined.wait())
        await asyncio.wait({consuming, joining}, return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            logger.info("consumer_started", message="Consumer started")
            async with beating(settings.heartbeat_file):
                await consuming
        joining.cancel()
        await consuming
    logger.info("consumer_stopped", message="Consumer stopped")


def main() -> int:
    """Returns the exit code (`run_process`)."""
    return run_process("consumer", run)


if __name__ == "__main__":
    sys.exit(main())
