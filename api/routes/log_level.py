"""The log level of all processes, for admins of all stores."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.auth.roles import ALL_STORES
from api.dependencies import CallDep
from api.error_codes import ErrorCode
from api.errors import Answer, abort_answer, forbidden
from api.field_problems import broken
from api.routing import CurlRoute
from api.schemas import LogLevelBody, LogLevelSet
from logs import audit
from models.outcomes import AbortReason
from models.wire import timestamp, to_json

router = APIRouter(tags=["Admin"], route_class=CurlRoute, responses=docs.PROTECTED)


@router.post(
    "/admin/log-level",
    summary="Change the log level temporarily",
    responses={
        200: docs.read(
            LogLevelSet,
            "Every process logs at this level within two seconds, until the given time.",
            example={"level": "debug", "ttlSeconds": 900, "until": "2026-01-27T10:45:00.000Z"},
        ),
        400: docs.validation_failed(
            level=broken("level", ErrorCode.NOT_ALLOWED),
            ttlSeconds=broken("ttlSeconds", ErrorCode.OUT_OF_RANGE),
        ),
        403: docs.refused("Not an admin of all stores.", forbidden=forbidden("all stores").answer),
        415: docs.NOT_JSON,
        503: docs.refused(
            "Redis, which distributes the level, is unavailable; nothing was changed.",
            shown.RETRY_AFTER,
            redis=abort_answer(AbortReason.REDIS_UNAVAILABLE),
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
