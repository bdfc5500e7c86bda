"""What a store sets for itself, for its admins."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.dependencies import Call, CallDep, StoreId
from api.entity_tags import required_tags
from api.error_codes import ErrorCode
from api.errors import Answer, ApiError, forbidden, invalid, settings_changed
from api.field_problems import broken, holds_too_long
from api.routing import CartRoute
from api.schemas import SettingsOfStore, StoreSettingsBody
from api.state import ApiState
from logs import audit
from models.limits import Policy
from models.store_settings import StoredSettings, StoreSettings
from models.wire import to_json

router = APIRouter(
    prefix="/admin/stores", tags=["Admin"], route_class=CartRoute, responses=docs.PROTECTED
)

_EXAMPLE = {
    "storeId": "507f1f77bcf86cd799439015",
    "settings": {"currency": "EUR", "maxUnits": 50},
    "effective": {
        "currency": "EUR",
        "maxLines": 100,
        "maxQuantity": 100,
        "maxUnits": 50,
        "maxValue": 0,
        "expiryDays": 30,
        "holdMinutes": 30.0,
        "holdMaxMinutes": 240.0,
        "checkoutMinutes": 15.0,
        "reservationPolicy": "cart",
    },
    "version": 1,
    "updatedAt": "2026-01-27T10:30:00.000Z",
}
_NOT_ADMIN = docs.refused("Not an admin of this store.", forbidden=forbidden().answer)


@router.get(
    "/{storeId}/settings",
    summary="Get the settings of a store",
    responses={
        200: docs.read(SettingsOfStore, "The settings.", shown.ETAG, store=_EXAMPLE),
        400: docs.BAD_STORE_ID,
        403: _NOT_ADMIN,
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def get_store_settings(store_id: StoreId, call: CallDep) -> Response:
    """For admins of the store: what the store sets itself, and what is in effect."""
    _check_admin(call, store_id)
    stored = await call.state.store_settings.read(store_id)
    return _answer(store_id, stored, call.state.policies.usual).response()


@router.put(
    "/{storeId}/settings",
    summary="Replace the settings of a store",
    responses={
        200: docs.read(SettingsOfStore, "The new settings.", shown.ETAG, store=_EXAMPLE),
        400: docs.validation_failed(
            maxUnits=broken("maxUnits", ErrorCode.OUT_OF_RANGE),
            currency=broken("currency", ErrorCode.INVALID_FORMAT),
        ),
        403: _NOT_ADMIN,
        412: docs.refused(
            "The settings have changed: no entity tag in `If-Match` matches.",
            changed=settings_changed(),
        ),
        415: docs.NOT_JSON,
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def put_store_settings(
    store_id: StoreId,
    body: StoreSettingsBody,
    call: CallDep,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            max_length=1000,
            description="Entity tags of which the settings must have one; else 412.",
            examples=['"3"'],
        ),
    ] = None,
) -> Response:
    """For admins of the store. A setting that is left out is as the service has it.

    Operations that start take the new settings with them, in every process within five seconds.
    """
    _check_admin(call, store_id)
    state, admin_id = call.state, call.principal.user_id
    policy = body.applied_to(state.policies.usual)
    if policy.hold_seconds > policy.hold_max_seconds:
        raise ApiError(invalid(holds_too_long(policy.hold_max_seconds)))
    tags = required_tags(if_match)
    version = None if tags is None else await _matching_version(state, store_id, tags)
    stored = await state.store_settings.write(
        store_id, body, by=admin_id, at=datetime.now(UTC), version=version
    )
    if stored is None:
        raise ApiError(settings_changed())
    state.policies.forget(store_id)
    audit.warning(
        "store_settings_set",
        message="Settings of a store set",
        adminId=admin_id,
        storeId=store_id,
        settings=stored.settings.model_dump(by_alias=True, exclude_none=True),
        version=stored.version,
    )
    return _answer(store_id, stored, state.policies.usual).response()


def _check_admin(call: Call, store_id: str) -> None:
    if not call.principal.administers(store_id):
        raise forbidden()


async def _matching_version(state: ApiState, store_id: str, tags: tuple[str, ...]) -> int:
    """The present version of the settings (0: there are none), if it is among the tags."""
    stored = await state.store_settings.read(store_id)
    version = stored.version if stored else 0
    if {str(version), "*" if stored else "0"}.isdisjoint(tags):
        raise ApiError(settings_changed())
    return version


def _answer(store_id: str, stored: StoredSettings | None, usual: Policy) -> Answer:
    settings = stored.settings if stored else StoreSettings()
    version = stored.version if stored else 0
    body = {
        "storeId": store_id,
        "settings": settings.model_dump(by_alias=True, exclude_none=True),
        "effective": StoreSettings.of(settings.applied_to(usual)).model_dump(by_alias=True),
        "version": version,
    }
    if stored is not None:
        body["updatedAt"] = stored.at
    return Answer(HTTPStatus.OK, to_json(body), {"ETag": f'"{version}"'})
