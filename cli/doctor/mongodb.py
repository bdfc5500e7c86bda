"""MongoDB: a primary of a replica set, its time limit for transactions, our indexes, pending
effects, and the latest comparison of reservations."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError

from adapters.mongo.client import DOCUMENTS, MongoClient
from adapters.mongo.outbox import MOST_COUNTED
from cli.console import reason, without_login
from cli.doctor.reservations import check_reservations
from cli.doctor.results import CheckReport, Part, start_or_check
from cli.times import stamp
from models.documents import BUCKETS, OperationRecord
from models.effects import EffectKind
from settings import Settings

# Together less than the time of a check. Finding a primary has an option of its own, because a
# `pymongo.timeout` around it would replace that option.
SELECTION_MS = 1_000
COMMANDS_SECONDS = 0.8
# A process that is killed inside a transaction blocks its cart for this long.
TRANSACTION_SECONDS = 5
PENDING_AFTER = timedelta(seconds=60)
_NO_REPLICA_SET = "start mongod with --replSet and run rs.initiate() once: transactions need it"
_UNSET = object()
_NOT_ALLOWED = 13  # MongoDB's error code `Unauthorized`

Database = AsyncDatabase[dict[str, Any]]


async def check_mongodb(settings: Settings, report: CheckReport) -> None:
    """All checks of MongoDB, over one client with the service's own URI."""
    uri = settings.mongodb.get_secret_value()
    where = without_login(uri)
    client: MongoClient = AsyncMongoClient(
        uri,
        appname="cart-doctor",
        serverSelectionTimeoutMS=SELECTION_MS,
        connectTimeoutMS=SELECTION_MS,
        tz_aware=True,
    )
    try:
        if problem := await _problem(client, settings, where, report):
            report.failed(Part.MONGODB, *problem)
            return
        database = client.get_default_database("cart-service")
        with pymongo.timeout(COMMANDS_SECONDS):
            await asyncio.gather(
                _transactions(client, report),
                _indexes(database, report),
                _pending(database, report),
                check_reservations(database, report),
            )
    except PyMongoError as error:
        report.failed(Part.MONGODB, f"{where}: {reason(error)}", _advice(settings))
    finally:
        await client.close()


async def _problem(
    client: MongoClient, settings: Settings, where: str, report: CheckReport
) -> tuple[str, str] | None:
    """What is wrong with the server, and what to do; None when it is a primary."""
    try:
        hello = await client.admin.command("hello")
    except ServerSelectionTimeoutError as error:
        return _no_primary(client, settings, where, error)
    except OperationFailure as error:
        return f"{where} refuses us: {reason(error)}", "check the user and password in MONGODB_URI"
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return f"{where} is not a member of a replica set", _NO_REPLICA_SET
    if not hello.get("isWritablePrimary"):
        return f"{where} is not the primary", "take directConnection out of MONGODB_URI"
    report.ok(Part.MONGODB, f"{where}, replica set {hello.get('setName', 'behind mongos')!r}")
    return None


def _no_primary(
    client: MongoClient, settings: Settings, where: str, error: ServerSelectionTimeoutError
) -> tuple[str, str]:
    """Why no primary was found, by the driver's view of the servers, and what to do."""
    servers = client.topology_description.server_descriptions().values()
    kinds = {server.server_type_name for server in servers}
    if "RSGhost" in kinds:
        return f"{where} is a replica set that was never initiated", "run rs.initiate() once"
    if kinds & {"RSSecondary", "RSArbiter", "RSOther"}:
        return f"{where} has no primary", "see rs.status(): a majority of the members must be up"
    if "Standalone" in kinds or not kinds or "belongs to a set named" in str(error):
        name = settings.mongodb_replica_set
        return (
            f"{where} is not a member of the replica set {name!r}",
            f"{_NO_REPLICA_SET}; its name is MONGODB_REPLICA_SET",
        )
    return f"does not answer at {where} ({reason(error)})", _advice(settings)


def _advice(settings: Settings) -> str:
    return start_or_check("MONGODB_URI", is_set=settings.mongodb_uri is not None)


async def _transactions(client: MongoClient, report: CheckReport) -> None:
    name = "transactionLifetimeLimitSeconds"
    set_it = f"start mongod with --setParameter {name}={TRANSACTION_SECONDS}, or run setParameter"
    try:
        seconds = (await client.admin.command({"getParameter": 1, name: 1}))[name]
    except OperationFailure as error:
        why = "not allowed" if error.code == _NOT_ALLOWED else reason(error)
        report.warn(Part.TRANSACTIONS, f"{name} cannot be read ({why})", set_it)
        return
    if seconds > TRANSACTION_SECONDS:
        what = f"{name}={seconds}: a worker that dies in a transaction blocks its cart for so long"
        report.warn(Part.TRANSACTIONS, what, set_it)
    else:
        report.ok(Part.TRANSACTIONS, f"{name}={seconds}")


async def _indexes(database: Database, report: CheckReport) -> None:
    missing, different, count = [], [], 0
    for document in DOCUMENTS:
        collection = document.Settings.name
        there = await database[collection].index_information()
        for index in document.Settings.indexes:
            count += 1
            name = str(index.document["name"])
            if name not in there:
                missing.append(f"{collection}.{name}")
            elif not _is_same(index, there[name]):
                different.append(f"{collection}.{name}")
    if missing:
        report.failed(Part.INDEXES, f"missing: {', '.join(missing)}", "run `cart setup`")
    if different:
        advice = "drop it and run `cart setup`"
        report.failed(Part.INDEXES, f"different from the code: {', '.join(different)}", advice)
    if not missing and not different:
        report.ok(Part.INDEXES, f"all {count} exist")


def _is_same(index: IndexModel, there: Any) -> bool:
    wanted = index.document
    return list(wanted["key"].items()) == list(there["key"]) and all(
        wanted.get(option, _UNSET) == there.get(option, _UNSET)
        for option in ("unique", "expireAfterSeconds", "partialFilterExpression")
    )


async def _pending(database: Database, report: CheckReport) -> None:
    collection = database[OperationRecord.Settings.name]
    count, oldest = 0, datetime.now(UTC)
    for kind in EffectKind:
        since, index = f"due.{kind}.since", f"{kind}s_by_since"
        old = {
            f"due.{kind}.bucket": {"$in": [*range(BUCKETS)]},
            since: {"$lt": datetime.now(UTC) - PENDING_AFTER},
        }
        count += await collection.count_documents(old, limit=MOST_COUNTED, hint=index)
        first = await collection.find_one(old, {since: 1}, sort=[(since, 1)], hint=index)
        oldest = min(oldest, first["due"][kind]["since"]) if first else oldest
    if not count:
        report.ok(Part.PENDING, f"none older than {PENDING_AFTER.seconds} s")
        return
    report.warn(
        Part.PENDING,
        f"{count} {'operation has' if count == 1 else 'operations have'} events to publish or "
        f"units to release that are older than {PENDING_AFTER.seconds} s, the oldest since "
        f"{stamp(oldest)} UTC",
        "check Kafka, the inventory and the worker; pending effects are then done in order",
    )
