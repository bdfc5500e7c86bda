"""The broker of these tests: Apache Kafka, and for what both can do also the local stack's."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from deploy.setup import create_topics
from settings import Settings
from tests.kafka.broker import Broker, NoKafkaHereError


@pytest.fixture(scope="session")
async def broker(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """Apache Kafka with our topics; skips where it cannot be run."""
    folder = tmp_path_factory.mktemp("kafka")
    try:
        kafka = await asyncio.to_thread(Broker, folder, stack.settings)
    except NoKafkaHereError as why:
        pytest.skip(str(why))
    try:
        await kafka.start()
        await create_topics(kafka.settings)
        yield kafka
    finally:
        await kafka.kill()


@pytest.fixture(params=["apache", "tansu"])
def kafka(request: pytest.FixtureRequest, stack: Stack) -> Settings:
    """Settings with one broker, then with the other."""
    if request.param == "apache":
        settings: Settings = request.getfixturevalue("broker").settings
        assert settings.kafka_idempotent_producer
        return settings
    assert not stack.settings.kafka_idempotent_producer
    return stack.settings
