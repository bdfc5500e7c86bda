"""The route class of the cart: authenticates first, then reads a strict JSON body."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.dependencies import authenticate
from api.errors import ApiError, invalid, problem
from api.strict_json import StrictJsonError, parse_object

_JSON = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")


class StrictRequest(Request):
    """A request whose body is one strict JSON object, or nothing."""

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
            raise ApiError(invalid(("body", str(error)))) from None


class CartRoute(APIRoute):
    """A route that only a valid token may use."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            await authenticate(request)
            return await handler(StrictRequest(request.scope, request.receive))

        return authenticated
