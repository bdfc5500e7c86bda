"""`/metrics` for Prometheus. Not part of the public API, and not to be exposed to the outside."""

from fastapi import APIRouter, Response

from telemetry.exposition import CONTENT_TYPE, page

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics() -> Response:
    """Runs in a thread, so that other requests do not wait for it."""
    return Response(page(), media_type=CONTENT_TYPE)
