"""`cart stores`: what stores set for themselves, in MongoDB."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from api.field_problems import field_problem, holds_too_long
from api.schemas import FieldProblem
from cli.audit import audited
from cli.console import CliError, ExitCode, show
from cli.ops.connections import connected
from cli.options import AsJson, By, operator, store_id
from cli.tables import Column, Table
from models.store_settings import StoredSettings, StoreSettings
from ops.connections import Connections
from ops.times import stamp
from workflows.requests import policy_of

stores = typer.Typer()

PAGE = 100
TRIES = 3


def _store(text: str) -> str:
    try:
        return store_id(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Store = Annotated[str, typer.Argument(metavar="STORE", parser=_store, help="The store's id.")]


@stores.command("set")
@connected
async def set_settings(
    connections: Connections,
    *,
    store: Store,
    changes: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE...", help="`key=` takes the service's setting again."),
    ],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a store; those that are not named stay.

    Keys: currency, maxLines, maxQuantity, maxUnits, maxValue, expiryDays, holdMinutes,
    holdMaxMinutes, checkoutMinutes, reservationPolicy (cart, checkout or none). Operations that
    start within five seconds may still have the settings before.
    """
    for _ in range(TRIES):
        before = await connections.need("mongodb", partial(connections.store_settings.read, store))
        settings = _changed(before.settings if before else StoreSettings(), changes)
        policy = settings.applied_to(policy_of(connections.settings))
        if policy.hold_seconds > policy.hold_max_seconds:
            raise _refused(holds_too_long(policy.hold_max_seconds))
        write = partial(
            connections.store_settings.write,
            store,
            settings,
            by=operator(by),
            at=datetime.now(UTC),
            version=before.version if before else 0,
        )
        stored = await connections.need("mongodb", write)
        if stored is not None:
            break
    else:
        raise CliError(f"the settings of store {store} kept changing: try again")
    await audited(
        connections.gateway,
        "stores_set",
        by=operator(by),
        count=len(changes),
        storeId=store,
        settings=_set(stored),
    )
    _show(connections, store, stored, as_json=as_json)


@stores.command("show")
@connected
async def show_settings(connections: Connections, *, store: Store, as_json: AsJson = False) -> None:
    """Show the settings of a store: its own, and the service's for the others."""
    stored = await connections.need("mongodb", partial(connections.store_settings.read, store))
    _show(connections, store, stored, as_json=as_json)


@stores.command("list")
@connected
async def list_settings(connections: Connections, *, as_json: AsJson = False) -> None:
    """List the stores that set something for themselves."""
    found: list[StoredSettings] = []
    while True:
        after = found[-1].id if found else ""
        read = partial(connections.store_settings.page, after=after, limit=PAGE)
        page = await connections.need("mongodb", read)
        found += page
        if len(page) < PAGE:
            break
    table = Table(
        found,
        ("store", lambda one: one.id),
        (Column("settings", prose=True), lambda one: _in_words(_set(one))),
        ("since", lambda one: stamp(one.at)),
        ("by", lambda one: one.by),
    )
    rows = [
        {"storeId": one.id, "settings": _set(one), "version": one.version}
        | {"updatedAt": one.at, "by": one.by}
        for one in found
    ]
    show(rows, table, as_json=as_json)


def _changed(settings: StoreSettings, changes: list[str]) -> StoreSettings:
    """The settings with the changes; raises `CliError` for one that breaks a rule."""
    values: dict[str, Any] = settings.model_dump(by_alias=True, exclude_none=True)
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise CliError(f"{change}: must be KEY=VALUE", exit_code=ExitCode.USAGE)
        values[key] = _value(text)
    given = {key: value for key, value in values.items() if value is not None}
    unknown = values.keys() - {field.alias for field in StoreSettings.model_fields.values()}
    try:
        return StoreSettings.model_validate(given | dict.fromkeys(unknown))
    except ValidationError as error:
        problems = (
            field_problem({**one, "loc": ("body", *one["loc"])}, given) for one in error.errors()
        )
        raise _refused(*problems) from None


def _refused(*problems: FieldProblem) -> CliError:
    lines = (f"{problem.field}: {problem.message}" for problem in problems)
    return CliError(*lines, exit_code=ExitCode.USAGE)


def _value(text: str) -> float | str | None:
    """A number, a word, or None for nothing."""
    try:
        number = orjson.loads(text)
    except ValueError:
        return text or None
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return number if is_number else text


def _set(stored: StoredSettings | None) -> dict[str, Any]:
    """What the store sets for itself, by key."""
    return stored.settings.model_dump(by_alias=True, exclude_none=True) if stored else {}


def _in_words(settings: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items())


def _show(
    connections: Connections, store: str, stored: StoredSettings | None, *, as_json: bool
) -> None:
    own = _set(stored)
    settings = stored.settings if stored else StoreSettings()
    policy = settings.applied_to(policy_of(connections.settings))
    effective = StoreSettings.of(policy).model_dump(by_alias=True)
    document: dict[str, Any] = {
        "storeId": store,
        "settings": own,
        "effective": effective,
        "version": stored.version if stored else 0,
    }
    if stored is not None:
        document |= {"updatedAt": stored.at, "by": stored.by}
    table = Table(
        effective.items(),
        ("setting", lambda one: one[0]),
        (Column("value", right=True), lambda one: one[1]),
        ("set by", lambda one: "the store" if one[0] in own else "the service"),
    )
    show(document, table, as_json=as_json)
