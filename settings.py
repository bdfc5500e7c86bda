"""The settings of all processes, typed and validated at start.

`Settings` has one field for each environment variable. `load_settings` reads them, or raises
`SettingsError`. The SDKs of Temporal and OpenTelemetry read their own variables, so that their
documentation applies: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`,
`TEMPORAL_TLS…`, `TEMPORAL_PROFILE`, and all of `OTEL_…` except the endpoint.

Only composition roots (`api`, `cli`, `inventory`, `worker.py`, `consumer.py`) call `load_settings`.
They pass settings to everything else.
"""

import os
import re
import ssl
from enum import StrEnum
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from dotenv import load_dotenv
from pydantic import (
    AliasChoices,
    AnyHttpUrl,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from credentials import check_combination, checked_token, client_tls, parsed_headers

SAMPLE_JWT_SECRET = "development-only-secret-change-me-before-production"  # noqa: S105
MIN_SECRET_BYTES = 32  # at least the hash's size (RFC 7518, 3.2)
LOCALHOST = "127.0.0.1"
_ALL_INTERFACES = {"": LOCALHOST, "0.0.0.0": LOCALHOST, "::": "[::1]"}
ENVIRONMENT_NAMES = ("ENVIRONMENT", "NODE_ENV")  # the first one that is set wins

_SCHEMES = {
    "mongodb_uri": ({"mongodb", "mongodb+srv"}, "must start with mongodb:// or mongodb+srv://"),
    "redis_url": ({"redis", "rediss", "unix"}, "must start with redis://, rediss:// or unix://"),
}
# As browsers send it: lower case, without a path or a trailing slash.
_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class JwtAlgorithm(StrEnum):
    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


class SettingsError(Exception):
    """One or more environment variables are invalid; the text has one line for each."""


class Settings(BaseSettings):
    """The service's settings; the name of a variable is the field's name in capitals."""

    model_config = SettingsConfigDict(
        case_sensitive=False,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    # Server
    environment: Environment = Field(
        Environment.DEVELOPMENT, validation_alias=AliasChoices(*ENVIRONMENT_NAMES)
    )
    host: str = LOCALHOST
    port: Port = 4007
    max_body_bytes: int = Field(64 * 1024, ge=1024, le=1024 * 1024)
    log_level: LogLevel = LogLevel.INFO
    log_format: Literal["json", "console"] | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    heartbeat_file: Path | None = None

    # Authentication
    jwt_algorithm: JwtAlgorithm = JwtAlgorithm.HS256
    jwt_secret: SecretStr = SecretStr(SAMPLE_JWT_SECRET)
    jwt_jwks_url: AnyHttpUrl | None = None
    jwt_issuer: str = "cart-service"
    jwt_audience: str = "cart-service"

    # Traces (the OpenTelemetry SDK reads the other OTEL_… variables)
    otel_exporter_otlp_endpoint: AnyHttpUrl | None = None

    # Rate limits, in requests per minute; 0 turns a limit off
    rate_limit_per_user: int = Field(0, ge=0, le=1_000_000)
    rate_limit_per_address: int = Field(0, ge=0, le=1_000_000)

    # MongoDB
    mongodb_uri: SecretStr | None = None
    mongodb_replica_set: str = "rs0"
    mongodb_port: Port = 27017

    # Redis
    redis_url: SecretStr | None = None
    redis_host: str | None = None
    redis_port: Port = 6379
    redis_password: SecretStr | None = None
    redis_db: int = Field(0, ge=0)

    # Kafka
    kafka_brokers: Annotated[tuple[str, ...] | None, NoDecode] = None
    kafka_port: Port = 9092
    kafka_client_id: str = "cart-service"
    kafka_group_id: str = "cart-service-group"
    kafka_idempotence: bool | None = None
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None

    # Inventory service
    inventory_service_url: AnyHttpUrl | None = None
    inventory_port: Port = 4008
    inventory_timeout_seconds: Seconds = 5
    inventory_token: SecretStr | None = None
    inventory_headers: Annotated[dict[str, SecretStr], NoDecode] = {}
    inventory_client_cert: Path | None = None
    inventory_client_key: Path | None = None
    inventory_faults: bool = False

    # Temporal (the SDK reads the variables of its connection)
    temporal_task_queue: str = "cart"
    temporal_deployment_name: str = Field("cart", pattern=r"^[A-Za-z0-9_-]{1,100}$")
    temporal_worker_build_id: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,100}$")
    temporal_port: Port = 7233
    temporal_ui_port: Port = 8233
    temporal_ui_url: AnyHttpUrl | None = None

    # Cache
    cart_cache_ttl: int = Field(60, ge=1, le=86_400)
    inventory_cache_ttl: int = Field(60, ge=1, le=86_400)

    # Sagas
    lock_ttl: Seconds = 30
    cart_lock_wait_seconds: Seconds = 5
    operation_wait_seconds: Seconds = 10
    answer_fallback_ms: int = Field(150, ge=0, le=60_000)
    publish_timeout_seconds: Seconds = 1
    relay_shards: int = Field(16, ge=1, le=128)  # at most `models.documents.BUCKETS`
    relay_grace_seconds: float = Field(3, ge=0, le=60)
    orphan_release_seconds: float = Field(30, ge=1, le=86_400)
    reconcile_repairs: bool = False

    # Cart
    cart_expiry_days: int = Field(30, ge=1, le=3650)
    cart_max_lines: int = Field(100, ge=1, le=100)
    cart_max_bytes: int = Field(262_144, ge=4096, le=4_194_304)
    cart_max_quantity: int = Field(100, ge=1, le=100)
    cart_max_units: int = Field(0, ge=0, le=10_000)
    cart_max_value: int = Field(0, ge=0, le=10_000_000_000)
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")

    # Feature flags
    enable_inventory_reservation: bool = True
    enable_event_publishing: bool = True
    enable_cache_invalidation: bool = True

    # Metrics; port 0 turns the listener off (the API serves its metrics on PORT)
    enable_metrics: bool = True
    worker_metrics_port: int = Field(9464, ge=0, le=65535)
    consumer_metrics_port: int = Field(9465, ge=0, le=65535)

    # Local stack
    local_dir: Path = Path(".local")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        origins = tuple(part.strip() for part in value.split(",") if part.strip())
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError("must be * or origins like https://shop.example.com, by commas")
        return origins

    @field_validator("kafka_brokers", mode="before")
    @classmethod
    def _split_brokers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        brokers = tuple(part.strip() for part in value.split(",") if part.strip())
        for broker in brokers:
            host, _, port = broker.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004
                raise ValueError("must be host:port, or several separated by commas")
        return brokers or None

    @field_validator("inventory_token", "inventory_headers", mode="before")
    @classmethod
    def _credentials(cls, value: Any, field: ValidationInfo) -> Any:
        read = checked_token if field.field_name == "inventory_token" else parsed_headers
        return read(value) if isinstance(value, str) else value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _has_exporter(cls, value: AnyHttpUrl | None) -> AnyHttpUrl | None:
        try:
            find_spec("opentelemetry.exporter.otlp.proto.http")
        except ModuleNotFoundError:
            if value is not None:
                raise ValueError("needs the extra otlp: pip install 'cart-service[otlp]'") from None
        return value

    # Checked by hand: `MongoDsn` adds a port to mongodb+srv addresses and to sockets, which the
    # driver rejects, and `RedisDsn` does not allow sockets.
    @field_validator("mongodb_uri", "redis_url")
    @classmethod
    def _has_scheme(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        schemes, rule = _SCHEMES[str(field.field_name)]
        if value and urlsplit(value.get_secret_value()).scheme not in schemes:
            raise ValueError(rule)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        hs256 = self.jwt_algorithm is JwtAlgorithm.HS256
        secret = self.jwt_secret.get_secret_value()
        if not hs256 and self.jwt_jwks_url is None:
            raise ValueError(f"JWT_JWKS_URL: must be set when JWT_ALGORITHM={self.jwt_algorithm}")
        if hs256 and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"JWT_SECRET: must have at least {MIN_SECRET_BYTES} bytes for HS256")
        check_combination(
            self.inventory,
            token=self.inventory_token is not None,
            headers=self.inventory_headers,
            certificate=self.inventory_client_cert,
            key=self.inventory_client_key,
        )
        self.inventory_tls()  # raises if its files cannot be used
        if self.environment is Environment.PRODUCTION:
            if hs256 and secret == SAMPLE_JWT_SECRET:
                raise ValueError("JWT_SECRET: must not be the sample when ENVIRONMENT=production")
            for name, given in (
                ("MONGODB_URI", self.mongodb_uri),
                ("REDIS_URL or REDIS_HOST", self.redis_url or self.redis_host),
                ("KAFKA_BROKERS", self.kafka_brokers),
                ("INVENTORY_SERVICE_URL", self.inventory_service_url),
            ):
                if given is None:
                    raise ValueError(f"{name}: must be set when ENVIRONMENT=production")
        return self

    @cached_property
    def mongodb(self) -> SecretStr:
        """The MongoDB URI to connect to, including the replica set's name."""
        uri = (
            self.mongodb_uri.get_secret_value()
            if self.mongodb_uri
            else f"mongodb://{LOCALHOST}:{self.mongodb_port}/cart-service"
        )
        if "replicaSet=" not in uri and "directConnection=" not in uri:
            if "/" not in uri.split("://", 1)[1]:
                uri += "/"
            uri += f"{'&' if '?' in uri else '?'}replicaSet={quote(self.mongodb_replica_set)}"
        return SecretStr(uri)

    @cached_property
    def redis(self) -> SecretStr:
        """The Redis URL to connect to. `REDIS_URL` takes precedence over `REDIS_HOST` etc."""
        if self.redis_url:
            return self.redis_url
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        login = f":{quote(password, safe='')}@" if password else ""
        return SecretStr(
            f"redis://{login}{self.redis_host or LOCALHOST}:{self.redis_port}/{self.redis_db}"
        )

    @cached_property
    def kafka(self) -> tuple[str, ...]:
        """The Kafka brokers to connect to, each `host:port`."""
        return self.kafka_brokers or (f"{LOCALHOST}:{self.kafka_port}",)

    @cached_property
    def kafka_idempotent_producer(self) -> bool:
        """On by default, except on the local stack, whose broker rejects idempotent producers."""
        if self.kafka_idempotence is None:
            return self.kafka_brokers is not None
        return self.kafka_idempotence

    @cached_property
    def inventory(self) -> str:
        """Base URL of the Inventory Service."""
        url = self.inventory_service_url or f"http://{LOCALHOST}:{self.inventory_port}"
        return str(url).rstrip("/")

    @property
    def inventory_credentials(self) -> dict[str, str]:
        """The headers to send to the Inventory Service."""
        headers = {name: text.get_secret_value() for name, text in self.inventory_headers.items()}
        if self.inventory_token:
            headers["Authorization"] = f"Bearer {self.inventory_token.get_secret_value()}"
        return headers

    def inventory_tls(self) -> ssl.SSLContext | None:
        """TLS with the client certificate for the Inventory Service; None without one."""
        if self.inventory_client_cert is None:
            return None
        return client_tls(self.inventory_client_cert, self.inventory_client_key)

    @cached_property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        host = _ALL_INTERFACES.get(self.host, self.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    @cached_property
    def temporal_ui(self) -> str:
        """Base URL of the Temporal Web UI, for links."""
        url = self.temporal_ui_url or f"http://{LOCALHOST}:{self.temporal_ui_port}"
        return str(url).rstrip("/")


_URL_RULES = dict.fromkeys(("url_parsing", "url_scheme"), "must be an http or https URL")


def _explain(error: ValidationError) -> str:
    """One line for each variable: its name, its value unless that is a secret, and the rule."""
    values = {name.upper(): value for name, value in os.environ.items()}
    lines = []
    for item in error.errors():
        message = _URL_RULES.get(item["type"], item["msg"]).removeprefix("Value error, ")
        if not item["loc"]:  # a rule about several variables names them in its text
            lines.append(message)
            continue
        name = str(item["loc"][0]).upper()
        field = Settings.model_fields.get(name.lower())
        if field is not None and "SecretStr" not in str(field.annotation):
            names = ENVIRONMENT_NAMES if name in ENVIRONMENT_NAMES else (name,)
            name += f"={next((values[one] for one in names if values.get(one)), '')!r}"
        lines.append(f"{name}: {message[0].lower()}{message[1:]}")
    return "\n".join(lines)


def load_settings() -> Settings:
    """Reads `.env` (or the file that `CART_ENV_FILE` names); the environment takes precedence.

    Raises `SettingsError` with one line for each invalid variable.
    """
    env_file = os.environ.get("CART_ENV_FILE", ".env")
    if env_file:
        # Loaded into the environment because Temporal's SDK reads its variables from there.
        load_dotenv(env_file, override=False)
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
