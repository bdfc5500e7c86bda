"""Responses of the contract: models as JSON, and errors in their documented form."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from dev.inventory_service.mongo import StoreUnavailableError
from dev.inventory_service.schemas import FieldProblem, Problem, ReserveAnswer, ValidationProblem

_BAD_REQUEST = 400


def answer(model: BaseModel, status: int | None = None) -> Response:
    """A model as JSON with its camelCase names, without unset fields.

    The status defaults to 200, to 409 for a reserve that is refused, and to 404 for a `Problem`.
    FastAPI's own serialization would validate and copy the model again.
    """
    if status is None:
        refused = isinstance(model, ReserveAnswer) and not model.success
        status = 409 if refused else 404 if isinstance(model, Problem) else 200
    body = model.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, status, media_type="application/json")


def add_error_handlers(app: FastAPI) -> None:
    """Replaces the error bodies of the framework."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        problems = [
            FieldProblem(field=_field(item["loc"]), message=item["msg"]) for item in error.errors()
        ]
        return _validation_failed(problems)

    @app.exception_handler(StoreUnavailableError)
    async def unavailable(_: Request, __: StoreUnavailableError) -> Response:
        response = answer(Problem(message="The inventory's database cannot be used"), 503)
        response.headers["Retry-After"] = "1"
        return response

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        """Errors of the framework: unknown paths, wrong methods, unreadable bodies."""
        if error.status_code == _BAD_REQUEST:
            return _validation_failed([FieldProblem(field="body", message=error.detail)])
        response = answer(Problem(message=error.detail), error.status_code)
        response.headers.update(error.headers or {})
        return response


def _validation_failed(details: list[FieldProblem]) -> Response:
    problem = ValidationProblem(error="Validation failed", details=details)
    return answer(problem, _BAD_REQUEST)


def _field(location: tuple[int | str, ...]) -> str:
    """`("body", "storeId")` -> `storeId`; `body` for the whole body or invalid JSON."""
    names = [str(part) for part in location[1:] if isinstance(part, str)]
    return ".".join(names) or str(location[0])
