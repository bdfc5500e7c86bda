"""The route class of the API: authenticates, then reads a strict JSON body."""

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.dependencies import authenticate
from api.error_codes import ErrorCode
from api.errors import ApiError, invalid, problem
from api.schemas import FieldProblem
from api.strict_json import StrictJsonError, parse_object

BASE_PATH = "/api/v1/cart"
_JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")
_ACCEPTABLE = ("application/json", "application/*", "*/*")
_REFUSED = re.compile(r"\s*q=0(?:\.0*)?\s*", re.IGNORECASE)


def _accepts_json(headers: list[str]) -> bool:
    """Whether `Accept` allows JSON (RFC 9110, 12.5.1); without the header, all is allowed."""
    ranges = [one for one in ",".join(headers).split(",") if one.strip()]
    for one in ranges:
        name, *parameters = one.split(";")
        if name.strip().lower() in _ACCEPTABLE and not any(map(_REFUSED.fullmatch, parameters)):
            return True
    return not ranges


class StrictRequest(Request):
    """A request whose body is one strict JSON object, or empty."""

    async def body(self) -> bytes:
        raw = await super().body()
        if raw and self.headers.get("content-type", "").lower() not in _JSON:
            message = "Content-Type must be application/json"
            raise ApiError(problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message))
        return raw

    async def json(self) -> Any:
        try:
            return parse_object(await super().body())
        except StrictJsonError as error:
            flaw = FieldProblem(code=ErrorCode.MALFORMED_JSON, field="body", message=str(error))
            raise ApiError(invalid(flaw)) from None


class CartRoute(APIRoute):
    """A route that requires a valid token."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            await authenticate(request)
            if not _accepts_json(request.headers.getlist("accept")):
                message = "Answers are application/json, which Accept does not allow"
                raise ApiError(problem(HTTPStatus.NOT_ACCEPTABLE, message))
            return await handler(StrictRequest(request.scope, request.receive))

        return authenticated
