"""`cart stock`: the reference inventory's stock, over HTTP."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from settings import Settings

TIMEOUT_SECONDS = 5.0
BASE = "/api/v1/inventories"
_COUNTS = ("available", "held", "sold")

Store = Annotated[str, typer.Argument(metavar="STORE", help="The store's id.")]
Product = Annotated[str, typer.Argument(metavar="PRODUCT", help="The product's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="Set and show the reference inventory's stock.")
    group.command("set")(set_stock)
    group.command("show")(show_stock)
    app.add_typer(group, name="stock")


def set_stock(
    store: Store,
    product: Product,
    available: Annotated[int, typer.Argument(metavar="N", min=0, help="Units available.")],
    as_json: AsJson = False,
) -> None:
    """Set how many units are available; what is held and sold stays."""
    _show(_call("PUT", "stock", store, product, {"available": available}), store, product, as_json)


def show_stock(store: Store, product: Product, as_json: AsJson = False) -> None:
    """Show what is available, held and sold."""
    _show(_call("GET", "check", store, product, None), store, product, as_json)


def _call(method: str, what: str, store: str, product: str, body: object) -> dict[str, Any]:
    """The inventory's answer; raises `CliError` with what it said when it refused."""
    from urllib.parse import quote  # noqa: PLC0415

    import httpx  # noqa: PLC0415

    from cli.console import CliError, reason, without_login  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    where = without_login(settings.inventory)
    url = f"{settings.inventory}{BASE}/{what}/{quote(product, safe='')}"
    try:
        response = httpx.request(
            method, url, params={"storeId": store}, json=body, timeout=TIMEOUT_SECONDS
        )
    except httpx.HTTPError as error:
        advice = _advice(settings)
        raise CliError(
            f"the inventory does not answer at {where} ({reason(error)}): {advice}"
        ) from None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.is_success and isinstance(answer, dict) and all(name in answer for name in _COUNTS):
        return answer
    refusal = _refusal(answer)
    raise CliError(f"the inventory at {where} answered {response.status_code}{refusal}")


def _advice(settings: "Settings") -> str:
    if settings.inventory_service_url:
        return "check INVENTORY_SERVICE_URL"
    return "start it with make run"


def _refusal(answer: object) -> str:
    """What a refusal says: the fields of a validation error, or its message."""
    if not isinstance(answer, dict):
        return ""
    details = answer.get("details")
    if isinstance(details, list):
        return ": " + "; ".join(f"{item.get('field')}: {item.get('message')}" for item in details)
    return f": {answer['message']}" if "message" in answer else ""


def _show(answer: dict[str, Any], store: str, product: str, as_json: bool) -> None:
    from rich.table import Table  # noqa: PLC0415

    from cli.console import output, print_json  # noqa: PLC0415

    counts = {name: answer[name] for name in _COUNTS}
    if as_json:
        print_json({"storeId": store, "productId": product, **counts})
        return
    table = Table("store", "product")
    for name in _COUNTS:
        table.add_column(name, justify="right")
    table.add_row(store, product, *(str(count) for count in counts.values()))
    output().print(table)
