"""Every login of Kafka, and users without a right, on Apache Kafka with an authorizer.

Security: https://kafka.apache.org/documentation/#security, its operations and resources
https://kafka.apache.org/documentation/#operations_resources_and_protocols. A topic without the
right to describe it looks as if it did not exist, unless it is asked for by its name.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from adapters.kafka.cluster import leaderless_partitions
from adapters.kafka.connection import connection_options, topics_of
from adapters.kafka.consumer import EventConsumer
from adapters.kafka.dead_letters import DeadLetters, letters
from adapters.kafka.oauth import ClientCredentials
from adapters.kafka.publisher import EventPublisher, ping
from adapters.kafka.topics import records
from cli.doctor.kafka import check_kafka
from cli.doctor.results import CheckReport, Status
from cli.setup import create_topics
from dev.stack.process import StackError
from dev.stack.production import builds
from models.effects import EventEffect
from models.errors import DependencyRefuses, DependencyUnavailable, EffectRefused, EventUnusable
from models.events import CART_CLEARED, CART_ITEM_ADDED, DEAD_LETTERS, ORDER_COMPLETED
from models.incoming import CONSUMED, ConsumedMessage
from settings import Settings
from tests.kafka.secured import (
    PASSWORD,
    Operation,
    Resource,
    SecuredKafka,
    secured_kafka,
    unsigned_token,
)
from tests.kafka.test_publisher import event
from tests.support.http_answers import RawAnswer, RawServer, raw_server
from tests.support.waiting import eventually

PREFIX = "shop."
COMBINED = "cart.events"
SECONDS = 30.0
SCRAM = {
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "cart",
    "kafka_sasl_password": PASSWORD,
}
PLAIN = SCRAM | {"kafka_sasl_mechanism": "PLAIN"}
TOPICS = {"kafka_topic_prefix": PREFIX, "kafka_combined_topic": COMBINED}


@pytest.fixture(scope="session")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredKafka]:
    try:
        builds.java()
        builds.kafka_jars()
    except StackError as why:
        pytest.skip(str(why))
    async with secured_kafka(tmp_path_factory.mktemp("secured-kafka")) as kafka:
        await create_topics(kafka.admin.model_copy(update=TOPICS))
        for user in ("cart", "CN=client"):
            for operation in (Operation.READ, Operation.WRITE):
                await kafka.grant(user, operation, Resource.TOPIC, PREFIX, prefix=True)
            await kafka.grant(user, Operation.READ, Resource.GROUP, PREFIX, prefix=True)
        yield kafka


@asynccontextmanager
async def issuer(seconds: int = 3600) -> AsyncIterator[RawServer]:
    """An issuer of tokens for `cart`."""
    token = {"access_token": unsigned_token("cart", seconds), "expires_in": seconds}
    async with raw_server(lambda _: RawAnswer(200, json.dumps(token).encode())) as server:
        yield server


def by_oauth(server: RawServer) -> dict[str, Any]:
    return {
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_oauth_token_url": f"{server.url}/token",
        "kafka_oauth_client_id": "cart",
        "kafka_oauth_client_secret": f"a secret {uuid4().hex}",
        "kafka_oauth_scope": "kafka",
    }


def of_group(name: str = "") -> dict[str, str]:
    return {"kafka_group_id": f"{PREFIX}{name or uuid4().hex}"}


class Recorder:
    """Handles messages by noting them."""

    def __init__(self) -> None:
        self.messages: list[ConsumedMessage] = []

    def lane(self, message: ConsumedMessage) -> str:
        return str(message.partition)

    async def take(self, message: ConsumedMessage) -> None:
        self.messages.append(message)

    def topics(self, key: str) -> set[str]:
        return {one.topic for one in self.messages if one.key == key.encode()}


@asynccontextmanager
async def consuming(settings: Settings) -> AsyncIterator[Recorder]:
    recorder, stopping = Recorder(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(EventConsumer(settings, CONSUMED, recorder).run(stopping))
        try:
            yield recorder
        finally:
            stopping.set()


async def works(settings: Settings) -> None:
    """Publishes, consumes, parks, and is fine for the doctor."""
    await ping(settings, timeout=SECONDS)
    publisher, cart = EventPublisher(settings), uuid4().hex
    try:
        await publisher.publish([event(cart, 1)])
        await publisher.publish([event(cart, 1, topic=ORDER_COMPLETED)])
        async with consuming(settings) as recorder:

            async def taken() -> None:
                assert recorder.topics(cart) == {ORDER_COMPLETED}

            await eventually(taken, timeout=SECONDS)
        [message] = [one for one in recorder.messages if one.key == cart.encode()]
        await DeadLetters(publisher).park(message, EventUnusable("invalid", "for a test"))
    finally:
        await publisher.close()
    [letter] = [one for one in await letters(settings) if one.key == cart.encode()]
    assert letter.topic == ORDER_COMPLETED
    report = CheckReport()
    await check_kafka(settings, report)
    assert [
        one for one in report.results if one.state is Status.FAILED and one.part != "consumer"
    ] == []


@pytest.mark.parametrize("login", [SCRAM, PLAIN], ids=["SCRAM-SHA-512", "PLAIN"])
async def test_a_password_over_tls(secured: SecuredKafka, login: dict[str, str]) -> None:
    await works(secured.settings(**login, **TOPICS, **of_group()))


async def test_a_client_certificate(secured: SecuredKafka) -> None:
    mutual = {
        "kafka_security_protocol": "SSL",
        "kafka_ssl_cert_file": secured.certificates.client,
        "kafka_ssl_key_file": secured.certificates.client_key,
    }
    await works(secured.settings(**mutual, **TOPICS, **of_group()))


async def test_a_token_of_an_issuer_serves_many_connections(secured: SecuredKafka) -> None:
    async with issuer() as server:
        await works(secured.settings(**by_oauth(server), **TOPICS, **of_group()))
    [request] = server.requests
    assert request.startswith("POST /token ")
    assert "authorization: basic " in request.lower()


async def test_a_token_is_replaced_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuer(seconds=1000) as server:
        settings = Settings(kafka_security_protocol="SASL_SSL", **by_oauth(server))
        tokens = connection_options(settings)["sasl_oauth_token_provider"]
        assert connection_options(settings)["sasl_oauth_token_provider"] is tokens
        now = time.monotonic()
        for after, fetched in ((0, 1), (700, 1), (850, 2)):
            monkeypatch.setattr(time, "monotonic", lambda at=now + after: at)
            assert (await tokens.token()).count(".") == 2
            assert len(server.requests) == fetched


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer(401, b'{"error": "invalid_client"}'),
        RawAnswer(200, b"<html>"),
        RawAnswer(200, b'{"token": "x"}'),
        RawAnswer(200, b'["x"]'),
        RawAnswer(200, b'{"access_token": null}'),
    ],
)
async def test_an_issuer_without_a_token_is_named(answer: RawAnswer) -> None:
    async with raw_server(lambda _: answer) as server:
        settings = Settings(kafka_security_protocol="SASL_SSL", **by_oauth(server))
        tokens: ClientCredentials = connection_options(settings)["sasl_oauth_token_provider"]
        with pytest.raises(KafkaError, match="no token from KAFKA_OAUTH_TOKEN_URL") as raised:
            await tokens.token()
        assert "a secret" not in str(raised.value)


# What is refused


@pytest.mark.parametrize("login", [SCRAM, PLAIN], ids=["SCRAM-SHA-512", "PLAIN"])
async def test_a_wrong_password_is_told_from_an_outage(
    secured: SecuredKafka, login: dict[str, str]
) -> None:
    settings = secured.settings(**(login | {"kafka_sasl_password": "hunter2"}))
    with pytest.raises(DependencyRefuses, match="SaslAuthenticationFailed"):
        await ping(settings, timeout=SECONDS)
    report = CheckReport()
    await check_kafka(settings, report)
    [result] = report.results
    assert result.state is Status.FAILED
    assert "refuses us" in result.what
    assert "hunter2" not in result.what
    assert "KAFKA_SASL_" in result.advice


async def test_an_authority_that_is_not_trusted_is_named(secured: SecuredKafka) -> None:
    settings = secured.settings(**SCRAM, kafka_ssl_ca_file=None)
    with pytest.raises(DependencyUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await ping(settings, timeout=SECONDS)


async def test_the_common_authority_is_that_of_openssl(
    secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secured.certificates.authority))
    await ping(secured.settings(**SCRAM, kafka_ssl_ca_file=None), timeout=SECONDS)


async def test_a_topic_without_rights_is_named_and_stops_no_other(secured: SecuredKafka) -> None:
    """`other.` is made, and the user may use but one of its topics."""
    prefix = f"other-{uuid4().hex[:6]}."
    await create_topics(secured.admin.model_copy(update={"kafka_topic_prefix": prefix}))
    settings = secured.settings(**SCRAM, kafka_topic_prefix=prefix, **of_group())
    for topic in (CART_ITEM_ADDED, ORDER_COMPLETED):
        for operation in (Operation.READ, Operation.WRITE):
            await secured.grant("cart", operation, Resource.TOPIC, prefix + topic)
    publisher, cart = (
        EventPublisher(settings.model_copy(update={"publish_timeout_seconds": 3})),
        uuid4().hex,
    )

    async def allowed() -> None:
        found = await leaderless_partitions(connection_options(settings), SECONDS)
        assert set(topics_of(settings)) & set(found) == {
            prefix + CART_ITEM_ADDED,
            prefix + ORDER_COMPLETED,
        }

    await eventually(allowed, timeout=SECONDS)
    with pytest.raises((EffectRefused, DependencyUnavailable)):
        await publisher.publish([event(cart, 1, topic=CART_CLEARED)])
    await publisher.publish([event(cart, 2), event(cart, 3, topic=ORDER_COMPLETED)])
    await publisher.close()
    with capture_logs() as logs:
        async with consuming(settings) as recorder:

            async def taken() -> None:
                assert recorder.topics(cart) == {ORDER_COMPLETED}

            await eventually(taken, timeout=SECONDS)
    missing = {line["topic"] for line in logs if line["event"] == "topic_missing"}
    assert missing == {
        settings.kafka_topic(topic) for topic in CONSUMED if topic != ORDER_COMPLETED
    }
    report = CheckReport()
    await check_kafka(settings, report)
    [hidden] = [one for one in report.results if "may not describe" in one.what]
    assert prefix + DEAD_LETTERS in hidden.what
    assert "docs/deploy.md" in hidden.advice
    assert not [one for one in report.results if one.what.startswith("missing")]


async def test_a_missing_topic_is_named_and_stops_no_other(secured: SecuredKafka) -> None:
    """Topics are not made by asking for them (`auto.create.topics.enable=false`)."""
    prefix = f"{PREFIX}partly-{uuid4().hex[:6]}."
    await create_topics(secured.admin.model_copy(update={"kafka_topic_prefix": prefix}))
    await _deleted(secured, prefix + ORDER_COMPLETED)
    settings = secured.settings(**SCRAM, kafka_topic_prefix=prefix, **of_group())
    [other, *_] = [topic for topic in CONSUMED if topic != ORDER_COMPLETED]
    publisher, key = EventPublisher(settings), uuid4().hex
    await publisher.publish([event(key, 1, topic=other)])
    async with consuming(settings) as recorder:

        async def taken() -> None:
            assert recorder.topics(key) == {other}

        await eventually(taken, timeout=SECONDS)
    await publisher.close()
    report = CheckReport()
    await check_kafka(settings, report)
    found = {one.what: one.advice for one in report.results}
    assert found[f"missing: {prefix}{ORDER_COMPLETED}"] == "run `cart setup`"


async def _deleted(secured: SecuredKafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(**connection_options(secured.admin))
    await admin.start()

    async def gone() -> None:
        assert topic not in await admin.list_topics()

    try:
        await admin.delete_topics([topic])
        await eventually(gone)
    finally:
        await admin.close()


async def test_a_setup_without_the_right_names_each_topic(secured: SecuredKafka) -> None:
    settings = secured.settings(**SCRAM, kafka_topic_prefix=f"not-mine-{uuid4().hex[:6]}.")
    with pytest.raises(KafkaError, match="TopicAuthorizationFailed") as raised:
        await create_topics(settings)
    for topic in topics_of(settings):
        assert topic in str(raised.value)


# Topics


async def test_the_combined_topic_has_the_events_of_a_cart_in_their_order(
    secured: SecuredKafka,
) -> None:
    settings = secured.settings(**SCRAM, **TOPICS)
    publisher, cart = EventPublisher(settings), uuid4().hex
    sent: list[EventEffect] = [
        event(cart, version, topic=topic)
        for version, topic in enumerate((CART_ITEM_ADDED, CART_CLEARED) * 3, 1)
    ]
    await publisher.publish(sent)
    await publisher.close()
    for topic, expected in (
        (COMBINED, sent),
        (CART_ITEM_ADDED, [one for one in sent if one.topic == CART_ITEM_ADDED]),
    ):
        found = [one async for one in records(settings, topic) if one.key == cart.encode()]
        assert [one.topic for one in found] == [topic] * len(expected)
        headers = [dict(one.headers) for one in found]
        assert [one["ce_id"].decode() for one in headers] == [one.id for one in expected]
        assert [one["ce_type"].decode() for one in headers] == [one.topic for one in expected]
