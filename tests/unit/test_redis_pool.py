"""Each error of the Redis client becomes `DependencyUnavailable`."""

import asyncio

import pytest
import uvloop
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from adapters.redis.pool import FAILING_SUBJECTS, RedisPool
from models.errors import DependencyUnavailable, NotSent

NOWHERE = SecretStr("redis://127.0.0.1:1/0")


@pytest.mark.parametrize("error", [RedisConnectionError("reset"), OSError("reset"), TimeoutError()])
async def test_an_error_of_the_client_names_the_dependency(error: Exception) -> None:
    pool = RedisPool(NOWHERE)
    with pytest.raises(DependencyUnavailable, match="redis is unavailable"):
        async with pool.client("cart"):
            raise error
    await pool.close()


async def fails(pool: RedisPool, subject: str) -> None:
    with pytest.raises(DependencyUnavailable):
        async with pool.client("cart", subject):
            raise RedisConnectionError("reset")


async def test_a_cart_that_keeps_failing_does_not_stop_the_use_of_others() -> None:
    pool = RedisPool(NOWHERE)
    for _ in range(FAILING_SUBJECTS + 1):
        await fails(pool, "store/sick")
    with pytest.raises(NotSent):
        async with pool.client("cart", "store/sick"):
            pass
    for use in ("store/well", None):
        async with pool.client("cart", use):
            pass
    await pool.close()


async def test_different_carts_that_fail_open_the_circuit() -> None:
    pool = RedisPool(NOWHERE)
    for number in range(FAILING_SUBJECTS):
        await fails(pool, f"store/{number}")
    with pytest.raises(NotSent):
        async with pool.client("stock"):
            pass
    await pool.close()


def test_a_connection_closed_during_a_write_names_the_dependency() -> None:
    """With uvloop, which raises its own error."""

    async def write_after_close() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.abort()
        await asyncio.sleep(0)
        pool = RedisPool(NOWHERE)
        try:
            async with pool.client("cart"):
                writer.writelines([b"PING\r\n"])
        finally:
            await pool.close()
            server.close()

    with pytest.raises(DependencyUnavailable, match="the handler is closed"):
        uvloop.run(write_after_close())
