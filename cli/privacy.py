"""`cart privacy`: export or erase all data of a user.

The erasure itself is a workflow (`workflows.privacy`), which continues when the command is stopped.
What cannot be erased is listed with the time at which it disappears by itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

import orjson
import typer
from aiokafka.errors import KafkaError
from temporalio.client import WorkflowFailureError

from activities.privacy import ERASURE
from adapters.kafka.dead_letters import Letter, letters
from adapters.kafka.topics import retention
from adapters.keyring import Keyring
from adapters.mongo.privacy import Person, PersonalData
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from adapters.shoppers import SHOPPER
from cli import dead_letter_search
from cli.audit import audited
from cli.console import CliError, ExitCode, print_json, show, warn
from cli.ops.connections import connected
from cli.options import AsJson, By, Confirm, OnlyStore, confirmed, operator
from models.actor import Actor, ActorType
from models.cart import cart_fields
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.events import DEAD_LETTERS
from models.privacy import EraseInput, UserData
from models.wire import timestamp, to_json
from ops.connections import Connections
from ops.words import brief, reason
from settings import Settings
from workflows.histories import Histories, input_of, runs_of_user

privacy = typer.Typer()

TOKEN_CHARACTERS = 22

User = Annotated[str, typer.Option("--user", metavar="USER", help="The user's id: a token's sub.")]

REMAINS = {
    "kafkaEvents": "published events have the user's id until their topics' retention ends",
    "scheduledRuns": "runs of schedules may name the user until the namespace's retention ends",
    "inventory": "the Inventory Service keeps its own books",
    "logs": "log lines have the user's id for as long as they are kept",
    "backups": "backups of MongoDB and Temporal have what they had",
}
"""What no erasure reaches, and until when it stays."""


@dataclass(frozen=True)
class Found:
    """What there is of a user; `letters` as they are shown, or None where Kafka does not answer."""

    stored: UserData
    letters: list[dict[str, Any]] | None


@privacy.command("export")
@connected
async def export_user(
    connections: Connections, *, user: User, store: OnlyStore = None, by: By = None
) -> ExitCode:
    """Print all data of a user as one JSON document."""
    person = Person(user, store)
    keyring = Keyring(connections.settings.secrets_of_data)
    data = PersonalData()
    carts = await connections.need("mongodb", partial(data.carts, person))
    records = [await _record(connections, one) async for one in data.records(person)]
    others = await connections.need("mongodb", partial(data.others, person))
    runs = [
        {"workflowId": run.id, "runId": run.run_id, "type": run.workflow_type}
        | {"startedAt": timestamp(run.start_time)}
        | {"input": _opened(await input_of(connections.temporal, run), person, keyring)}
        for running in (False, True)
        async for run in runs_of_user(connections.temporal, user, store, running=running)
    ]
    parked = await _letters(connections.settings, person, carts, whole=True)
    document = {
        "user": user,
        "store": store,
        "carts": [_cart(cart) for cart in carts],
        "operations": records,
        **others,
        "temporal": runs,
        "deadLetters": parked,
        "notIncluded": REMAINS,
    }
    print_json(document)
    count = len(carts) + len(records) + len(runs)
    await audited(
        connections.gateway,
        "privacy_export",
        by=operator(by),
        count=count,
        subject=_token(keyring, person),
    )
    return ExitCode.OK if parked is not None else ExitCode.INCOMPLETE


@privacy.command("erase")
@connected
async def erase_user(
    connections: Connections,
    *,
    user: User,
    store: OnlyStore = None,
    by: By = None,
    confirm: Confirm = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Erase nothing; show what there is.")
    ] = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Erase all data of a user: first shows what there is, then needs --confirm with its number.

    Clears the carts, which releases their units; then deletes histories, answers and cached values,
    and puts a random pseudonym in the place of the user in records. Exits 4 when something is left.
    """
    person = Person(user, store)
    settings = connections.settings
    keyring = Keyring(settings.secrets_of_data)
    found = await _found(connections, person, keyring)
    if dry_run or confirm is None:
        _show_found(found, person, as_json=as_json)
    if dry_run:
        return ExitCode.OK
    if not confirmed("erase", found.stored.total, "things", confirm):
        return ExitCode.NOT_CONFIRMED
    actor = Actor(type=ActorType.OPERATOR, id=operator(by))
    request = EraseInput(user=keyring.seal(user, ERASURE), store_id=store, actor=actor)
    token = _token(keyring, person)
    starting = partial(connections.gateway.erase, request, token)
    started = await connections.need("temporal", starting)
    warn(f"it continues when this command is stopped: {connections.pages.workflow(started.id)}")
    await audited(
        connections.gateway,
        "privacy_erase",
        by=actor.id,
        count=found.stored.total,
        subject=_token(keyring, person),
    )
    try:
        erased = await started.result()
    except WorkflowFailureError as error:
        raise CliError(f"the erasure failed: {brief(str(error.cause))}") from None
    show(
        erased.model_dump(mode="json") | {"deadLetters": found.letters, "remains": REMAINS},
        f"{erased.carts} carts cleared, {erased.records} records without the user, "
        f"{erased.histories} histories and {erased.cached} cached values deleted",
        *([f"{erased.left.total} things are left: run it again"] if erased.left.total else []),
        *_remaining_lines(found.letters),
        as_json=as_json,
    )
    return ExitCode.NOT_YET if erased.left.total else ExitCode.OK


async def _found(connections: Connections, person: Person, keyring: Keyring) -> Found:
    settings = connections.settings
    stored = await connections.need("mongodb", partial(PersonalData().count, person))
    histories, who = Histories(connections.temporal), (person.user_id, person.store_id)
    counting = partial(histories.count, *who)
    closed = await connections.need("temporal", partial(counting, running=False))
    running = await connections.need("temporal", partial(counting, running=True))
    redis = RedisPool(settings.redis)
    try:
        keys = await CartCache(redis, keyring, ttl_seconds=1).keys_of_user(*who)
    except DependencyUnavailable as error:
        warn(f"Redis does not answer ({reason(error)}); its values live for CART_CACHE_TTL")
        keys = []
    finally:
        await redis.close()
    counts = {"cached": len(keys), "histories": closed, "running": running}
    carts = await connections.need("mongodb", partial(PersonalData().carts, person))
    parked = await _letters(settings, person, carts)
    return Found(stored.model_copy(update=counts), parked)


async def _letters(
    settings: Settings, person: Person, carts: list[Cart], *, whole: bool = False
) -> list[dict[str, Any]] | None:
    """The dead letters that name the user or a cart of the user; None without Kafka."""
    ids = [person.user_id, *(str(cart.id) for cart in carts)]
    try:
        found = [
            one
            for one in await letters(settings)
            if dead_letter_search.names(one, ids, store_id=person.store_id)
        ]
        kept = await retention(settings, DEAD_LETTERS) if found else None
    except (KafkaError, OSError, DependencyUnavailable) as error:
        warn(f"Kafka does not answer ({reason(error)}); cart.dlq was not read")
        return None
    return [_letter(one, kept, whole=whole) for one in found]


def _letter(letter: Letter, kept: timedelta | None, *, whole: bool) -> dict[str, Any]:
    """`keptUntil` is when its topic may delete it at the earliest; None if that is not known."""
    until = datetime.fromisoformat(letter.parked_at) + kept if kept else None
    about = {
        "id": letter.id,
        "topic": letter.topic,
        "error": letter.error,
        "parkedAt": letter.parked_at,
        "keptUntil": timestamp(until) if until else None,
    }
    if not whole:
        return about
    # What could not be decoded is a whole batch, and may have messages about other users.
    value = letter.value.decode(errors="replace") if letter.raw is None else None
    return about | {"value": value}


def _token(keyring: Keyring, person: Person) -> str:
    """Stands for the user and store in ids and audit lines, which outlive the user's data."""
    mac = keyring.sign(person.user_id.encode(), ERASURE, person.store_id or "")
    return mac[:TOKEN_CHARACTERS].decode()


def _show_found(found: Found, person: Person, *, as_json: bool) -> None:
    counts = found.stored.model_dump()
    show(
        {"user": person.user_id, "store": person.store_id, "found": counts}
        | {"total": found.stored.total, "deadLetters": found.letters, "remains": REMAINS},
        *(f"{name.replace('_', ' '):<16} {count}" for name, count in counts.items()),
        f"{found.stored.total} things",
        *_remaining_lines(found.letters),
        as_json=as_json,
    )


def _remaining_lines(parked: list[dict[str, Any]] | None) -> list[str]:
    lines = [f"not erased: {text}" for text in REMAINS.values()]
    if parked is None:
        return [*lines, "not erased: cart.dlq, which could not be read"]
    return [
        *lines,
        *(
            f"not erased: dead letter {one['id']} ({one['error']}), kept until "
            f"{one['keptUntil'] or 'the retention of cart.dlq ends'}"
            for one in parked
        ),
    ]


def _cart(cart: Cart) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(to_json(cart_fields(cart.id, cart)))
    return fields | {"email": cart.email}


async def _record(connections: Connections, record: OperationRecord) -> dict[str, Any]:
    fields = record.model_dump(mode="json", by_alias=True)
    answer = await connections.operations.answer(record)
    return fields | {"answer": answer and {"status": answer.status, "body": answer.body}}


def _opened(inputs: list[Any], person: Person, keyring: Keyring) -> list[Any]:
    """Inputs of workflows with what is sealed in them in clear text."""
    for one in inputs:
        if isinstance(one, dict) and isinstance(one.get("shopper"), str):
            about = (SHOPPER, str(one.get("store_id")), person.user_id)
            text = keyring.open(one["shopper"], *about)
            one["shopper"] = text and orjson.loads(text)
    return inputs
