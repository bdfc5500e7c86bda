"""The route classes of the API: each admits a request (by its token and rate limits), checks its
headers and query, and reads a strict JSON body."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from api.dependencies import admit_stranger, authenticate
from api.error_codes import ErrorCode
from api.errors import MAX_DETAILS, ApiError, invalid, problem
from api.field_problems import MAX_NAME
from api.media_types import EVENT_STREAM, FORM, JSON, accepts, check_content
from api.schemas import FieldProblem
from api.strict_json import StrictJsonError, parse_object

BASE_PATH = "/api/v1/cart"
_JSON = JSON.encode()
# Lists, which may stand in several lines; FastAPI reads the first line only.
_LISTS = (b"if-match", b"if-none-match")


class StrictRequest(Request):
    """A request whose body is one strict JSON object, or empty."""

    also: str | None = None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(_plain(scope), receive)
        self._as_sent = Headers(scope=scope)

    async def body(self) -> bytes:
        try:
            raw = await super().body()
        except ClientDisconnect:
            message = "The connection was closed before the request was complete"
            status = HTTPStatus.REQUEST_TIMEOUT
            raise ApiError(problem(status, message, code=ErrorCode.REQUEST_TIMEOUT)) from None
        if raw:
            check_content(self._as_sent, also=self.also)
            if self.method == "PUT" and "content-range" in self._as_sent:  # RFC 9110, 14.5
                message = "A part of a resource cannot be replaced"
                raise ApiError(invalid(_flaw("Content-Range", ErrorCode.NOT_ALLOWED, message)))
        return raw

    async def json(self) -> Any:
        try:
            return parse_object(await super().body())
        except StrictJsonError as error:
            flaw = FieldProblem(code=ErrorCode.MALFORMED_JSON, field="body", message=str(error))
            raise ApiError(invalid(flaw)) from None


class StrictRoute(APIRoute):
    """Base of the routes: admits a request, and then reads it strictly.

    `Accept` must allow `answers`, the media type of its successes.
    """

    request_class: type[StrictRequest] = StrictRequest
    answers = JSON

    @abstractmethod
    async def admit(self, request: Request) -> None:
        """Raises `ApiError` for a request that the route does not serve."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        parameters = get_flat_params(self.dependant)
        known = frozenset(one.alias for one in parameters if isinstance(one.field_info, Query))

        async def admitted(request: Request) -> Response:
            await self.admit(request)
            if not accepts(request.headers.getlist("accept"), self.answers):
                message = f"Answers are {self.answers}, which Accept does not allow"
                raise ApiError(
                    problem(HTTPStatus.NOT_ACCEPTABLE, message, code=ErrorCode.NOT_ACCEPTABLE)
                )
            if request.scope["query_string"]:
                _check_query(request.query_params, known)
            return await handler(self.request_class(request.scope, request.receive))

        return admitted


class CartRoute(StrictRoute):
    """A route that requires a valid token. A request counts as `cost` requests for rate limits."""

    cost = 1

    async def admit(self, request: Request) -> None:
        await authenticate(request, cost=self.cost)


class StrangerRoute(StrictRoute):
    """A route for those who have no token yet, with a rate limit of its own."""

    async def admit(self, request: Request) -> None:
        await admit_stranger(request)


class _CurlRequest(StrictRequest):
    also = FORM


class CurlRoute(CartRoute):
    """A route whose JSON is also read when it comes with curl's own Content-Type."""

    request_class = _CurlRequest


class ListRoute(CartRoute):
    """A route that reads many documents."""

    cost = 5


class StreamRoute(CartRoute):
    """A route that answers with events for as long as the client stays."""

    answers = EVENT_STREAM


def _check_query(query: QueryParams, known: frozenset[str]) -> None:
    """Raises `ApiError` (400) that names each parameter that is unknown, repeated or not UTF-8."""
    times = Counter(name for name, _ in query.multi_items())
    details = [
        *(
            _flaw(name, ErrorCode.UNKNOWN_FIELD, "Unknown query parameter")
            if name not in known
            else _flaw(name, ErrorCode.CONFLICTING_VALUES, "Must be given once")
            for name, number in times.items()
            if name not in known or number > 1
        ),
        # Bytes that are not UTF-8 are replaced when they are decoded.
        *(
            _flaw(name, ErrorCode.INVALID_FORMAT, "Must be UTF-8, percent-encoded")
            for name, value in query.multi_items()
            if "\N{REPLACEMENT CHARACTER}" in value
        ),
    ]
    if details:
        raise ApiError(invalid(*details[:MAX_DETAILS]))


def _flaw(name: str, code: ErrorCode, message: str) -> FieldProblem:
    return FieldProblem(code=code, field=name[:MAX_NAME], message=message)


def _plain(scope: Scope) -> Scope:
    """The scope as FastAPI can read it: a plain JSON Content-Type, and each list in one line."""
    headers = scope["headers"]
    names = [name for name, _ in headers]
    plain = (b"content-type", _JSON) in headers and names.count(b"content-type") == 1
    if plain and all(names.count(name) <= 1 for name in _LISTS):
        return scope
    lists = {
        name: b", ".join(value for other, value in headers if other == name)
        for name in _LISTS
        if name in names
    }
    others = [(name, value) for name, value in headers if name not in {b"content-type", *_LISTS}]
    return {**scope, "headers": [*others, (b"content-type", _JSON), *lists.items()]}
