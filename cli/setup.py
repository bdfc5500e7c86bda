"""`cart setup`: creates what the service needs on its servers; repeating it changes nothing."""

import asyncio

from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError
from temporalio.service import RPCError

from adapters.mongo.client import DOCUMENTS
from cli.console import CliError, reason, say
from cli.doctor import checks
from cli.doctor.results import Part, Status
from cli.provision import set_up
from models.errors import DependencyUnavailable
from models.events import TOPICS
from settings import Settings, load_settings
from workflows.ids import SEARCH_ATTRIBUTES

TIMEOUT_SECONDS = 120.0  # an index on a large collection takes long
SERVERS = (Part.KAFKA, Part.MONGODB, Part.TEMPORAL)


def setup() -> None:
    """Create the Kafka topics, MongoDB indexes and search attributes."""
    settings = load_settings()
    _check_servers(settings)
    _set_up(settings)
    say(f"Kafka: {len(TOPICS)} topics ({', '.join(TOPICS)})")
    for document in DOCUMENTS:
        names = [str(index.document["name"]) for index in document.Settings.indexes]
        say(f"MongoDB: {len(names)} indexes of {document.Settings.name} ({', '.join(names)})")
    say(f"Temporal: {len(SEARCH_ATTRIBUTES)} search attributes ({', '.join(SEARCH_ATTRIBUTES)})")
    say("Setup complete")


def _check_servers(settings: Settings) -> None:
    """Raises `CliError` with what the doctor finds wrong with a server."""
    found = checks.examine(settings, {part: checks.CHECKS[part] for part in SERVERS})
    problems = [
        f"{result.part}: {result.what}: {result.advice}"
        for result in found.results
        if result.part in SERVERS and result.state is Status.FAILED
    ]
    if problems:
        raise CliError("\n".join(problems))


def _set_up(settings: Settings) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await set_up(settings)

    try:
        asyncio.run(bounded())
    except TimeoutError:
        raise CliError(
            f"Setup took longer than {TIMEOUT_SECONDS:g} s; it is safe to run it again"
        ) from None
    except (KafkaError, PyMongoError, DependencyUnavailable, RPCError, RuntimeError) as error:
        kind = type(error).__name__
        raise CliError(f"Setup failed: {kind}: {reason(error)}; see `cart doctor`") from None
