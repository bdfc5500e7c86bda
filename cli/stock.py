"""`cart stock`: stock in the reference inventory, over HTTP."""

from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from cli.console import CliError, show, without_login
from cli.options import AsJson
from cli.tables import Column, Table
from ops.words import reason
from settings import load_settings

stock = typer.Typer()
TIMEOUT_SECONDS = 5.0
BASE = "/api/v1/inventories"
PRODUCTS = "/api/v1/products"
COUNTS = ("available", "held", "sold")

Store = Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")]
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="The product's id.")]


@stock.command("set")
def set_stock(
    store: Store,
    product: Product,
    available: Annotated[int, typer.Argument(metavar="N", min=0, help="Units available.")],
    *,
    title: Annotated[
        str | None, typer.Option(help="Its title, for the reference product service.")
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="The price of one unit there; with --title.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set the number of available units; held and sold units stay."""
    if (title is None) != (price is None):
        raise CliError("--title and --price: give both or none", exit_code=2)
    if title is not None:
        _answer("PUT", f"{PRODUCTS}/{_quoted(product)}", store, {"title": title, "price": price})
    _show_stock("PUT", "stock", store, product, {"available": available}, as_json=as_json)


@stock.command("show")
def show_stock(store: Store, product: Product, as_json: AsJson = False) -> None:
    """Show available, held and sold units."""
    _show_stock("GET", "check", store, product, None, as_json=as_json)


def _show_stock(
    method: str, action: str, store: str, product: str, body: object, *, as_json: bool
) -> None:
    """Sends a request and prints the stock it answers."""
    answer = _answer(method, f"{BASE}/{action}/{_quoted(product)}", store, body, *COUNTS)
    counts = {name: answer[name] for name in COUNTS}
    table = Table(
        [counts],
        ("store", lambda _: store),
        ("product", lambda _: product),
        *((Column(name, right=True), itemgetter(name)) for name in COUNTS),
    )
    show({"storeId": store, "productId": product, **counts}, table, as_json=as_json)


def _answer(method: str, path: str, store: str, body: object, *fields: str) -> dict[str, Any]:
    """The answer of the reference service; raises `CliError` for one without these fields."""
    settings = load_settings()
    where = without_login(settings.inventory)
    try:
        response = httpx.request(
            method,
            f"{settings.inventory}{path}",
            params={"storeId": store},
            json=body,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        is_set = settings.inventory_service_url
        advice = "check INVENTORY_SERVICE_URL" if is_set else "start it with make run"
        raise CliError(
            f"the inventory does not answer at {where} ({reason(error)}): {advice}"
        ) from None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not (response.is_success and isinstance(answer, dict) and answer.keys() >= {*fields}):
        raise CliError(
            f"the inventory at {where} answered {response.status_code}{_refusal(answer)}"
        )
    return answer


def _quoted(product: str) -> str:
    return quote(product, safe="")


def _refusal(answer: Any) -> str:
    """The reason in a refusal: the fields of a validation error, or its message."""
    if not isinstance(answer, dict):
        return ""
    details = answer.get("details")
    if isinstance(details, list):
        return ": " + "; ".join(f"{item.get('field')}: {item.get('message')}" for item in details)
    return f": {answer['message']}" if "message" in answer else ""
