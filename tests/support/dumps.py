"""Everything that the servers store, as text, to search it for what must not be there."""

from datetime import datetime

import orjson
from temporalio.client import Client, WorkflowExecution

from adapters.mongo.client import database_of
from adapters.redis.pool import RedisPool
from models.wire import timestamp
from tests.support.shop import World


async def dump_mongodb(world: World, *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """The documents of each collection, without those in `but`."""
    database = database_of(world.carts.client)
    names = [name for name in await database.list_collection_names() if name not in but]
    return {
        name: "\n".join([str(document) async for document in database[name].find({})])
        for name in names
        if not name.startswith("system.")
    }


async def dump_redis(redis: RedisPool) -> dict[str, str]:
    """Each key with its value; both can be of any bytes."""
    found: dict[str, str] = {}
    async with redis.client("cart") as client:
        async for key in client.scan_iter(count=1000):
            kind = await client.type(key)
            value = await client.hgetall(key) if kind == b"hash" else await client.get(key)
            found[key.decode(errors="replace")] = repr(value)
    return found


async def dump_temporal(client: Client, *, since: datetime) -> dict[str, str]:
    """The list entry and the history of each run that started since then, with its payloads as
    text."""
    query = f"StartTime >= '{timestamp(since)}'"
    return {
        f"{run.workflow_type} {run.id} {run.run_id}": await _run(client, run)
        async for run in client.list_workflows(query)
    }


async def _run(client: Client, run: WorkflowExecution) -> str:
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    history = await handle.fetch_history()
    # Protobuf's text has the bytes of payloads as they are, unlike its JSON.
    return f"{run.raw_info}\n" + "\n".join(str(event) for event in history.events)


def places_of(word: str, dump: dict[str, str]) -> list[str]:
    """The places in which a word occurs, also as JSON writes it."""
    spelled = {word, orjson.dumps(word).decode()[1:-1]}
    return [place for place, text in dump.items() if any(one in place + text for one in spelled)]
