"""`cart setup`: makes what the service needs on its servers; running it again changes nothing."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from settings import Settings

# Building an index on a large collection takes its time.
TIMEOUT_SECONDS = 120.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(setup)


def setup() -> None:
    """Make the Kafka topics, the MongoDB indexes and the search attributes."""
    from adapters.mongo.client import DOCUMENTS  # noqa: PLC0415
    from models.events import TOPICS  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415
    from workflows.ids import SEARCH_ATTRIBUTES  # noqa: PLC0415

    settings = load_settings()
    _look_for_servers(settings)
    _make(settings)
    print(f"Kafka: {len(TOPICS)} topics ({', '.join(TOPICS)})")
    for document in DOCUMENTS:
        names = [str(index.document["name"]) for index in document.Settings.indexes]
        print(f"MongoDB: {len(names)} indexes of {document.Settings.name} ({', '.join(names)})")
    print(f"Temporal: {len(SEARCH_ATTRIBUTES)} search attributes ({', '.join(SEARCH_ATTRIBUTES)})")
    print("All of this exists now.")


def _look_for_servers(settings: "Settings") -> None:
    """Raises `CliError` with what the doctor says of a server that cannot be used."""
    from cli.console import CliError  # noqa: PLC0415
    from cli.doctor.checks import CHECKS, examine  # noqa: PLC0415
    from cli.doctor.findings import State  # noqa: PLC0415
    from cli.doctor.kafka import KAFKA  # noqa: PLC0415
    from cli.doctor.mongodb import MONGODB  # noqa: PLC0415
    from cli.doctor.temporal import TEMPORAL  # noqa: PLC0415

    servers = (KAFKA, MONGODB, TEMPORAL)
    found = examine(settings, [check for check in CHECKS if check.part in servers])
    problems = [
        f"{finding.part}: {finding.what}: {finding.advice}"
        for finding in found.findings
        if finding.part in servers and finding.state is State.FAILED
    ]
    if problems:
        raise CliError("\n".join(problems))


def _make(settings: "Settings") -> None:
    import asyncio  # noqa: PLC0415

    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from pymongo.errors import PyMongoError  # noqa: PLC0415
    from temporalio.service import RPCError  # noqa: PLC0415

    from cli.console import CliError, reason  # noqa: PLC0415
    from cli.provision import set_up  # noqa: PLC0415
    from models.errors import DependencyUnavailable  # noqa: PLC0415

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await set_up(settings)

    try:
        asyncio.run(bounded())
    except TimeoutError:
        raise CliError(
            f"the set-up took longer than {TIMEOUT_SECONDS:g} s; it can be run again"
        ) from None
    except (KafkaError, PyMongoError, DependencyUnavailable, RPCError, RuntimeError) as error:
        kind = type(error).__name__
        raise CliError(f"the set-up failed: {kind}: {reason(error)}; see cart doctor") from None
