"""`/metrics` for Prometheus: no part of the public API, and not for whoever comes from outside."""

from fastapi import APIRouter, Response

from telemetry.exposition import CONTENT_TYPE, page

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics() -> Response:
    """In a thread: requests do not wait while the text is made."""
    return Response(page(), media_type=CONTENT_TYPE)
