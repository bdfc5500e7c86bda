"""Every refusal and failure as the body that the contract promises."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from dev.inventory_service.mongo import StoreUnavailableError
from dev.inventory_service.responses import answer
from dev.inventory_service.schemas import FieldProblem, Problem, ValidationProblem

_BAD_REQUEST = 400


def add_error_handlers(app: FastAPI) -> None:
    """Replaces the framework's own error bodies."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreUnavailableError, _unavailable)
    app.add_exception_handler(HTTPException, _refused)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for it alone)
    return _validation_failed(
        [FieldProblem(field=_field(item["loc"]), message=item["msg"]) for item in error.errors()]
    )


async def _unavailable(_: Request, __: Exception) -> Response:
    response = answer(Problem(message="The inventory's database cannot be used"), 503)
    response.headers["Retry-After"] = "1"
    return response


async def _refused(_: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths, wrong methods, bodies it cannot read."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for it alone)
    if error.status_code == _BAD_REQUEST:
        return _validation_failed([FieldProblem(field="body", message=error.detail)])
    response = answer(Problem(message=error.detail), error.status_code)
    response.headers.update(error.headers or {})
    return response


def _validation_failed(details: list[FieldProblem]) -> Response:
    problem = ValidationProblem(error="Validation failed", details=details)
    return answer(problem, _BAD_REQUEST)


def _field(location: tuple[int | str, ...]) -> str:
    """`("body", "storeId")` -> `storeId`; what concerns the whole body, or its JSON, is `body`."""
    names = [str(part) for part in location[1:] if isinstance(part, str)]
    return ".".join(names) or str(location[0])
