"""What FastAPI tells of the requests it serves: a span of each, once the process traces."""

from fastapi.telemetry import TelemetryConfig

REQUEST_SPANS: TelemetryConfig = {
    "auto_configure": False,  # `telemetry.tracing` does
    "logs": False,  # `logs` is the place of those
    "operation_spans": False,
    "exclude": lambda scope: scope["path"].startswith("/health"),
}
