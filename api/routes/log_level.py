"""The log level of all processes, for admins of all stores."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from api import openapi as docs
from api.auth.roles import ALL_STORES
from api.dependencies import CallDep
from api.errors import Answer, forbidden
from api.routing import CartRoute
from api.schemas import LogLevelBody, LogLevelSet
from logs import audit
from models.wire import timestamp, to_json

router = APIRouter(tags=["Admin"], route_class=CartRoute, responses=docs.PROTECTED)


@router.post(
    "/admin/log-level",
    summary="Change the log level temporarily",
    responses={
        200: docs.described(
            LogLevelSet,
            "Every process logs at this level within two seconds, until the given time.",
            example={"level": "debug", "ttlSeconds": 900, "until": "2026-01-27T10:45:00.000Z"},
        ),
        400: docs.validation_failed(
            level=("level", "Level must be debug, info, warn or error"),
            ttlSeconds=("ttlSeconds", "ttlSeconds must be an integer from 1 to 86400"),
        ),
        403: docs.message("Not an admin of all stores.", "Administrators of all stores only"),
        415: docs.NOT_JSON,
        503: docs.message(
            "Redis, which distributes the level, is unavailable; nothing was changed.",
            "Log level cannot be passed on now; try again",
            docs.RETRY_AFTER,
            code="redis_unavailable",
        ),
    },
)
async def set_log_level(body: LogLevelBody, call: CallDep) -> Response:
    """For admins of all stores. The level expires by itself; a later request replaces it."""
    principal = call.principal
    if not principal.administers(ALL_STORES):
        raise forbidden("all stores")
    override = await call.state.log_levels.override(body.level, seconds=body.ttl_seconds)
    audit.warning(
        "log_level_set",
        message="Log level set",
        adminId=principal.user_id,
        logLevel=body.level,
        until=timestamp(override.until),
    )
    answer = {"level": body.level, "ttlSeconds": body.ttl_seconds, "until": override.until}
    return Answer(HTTPStatus.OK, to_json(answer)).response()
