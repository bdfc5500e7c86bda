"""Redis as operators run it: failover behind a fixed address, users (ACL), TLS.

Managed Redis (ElastiCache, Memorystore, Azure) has one address that leads to the primary; after a
failover connections to the demoted primary stay open and answer READONLY. Valkey's package here has
no TLS, so a proxy ends it, as stunnel does. ACL: https://valkey.io/topics/acl/
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from adapters.inventory import Stock
from adapters.redis import answers
from adapters.redis.answers import AnswerInbox, reply_message
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from cli.doctor.redis import check_redis
from cli.doctor.results import CheckReport, CheckResult, Status
from dev.stack.binaries import redis_server
from dev.stack.ports import more_free_ports
from models.cart import CartKey, CartVersion
from models.errors import DependencyRefuses, DependencyUnavailable
from models.outcomes import OperationResult, Outcome
from models.saga import ReplyTo
from settings import LOCALHOST, LogLevel, Settings
from tests.faults.proxy import Proxy
from tests.support.certificates import certificates_in
from tests.support.keys import KEYRING
from tests.support.streams import copy_stream
from tests.support.waiting import eventually

PASSWORD = "p@ss/w:rd#1"
RIGHTS = (
    "~Cart:* ~inventory:* ~cart:* &cart:* "
    "+@read +@write +@pubsub +@scripting +@connection +info +time"
)
"""Of docs/deploy.md."""
KEY = CartKey("store-1", "ada")
CART_ID = "507f1f77bcf86cd799439013"
BODY = f'{{"_id":"{CART_ID}"}}'.encode()


@asynccontextmanager
async def valkey(folder: Path, *options: str) -> AsyncIterator[int]:
    """A server; its port."""
    [port] = more_free_ports(1)
    process = await asyncio.create_subprocess_exec(
        str(redis_server()),
        *("--port", str(port), "--bind", LOCALHOST, "--dir", str(folder), "--save", ""),
        *("--repl-diskless-sync-delay", "0", *options),
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def answers() -> None:
        async with Redis(host=LOCALHOST, port=port) as client:
            try:
                await client.ping()
            except RedisConnectionError as error:
                if "Authentication" not in repr(error):
                    raise AssertionError(str(error)) from error

    try:
        await eventually(answers)
        yield port
    finally:
        process.kill()
        await process.wait()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def command(port: int, *words: Any) -> Any:
    async with Redis(host=LOCALHOST, port=port) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


@dataclass
class Pair:
    """A primary and a replica behind one address, as a managed service has them."""

    primary: int
    replica: int
    address: Proxy

    @property
    def url(self) -> str:
        return f"redis://{LOCALHOST}:{self.address.port}"

    async def fail_over(self) -> None:
        """The replica becomes the primary. New connections lead to it, existing ones stay."""
        await command(self.replica, "REPLICAOF", "NO", "ONE")
        # Not of the new one: where the old one is cut off, nothing is forwarded to it.
        await command(self.primary, "REPLICAOF", LOCALHOST, "1")
        self.address.lead_to(self.replica)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    [port] = more_free_ports(1)
    async with (
        valkey(_made(tmp_path / "a")) as primary,
        valkey(_made(tmp_path / "b")) as replica,
        Proxy("redis", port, primary) as address,
    ):
        await command(replica, "REPLICAOF", LOCALHOST, primary)
        yield Pair(primary, replica, address)


def settings_of(url: str, **more: Any) -> Settings:
    return Settings(redis_url=url, **more)


async def examined(settings: Settings) -> CheckResult:
    report = CheckReport()
    await check_redis(settings, report)
    [result] = report.results
    return result


async def everything(settings: Settings) -> None:
    """Each use that the service makes of Redis."""
    pool = RedisPool(settings.redis)
    inbox = AnswerInbox(settings.redis, KEYRING)
    inbox.open()
    try:
        carts, stock = (
            CartCache(pool, KEYRING, ttl_seconds=60),
            StockCache(pool, KEYRING, ttl_seconds=60),
        )
        await stock.put("store-1", "lamp", Stock(5, 1))
        await carts.put(KEY, version=1, body=BODY, stale_products=["lamp"])
        assert await carts.get(KEY, CartVersion(CART_ID, 1)) == BODY
        assert await carts.cached_users("store-1", limit=10) == ["ada"]
        await RateLimiter(pool).take("ada", per_minute=10)
        await LogLevels(pool, KEYRING, usual=LogLevel.INFO).override(LogLevel.INFO, seconds=1)
        await receives(inbox, carts)
        await carts.drop(KEY, version=1)
    finally:
        await inbox.close()
        await pool.close()


async def receives(inbox: AnswerInbox, carts: CartCache) -> None:
    """Waits until a reply arrives."""
    result = OperationResult(
        outcome=Outcome.UNCHANGED, operation="AddItem", operation_id="1", record_id="1", saga_id="1"
    )

    async def received() -> None:
        reply = inbox.expect("attempt")
        reply_to = ReplyTo(channel=inbox.channel, attempt_id="attempt")
        try:
            await carts.announce(reply_message(KEYRING, reply_to, result))
            async with asyncio.timeout(0.5):
                await reply
        except (TimeoutError, DependencyUnavailable) as error:
            inbox.forget("attempt")
            raise AssertionError(repr(error)) from error

    await eventually(received, timeout=20)


async def test_after_a_failover_the_next_command_reaches_the_new_primary(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "PROBE_EVERY_SECONDS", 0.2)
    settings = settings_of(pair.url)
    pool, inbox = RedisPool(settings.redis), AnswerInbox(settings.redis, KEYRING)
    inbox.open()
    carts = CartCache(pool, KEYRING, ttl_seconds=60)
    try:
        await carts.put(KEY, version=1, body=BODY)
        await receives(inbox, carts)
        await pair.fail_over()
        with pytest.raises(DependencyRefuses, match="READONLY"):
            await carts.put(KEY, version=2, body=BODY)
        await carts.put(KEY, version=2, body=BODY)
        assert await carts.get(KEY, CartVersion(CART_ID, 2)) == BODY
        assert await command(pair.replica, "GET", "Cart:store-1:ada:latest_version") == b"2"
        await receives(inbox, carts)
    finally:
        await inbox.close()
        await pool.close()


async def test_the_doctor_names_a_demoted_primary(pair: Pair) -> None:
    await command(pair.primary, "REPLICAOF", LOCALHOST, "1")
    result = await examined(settings_of(pair.url))
    assert result.state is Status.FAILED
    assert "READONLY" in result.what
    assert "replica" in result.advice


async def test_a_user_with_the_documented_rights_can_do_all_that_is_done(tmp_path: Path) -> None:
    async with valkey(tmp_path) as port:
        await command(port, "ACL", "SETUSER", "cart", "on", f">{PASSWORD}", *RIGHTS.split())
        await command(port, "ACL", "SETUSER", "default", "off")
        by_parts = Settings(
            redis_host=LOCALHOST, redis_port=port, redis_username="cart", redis_password=PASSWORD
        )
        await everything(by_parts)
        await everything(settings_of(f"redis://cart:p%40ss%2Fw%3Ard%231@{LOCALHOST}:{port}/0"))
        assert (await examined(by_parts)).state is not Status.FAILED
        for url in (f"redis://cart:wrong@{LOCALHOST}:{port}", f"redis://{LOCALHOST}:{port}"):
            result = await examined(settings_of(url))
            assert result.state is Status.FAILED
            assert "NOAUTH, WRONGPASS" in result.what
            assert "wrong" not in result.what
            assert "REDIS_PASSWORD" in result.advice


@asynccontextmanager
async def ending_tls(port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """A proxy that ends TLS before a server; its port."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(LOCALHOST, port)
        await asyncio.gather(copy_stream(reader, up_writer), copy_stream(up_reader, writer))

    server = await asyncio.start_server(relay, LOCALHOST, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_tls_with_an_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = certificates_in(tmp_path)
    async with (
        valkey(_made(tmp_path / "data")) as port,
        ending_tls(port, certificates.server_tls()) as tls_port,
        ending_tls(port, certificates.server_tls(asks_for_client=True)) as mutual_port,
    ):
        url = f"rediss://{LOCALHOST}:{tls_port}/0"
        untrusting = await examined(settings_of(url))
        assert "certificate" in untrusting.what
        await everything(settings_of(url, redis_tls_ca_file=certificates.authority))
        await everything(
            Settings(
                redis_host="localhost",
                redis_port=tls_port,
                redis_tls=True,
                redis_tls_ca_file=certificates.authority,
            )
        )
        files = f"ssl_certfile={certificates.client}&ssl_keyfile={certificates.client_key}"
        mutual = f"rediss://{LOCALHOST}:{mutual_port}/0?{files}"
        await everything(settings_of(mutual, redis_tls_ca_file=certificates.authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        await everything(settings_of(url))


async def test_a_cluster_without_all_of_its_slots_is_named(tmp_path: Path) -> None:
    [bus] = more_free_ports(1)
    async with valkey(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(bus)) as port:
        await command(port, "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        result = await examined(settings_of(f"redis://{LOCALHOST}:{port}"))
        assert result.state is Status.FAILED
        assert "CLUSTERDOWN" in result.what
        assert "CLUSTER INFO" in result.advice
