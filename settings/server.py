"""Settings of the processes themselves: addresses, logs, metrics, traces, rate limits."""

import re
from enum import StrEnum
from functools import cached_property
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, Field, field_validator
from pydantic_settings import NoDecode

from settings.base import LOCALHOST, Port, SettingsGroup, comma_separated

_ALL_INTERFACES = {"": LOCALHOST, "0.0.0.0": LOCALHOST, "::": "[::1]"}
# As browsers send it: lower case, without a path or a trailing slash.
_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class ServerSettings(SettingsGroup):
    """How the API serves requests, and what each process reports."""

    host: str = LOCALHOST
    port: Port = 4007
    max_body_bytes: int = Field(64 * 1024, ge=1024, le=1024 * 1024)
    max_header_bytes: int = Field(32 * 1024, ge=8 * 1024, le=256 * 1024)
    max_connections: int = Field(800, ge=1, le=100_000)
    request_seconds: float = Field(20, gt=0, le=600)
    live_streams: int | None = Field(None, ge=0, le=100_000)
    live_streams_per_user: int = Field(5, ge=1, le=100)
    keep_alive_seconds: int = Field(75, ge=1, le=3600)
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    error_docs_url: AnyHttpUrl | None = None

    # Proxies whose X-Forwarded-For is trusted; Uvicorn reads the variable too
    forwarded_allow_ips: str = LOCALHOST

    # Rate limits, in requests per minute; 0 turns a limit off
    rate_limit_per_user: int = Field(0, ge=0, le=1_000_000)
    rate_limit_per_address: int = Field(0, ge=0, le=1_000_000)
    rate_limit_guests_per_address: int = Field(60, ge=0, le=1_000_000)

    # Logs
    log_level: LogLevel = LogLevel.INFO
    log_format: Literal["json", "console"] | None = None
    heartbeat_file: Path | None = None

    # Metrics; port 0 turns the listener off (the API serves its metrics on PORT)
    enable_metrics: bool = True
    worker_metrics_port: int = Field(9464, ge=0, le=65535)
    consumer_metrics_port: int = Field(9465, ge=0, le=65535)

    # The operators' page at /ops, and the routes below /admin/ops that it calls
    enable_ops_page: bool = False

    # Traces (the OpenTelemetry SDK reads the other OTEL_… variables)
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        origins = comma_separated(value)
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("must be * or origins like https://shop.example.com, by commas")
        return origins

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for one in comma_separated(value) if value.strip() != "*" else ():
            try:
                ip_network(one)  # Uvicorn takes what is none for a name that matches nothing
            except ValueError:
                rule = "must be * or addresses and networks like 10.0.0.0/8, by commas"
                raise ValueError(f"{rule}; {one!r} is neither") from None
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _has_exporter(cls, value: AnyHttpUrl | None) -> AnyHttpUrl | None:
        try:
            find_spec("opentelemetry.exporter.otlp.proto.http")
        except ModuleNotFoundError:
            if value is not None:
                raise ValueError("needs the extra otlp: pip install 'cart-service[otlp]'") from None
        return value

    @property
    def most_live_streams(self) -> int:
        """The live carts of one process: by default half of its connections."""
        return self.max_connections // 2 if self.live_streams is None else self.live_streams

    @cached_property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        host = _ALL_INTERFACES.get(self.host, self.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"
