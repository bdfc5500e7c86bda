"""MongoDB: a primary of a replica set that takes writes, its time limit for transactions, our
indexes, its disk, and what the service keeps there about its own state."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pymongo
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import DOCUMENTS, MongoClient
from adapters.mongo.foreign_carts import foreign_carts
from adapters.mongo.indexes import compare_indexes
from cli.doctor import places
from cli.doctor.pending import check_paused, check_pending
from cli.doctor.reports import check_reports
from cli.doctor.reservations import check_reservations
from cli.doctor.results import CheckReport, Part, fastest
from models.reports import ProcessReport
from ops.words import reason
from settings import Settings

# Together less than the time of a check. Finding a primary has an option of its own, because a
# `pymongo.timeout` around it would replace that option.
SELECTION_MS = 2_000
COMMANDS_SECONDS = 2.5
# A process that is killed inside a transaction blocks its cart for this long.
TRANSACTION_SECONDS = 5
SLOW_SECONDS = 0.1
DISK_USED = 0.9
_NO_REPLICA_SET = "start mongod with --replSet and run rs.initiate() once: transactions need it"
_NOT_ALLOWED = 13  # MongoDB's error code `Unauthorized`

Database = AsyncDatabase[dict[str, Any]]


async def check_mongodb(settings: Settings, report: CheckReport) -> None:
    """All checks of MongoDB, over one client with the service's own URI."""
    uri = settings.mongodb.get_secret_value()
    place = places.mongodb(settings)
    where = place.address
    client: MongoClient = AsyncMongoClient(
        uri,
        appname="cart-doctor",
        serverSelectionTimeoutMS=SELECTION_MS,
        connectTimeoutMS=SELECTION_MS,
        tz_aware=True,
    )
    try:
        if problem := await _problem(client, settings, where):
            report.failed(Part.MONGODB, *problem)
            return
        database = client.get_default_database("cart-service")
        parts: dict[Part, Awaitable[None]] = {
            Part.MONGODB: _write(database, where, report),
            Part.TRANSACTIONS: _transactions(client, report),
            Part.INDEXES: _indexes(database, report),
            Part.VALIDATORS: _validators(database, report),
            Part.DISK: _disk(database, report),
            Part.PENDING: check_pending(database, report, shards=settings.relay_shards),
            Part.PAUSED: check_paused(database, report),
            Part.CALLS: check_reports(database, report),
            Part.HOLDS: check_reservations(database, report),
        }
        with pymongo.timeout(COMMANDS_SECONDS):
            await asyncio.gather(
                *(_unless_refused(part, check, report) for part, check in parts.items())
            )
    except PyMongoError as error:
        report.unreachable(Part.MONGODB, place, error)
    finally:
        await client.close()


async def _problem(client: MongoClient, settings: Settings, where: str) -> tuple[str, str] | None:
    """What is wrong with the server, and what to do; None when it is a primary.

    Raises `PyMongoError` when it does not answer.
    """
    try:
        hello = await client.admin.command("hello")
    except ServerSelectionTimeoutError as error:
        if problem := _no_primary(client, settings, where, error):
            return problem
        raise
    except OperationFailure as error:
        return f"{where} refuses us: {reason(error)}", "check the user and password in MONGODB_URI"
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return f"{where} is not a member of a replica set", _NO_REPLICA_SET
    if not hello.get("isWritablePrimary"):
        return f"{where} is not the primary", "take directConnection out of MONGODB_URI"
    return None


def _no_primary(
    client: MongoClient, settings: Settings, where: str, error: ServerSelectionTimeoutError
) -> tuple[str, str] | None:
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
    return None


async def _unless_refused(part: Part, check: Awaitable[None], report: CheckReport) -> None:
    """Runs a check; a command that the server refuses is a problem of its part alone."""
    try:
        await check
    except OperationFailure as error:
        if error.timeout:
            raise
        report.failed(part, f"cannot be read: {reason(error)}", "see MongoDB and its indexes")


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
    if foreign := await foreign_carts(database):
        what = f"the collection `carts` has carts of another service: {', '.join(foreign)}"
        report.failed(Part.INDEXES, what, "name another database in MONGODB_URI")
        return
    found = await compare_indexes(database)
    if found.missing:
        report.failed(Part.INDEXES, f"missing: {', '.join(found.missing)}", "run `cart setup`")
    if found.different:
        names = ", ".join(found.different)
        advice = "drop it and run `cart setup`"
        report.failed(Part.INDEXES, f"different from the code: {names}", advice)
    if not found.missing and not found.different:
        report.ok(Part.INDEXES, f"all {found.wanted} exist")


async def _validators(database: Database, report: CheckReport) -> None:
    """Collections of the service with a validator; it makes none, so mostly there is no row."""
    ours = {document.Settings.name for document in DOCUMENTS}
    validated = [
        one["name"]
        async for one in await database.list_collections()
        if one["name"] in ours and one.get("options", {}).get("validator")
    ]
    for name in validated:
        report.failed(
            Part.VALIDATORS,
            f"{name} has a validator, which may refuse what the service writes",
            f'remove it in mongosh: `db.runCommand({{"collMod": "{name}", "validator": {{}}}})`',
        )


async def _disk(database: Database, report: CheckReport) -> None:
    """The disk that has the data. A server that does not say is left out."""
    stats = await database.command("dbStats")
    if not stats.get("fsTotalSize"):
        return
    used = stats["fsUsedSize"] / stats["fsTotalSize"]
    what = f"{used:.0%} of the disk with its data are used"
    if used > DISK_USED:
        report.failed(Part.DISK, what, "free space or enlarge it: a full disk ends MongoDB")
    else:
        report.ok(Part.DISK, what)


async def _write(database: Database, where: str, report: CheckReport) -> None:
    """A document can be written by a majority, read and deleted."""
    collection = database[ProcessReport.Settings.name].with_options(
        write_concern=WriteConcern("majority"), read_concern=ReadConcern("majority")
    )
    written = {"_id": f"doctor {uuid4().hex}"}
    # The reports of processes that are gone are deleted after a while, and so is this.
    now = {"at": datetime.now(UTC)}
    try:
        took = await fastest(lambda: collection.replace_one(written, now, upsert=True))
        await collection.find_one(written)
        await collection.delete_one(written)
    except OperationFailure as error:
        if error.timeout:
            raise
        report.failed(
            Part.MONGODB,
            f"{where} answers, and refuses a write: {reason(error)}",
            "see its log; its disk (`df -h`); the roles of the user in MONGODB_URI (readWrite)",
        )
    else:
        report.answered(Part.MONGODB, where, "a write", took, slow_after=SLOW_SECONDS)
