"""`cart ops expired`: carts that expiry has cleared, which have a record but no run."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from adapters.mongo.batches import expired_carts
from cli.console import show
from cli.ops.connections import connected
from cli.options import AsJson, OnlyStore
from cli.tables import Column, Table
from models.documents import OperationRecord
from ops.connections import Connections
from ops.times import ago

commands = typer.Typer()
DAYS = 7


@commands.command()
@connected
async def expired(
    connections: Connections,
    *,
    store: OnlyStore = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user.")] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far to look back.")] = DAYS,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most carts to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List carts that expiry has cleared, the latest first, with what was in them."""
    now = datetime.now(UTC)
    records = await expired_carts(
        since=now - timedelta(days=days), store_id=store, user_id=user, limit=limit
    )
    pages = connections.pages
    table = Table(
        records,
        ("cleared", lambda record: ago(record.at, now)),
        ("store", lambda record: record.store_id),
        ("user", lambda record: record.user_id),
        ("cart", lambda record: record.cart_id),
        ("pending", lambda record: ", ".join(sorted(record.due))),
        (Column("units", prose=True, spare=1), _units),
        (Column("pass", spare=2), lambda record: pages.query(f"RunId = '{record.run_id}'")),
    )
    show(
        {"carts": [_as_dict(record) for record in records]},
        *([table] if records else []),
        f"{len(records)} carts in {days} days"
        + ("; there may be more: --limit" if len(records) == limit else ""),
        as_json=as_json,
    )


def _units(record: OperationRecord) -> str:
    return ", ".join(f"{line.before} x {line.product_id}" for line in record.lines)


def _as_dict(record: OperationRecord) -> dict[str, Any]:
    return {
        "storeId": record.store_id,
        "userId": record.user_id,
        "cartId": record.cart_id,
        "sagaId": record.saga_id,
        "operationId": record.operation_id,
        "record": record.id,
        "runId": record.run_id,
        "reason": record.reason,
        "at": record.at,
        "units": {line.product_id: line.before for line in record.lines},
        "pending": sorted(record.due),
    }
