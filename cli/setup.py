"""`cart setup`: makes what the service needs on its servers; running it again changes nothing."""

import typer

TIMEOUT_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(setup)


def setup() -> None:
    """Make the Kafka topics, the MongoDB indexes and the search attributes."""
    import asyncio  # noqa: PLC0415

    from aiokafka.errors import KafkaError  # noqa: PLC0415
    from pymongo.errors import PyMongoError  # noqa: PLC0415
    from temporalio.service import RPCError  # noqa: PLC0415

    from adapters.mongo import DOCUMENTS  # noqa: PLC0415
    from cli.console import CliError, reason, without_login  # noqa: PLC0415
    from deploy.setup import set_up  # noqa: PLC0415
    from models.errors import DependencyUnavailable  # noqa: PLC0415
    from models.events import TOPICS  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415
    from workflows.ids import SEARCH_ATTRIBUTES  # noqa: PLC0415

    settings = load_settings()
    mongodb = without_login(settings.mongodb.get_secret_value())
    failure = "the set-up failed at {}: {}; cart doctor tells more"

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await set_up(settings)

    try:
        asyncio.run(bounded())
    except KafkaError as error:
        kafka = ", ".join(settings.kafka)
        raise CliError(failure.format(f"Kafka ({kafka})", reason(error))) from None
    except (DependencyUnavailable, PyMongoError) as error:
        raise CliError(failure.format(f"MongoDB ({mongodb})", reason(error))) from None
    except (RPCError, RuntimeError) as error:
        raise CliError(failure.format("Temporal", reason(error))) from None
    except TimeoutError:
        raise CliError(f"the set-up took longer than {TIMEOUT_SECONDS:g} s") from None

    print(f"Kafka: {len(TOPICS)} topics ({', '.join(TOPICS)})")
    for document in DOCUMENTS:
        names = [str(index.document["name"]) for index in document.Settings.indexes]
        print(f"MongoDB: {len(names)} indexes of {document.Settings.name} ({', '.join(names)})")
    print(f"Temporal: {len(SEARCH_ATTRIBUTES)} search attributes ({', '.join(SEARCH_ATTRIBUTES)})")
    print("All of this exists now.")
