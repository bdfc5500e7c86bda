"""FastAPI's own telemetry: metrics of requests, and their spans while tracing is on.

Health checks, scrapes and live carts, which last as long as their client stays, are excluded.
"""

from fastapi.telemetry import TelemetryConfig

REQUEST_SPANS: TelemetryConfig = {
    "auto_configure": False,  # `telemetry.tracing` does
    "logs": False,  # `logs` does
    "operation_spans": False,
    "exclude": lambda scope: (
        scope["path"].startswith(("/health", "/metrics")) or scope["path"].endswith("/store/events")
    ),
}
