"""`/metrics` for Prometheus. Not part of the public API, and not to be exposed to the outside."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics() -> Response:
    """Runs in a thread, so that other requests do not wait for it."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
