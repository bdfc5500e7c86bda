"""What FastAPI tells of the requests it serves: how many and how long, and once the process traces
a span of each. Health checks and scrapes are nobody's requests."""

from fastapi.telemetry import TelemetryConfig

REQUEST_SPANS: TelemetryConfig = {
    "auto_configure": False,  # `telemetry.tracing` does
    "logs": False,  # `logs` is the place of those
    "operation_spans": False,
    "exclude": lambda scope: scope["path"].startswith(("/health", "/metrics")),
}
