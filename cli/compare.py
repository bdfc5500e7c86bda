"""`cart compare`: the same reads from this service and from another one, and how they differ.

For a move from the original Node.js service, while both run (docs/migrate.md). Only fields that the
other service answers are compared.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import orjson
import typer

from activities.concurrency import gather_bounded
from adapters.mongo.client import LIST_SECONDS, bounded, close, connect
from cli.console import CliError, ExitCode, show, unavailable
from cli.options import AsJson, OnlyStore
from cli.tables import Column, Table
from cli.token import mint_token
from models.documents import Cart
from models.errors import DependencyUnavailable
from models.user_id import path_safe
from ops.words import reason
from settings import Settings, load_settings

TIMEOUT_SECONDS = 10.0
AT_ONCE = 8
SHOWN = 100
_LIST = "cartItems"
_ABSENT = "absent"


@dataclass(frozen=True)
class Differs:
    """A field with another value; `product` is set for a field of a line."""

    cart: str
    product: str | None
    field: str
    here: Any
    there: Any


def compare(
    *,
    against: Annotated[str, typer.Option(metavar="URL", help="The other service's address.")],
    store: OnlyStore = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Most carts to compare, the latest changed.")
    ] = 1000,
    token: Annotated[
        str | None,
        typer.Option(help="An admin's token for both; else the users' own are signed here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare this service's answers with another one's.

    Reads the carts that are here from both. Exits 1 when they differ.
    """
    settings = load_settings()
    try:
        count, found = asyncio.run(_compare(settings, against.rstrip("/"), store, limit, token))
    except DependencyUnavailable as error:
        raise CliError(unavailable(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CliError(f"a service does not answer: {reason(error)}") from None
    document = {"carts": count, "differences": [asdict(one) for one in found]}
    show(document, *_parts(count, found), as_json=as_json)
    raise typer.Exit(ExitCode.PROBLEM if found else ExitCode.OK)


async def latest_carts(settings: Settings, store: str | None, limit: int) -> list[Cart]:
    """The carts that were changed last, of a store or (None) of all."""
    client = await connect(settings.mongodb, app_name="cart-compare")
    try:
        async with bounded(LIST_SECONDS):
            wanted = {"storeId": store} if store else {}
            return await Cart.find(wanted).sort("-updatedAt").limit(limit).to_list()
    finally:
        await close(client)


async def _compare(
    settings: Settings, against: str, store: str | None, limit: int, token: str | None
) -> tuple[int, list[Differs]]:
    """The number of carts that were compared, and what differs."""
    carts = await latest_carts(settings, store, limit)
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:

        async def one(cart: Cart) -> list[Differs]:
            bearer = token or mint_token(settings, user=cart.user_id)
            own = f"/api/v1/cart/{quote(cart.store_id)}/store"
            path = f"/api/v1/cart/{cart.id}" if token else own
            headers = {"Authorization": f"Bearer {bearer}"}
            here, there = await asyncio.gather(
                *(http.get(base + path, headers=headers) for base in (settings.api_url, against))
            )
            name = f"{cart.store_id}/{path_safe(cart.user_id)}"
            return list(differences(name, _fields(here), _fields(there)))

        found = await gather_bounded(one, carts, AT_ONCE)
    return len(carts), [differs for differing in found for differs in differing]


def _fields(response: httpx.Response) -> dict[str, Any]:
    """The answer's fields, and its status; amounts are exact."""
    try:
        body = orjson.loads(response.content)
    except ValueError:
        body = None
    return {"status": response.status_code} | (body if isinstance(body, dict) else {})


def differences(cart: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Differs]:
    """How the fields that the other service has differ here."""
    if here["status"] != there["status"]:
        yield Differs(cart, None, "status", here["status"], there["status"])
        return
    for field, value in there.items():
        if field != _LIST and not _same(here.get(field, _ABSENT), value):
            yield Differs(cart, None, field, here.get(field, _ABSENT), value)
    ours, theirs = _lines(here), _lines(there)
    for product in ours | theirs:
        if product not in ours or product not in theirs:
            values = ("present" if product in lines else _ABSENT for lines in (ours, theirs))
            yield Differs(cart, product, "line", *values)
            continue
        for field, value in theirs[product].items():
            mine = ours[product].get(field, _ABSENT)
            if not _same(mine, value):
                yield Differs(cart, product, field, mine, value)


def _lines(answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(line.get("productId")): line for line in answer.get(_LIST) or ()}


def _same(here: Any, there: Any) -> bool:
    """Whether two values mean the same: an image is one URL or a list, an amount a number."""
    if isinstance(here, list) and isinstance(there, str):
        return here == [there]
    numbers = int | float
    if isinstance(here, numbers) and isinstance(there, numbers):
        return abs(Decimal(str(here)) - Decimal(str(there))) < Decimal("0.005")
    return bool(here == there)


def _parts(count: int, found: list[Differs]) -> list[Table | str]:
    parts: list[Table | str] = []
    if found:
        parts.append(
            Table(
                found[:SHOWN],
                ("cart", lambda one: one.cart),
                ("product", lambda one: one.product),
                ("field", lambda one: one.field),
                (Column("here", prose=True, spare=1), lambda one: one.here),
                (Column("there", prose=True, spare=2), lambda one: one.there),
            )
        )
    if len(found) > SHOWN:
        parts.append(f"{len(found) - SHOWN} more differences; --json has all")
    carts = len({one.cart for one in found})
    parts.append(f"{count} carts compared, {carts} differ")
    return parts
