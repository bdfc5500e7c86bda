"""The brokers of these tests: Apache Kafka, and for common features also the stack's stand-in.

The stand-in keeps no data and has no idempotent producer.
"""

from collections.abc import AsyncIterator

import pytest

from cli.setup import create_topics
from dev.stack.ports import more_free_ports
from dev.stack.process import StackError
from dev.stack.production import builds
from dev.stack.stack import Stack
from settings import Settings
from tests.support.relays import RelayBench, relay_bench
from tests.support.shop import Shop


@pytest.fixture(scope="session")
async def broker(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Apache Kafka with the topics of the service; skips the test if it cannot be run."""
    try:
        builds.java()
        builds.kafka_jars()
    except StackError as why:
        pytest.skip(str(why))
    [port] = more_free_ports(1)
    settings = Settings(
        local_dir=tmp_path_factory.mktemp("kafka"), kafka_port=port, kafka_idempotence=True
    )
    async with Stack(settings, echo=print, parts=["kafka"], production=True) as kafka:
        await create_topics(settings)
        yield kafka


@pytest.fixture(params=["apache", "stack"])
def kafka(request: pytest.FixtureRequest, stack: Stack, production: bool) -> Settings:
    """Settings with one broker, then with the other."""
    if request.param == "apache":
        settings: Settings = request.getfixturevalue("broker").settings
        assert settings.kafka_idempotent_producer
        return settings
    assert stack.settings.kafka_idempotent_producer is production
    return stack.settings


@pytest.fixture
async def relays(shop: Shop, broker: Stack) -> AsyncIterator[RelayBench]:
    """Sagas and relays in this process, which publish to Apache Kafka."""
    async with relay_bench(shop, broker.settings) as bench:
        yield bench
