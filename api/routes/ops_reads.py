"""`/admin/ops/...`: what `cart ops ... --json` prints, for the operators' page.

Not in the OpenAPI document: the routes change together with the page.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Response

from api.error_codes import ErrorCode
from api.errors import ApiError, invalid
from api.field_problems import label
from api.fields import DIGITS, MAX_KEY, MAX_LIMIT, EntityId, UserIdFilter
from api.operators import OperatorDep, OpsRoute
from api.schemas import FieldProblem
from ops.drift import drift
from ops.errors import NotFoundError
from ops.filters import SagaQuery, saga_state
from ops.listing import list_sagas
from ops.relays import RECORDS_MAX, overview, pending_effects
from ops.report import collect
from ops.sagas import cart_key
from ops.stuck import stuck_items
from ops.times import duration

router = APIRouter(prefix="/admin/ops", route_class=OpsRoute, include_in_schema=False)

T = TypeVar("T")
Store = Annotated[EntityId | None, Query(alias="storeId")]
User = Annotated[UserIdFilter | None, Query(alias="userId")]
Text = Annotated[str | None, Query(min_length=1, max_length=MAX_KEY)]


@router.get("/access")
async def access(operator: OperatorDep) -> Response:
    """Who the admin is, and the stores."""
    operator.saw("access", None)
    stores = [] if operator.has_all_stores else sorted(operator.stores)
    found = {"admin": operator.admin_id, "allStores": operator.has_all_stores, "stores": stores}
    return operator.answer(found)


@router.get("/stuck")
async def stuck(operator: OperatorDep, store_id: Store = None) -> Response:
    """`cart ops stuck`: of one store without relays, which serve all stores."""
    operator.must_have(store_id)
    found = await stuck_items(operator.connections, store_id)
    operator.saw("stuck", store_id, count=len(found))
    return operator.answer({"ok": not (found or operator.connections.unasked), "problems": found})


@router.get("/sagas")
async def sagas(
    operator: OperatorDep,
    *,
    store_id: Store = None,
    user_id: User = None,
    product_id: Annotated[EntityId | None, Query(alias="productId")] = None,
    order_id: Annotated[Text, Query(alias="orderId")] = None,
    operation: Text = None,
    outcome: Text = None,
    attention: bool = False,
    older_than: Annotated[Text, Query(alias="olderThan")] = None,
    newer_than: Annotated[Text, Query(alias="newerThan")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT), DIGITS] = 20,
) -> Response:
    """`cart ops list`."""
    operator.must_have(store_id)
    which = SagaQuery(
        store=store_id,
        user=user_id,
        product=product_id,
        operation=operation,
        attention=attention,
        older_than=_read("olderThan", duration, older_than),
        outcome=_read("outcome", saga_state, outcome),
        order=order_id,
        newer_than=_read("newerThan", duration, newer_than),
    )
    now = datetime.now(UTC)
    found = await list_sagas(operator.connections, which, limit=limit, now=now)
    count = len(found.sagas)
    operator.saw("sagas", store_id, userId=user_id, outcome=which.outcome, count=count)
    return operator.answer(found.as_dict(now))


@router.get("/show")
async def show(
    operator: OperatorDep, saga: Annotated[str, Query(min_length=1, max_length=2 * MAX_KEY + 2)]
) -> Response:
    """`cart ops show`: a saga, or with `STORE/USER` a cart and its latest changes."""
    key = cart_key(saga)
    if key is not None:
        operator.must_have(key.store_id)
    report = await collect(operator.connections, saga)
    if not operator.has(report.key and report.key.store_id):
        raise NotFoundError(f"nothing is known of {saga!r} in your stores")
    store, user = report.key or (None, None)
    operator.saw("show", store, userId=user, runId=report.saga and report.saga.run_id)
    cart = {"storeId": store, "userId": user}
    return operator.answer(report.as_dict() | cart)


@router.get("/pending")
async def pending(operator: OperatorDep, store_id: Store = None, user_id: User = None) -> Response:
    """`cart ops pending`: each effect of a store or a user; without both, their number by relay."""
    operator.must_have(store_id)
    if not (store_id or user_id):
        relays = await overview(operator.connections)
        operator.saw("relays", None, count=len(relays))
        return operator.answer({"relays": [relay.as_dict() for relay in relays]})
    wanted = partial(
        operator.connections.outbox.pending_of,
        store_id=store_id,
        user_id=user_id,
        limit=RECORDS_MAX,
    )
    records = await operator.connections.need("mongodb", wanted)
    effects = pending_effects(operator.connections, records)
    operator.saw("pending", store_id, userId=user_id, count=len(effects))
    return operator.answer({"effects": [effect.as_dict() for effect in effects]})


@router.get("/drift")
async def drifts(operator: OperatorDep, store_id: Store = None) -> Response:
    """Reservations that differ from their carts."""
    operator.must_have(store_id)
    found = await drift(operator.connections, store_id)
    operator.saw("drift", store_id, count=len(found.findings))
    return operator.answer(found.as_dict())


def _read(field: str, parse: Callable[[str], T], text: str | None) -> T | None:
    """A parameter that `parse` reads; raises `ApiError` (400) with its `ValueError`."""
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        message = f"{label(field)} {error}"
        flaw = FieldProblem(code=ErrorCode.INVALID_FORMAT, field=field, message=message)
        raise ApiError(invalid(flaw)) from None
