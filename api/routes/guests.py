"""Guests: shoppers without an account get a token of this service."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api.error_codes import ErrorCode
from api.errors import Answer, not_found
from api.middleware import context_of
from api.routing import StrangerRoute
from api.schemas import FieldProblem, Guest
from api.state import state_of
from models.wire import to_json

router = APIRouter(tags=["Guests"], route_class=StrangerRoute, responses=docs.WITHOUT_TOKEN)


@router.post(
    "/api/v1/guests",
    summary="Become a guest",
    status_code=HTTPStatus.CREATED,
    responses={
        201: docs.read(
            Guest,
            "A new guest.",
            example={"token": "eyJhbGciOiJIUzI1NiIs…", "expiresAt": "2026-02-26T10:30:00.000Z"},
        ),
        400: docs.validation_failed(
            query=FieldProblem(
                code=ErrorCode.UNKNOWN_FIELD, field="store", message="Unknown query parameter"
            )
        ),
        404: docs.refused(
            "This service has no guests.", off=not_found(ErrorCode.GUESTS_OFF).answer
        ),
    },
)
async def create_guest(request: Request) -> Response:
    """Creates a guest: a shopper without an account. With the token, a guest does with a cart what
    any user does. Requires no token, and reads no body.
    """
    guests = state_of(request).authenticator.guests
    if not guests.are_on:
        raise not_found(ErrorCode.GUESTS_OFF)
    guest = guests.issue()
    context = context_of(request)
    context.fields["userId"] = guest.guest_id
    context.done("guest_created", "Guest created")
    answer = Guest(token=guest.token, expires_at=guest.expires_at)
    return Answer(HTTPStatus.CREATED, to_json(answer)).response()
