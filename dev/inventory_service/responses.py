"""Models as HTTP answers, written once and directly: FastAPI would validate and copy them again."""

from fastapi import Response
from pydantic import BaseModel


def answer(model: BaseModel, status: int = 200) -> Response:
    """`model` as JSON with its camelCase names; fields that nobody has set are left out."""
    body = model.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(body, status, media_type="application/json")
