"""The lines of the production checklist that the settings decide."""

import os
from collections.abc import Iterator

from cli.doctor.production.lines import Findings, Line
from settings import Environment, JwtAlgorithm, LogLevel, Settings

LONGEST_EXPIRY_DAYS = 90
_DEFAULT_NAMES = ("", "cart-service")

Weak = tuple[str, str]
"""What is the case, and what to do."""


def check(settings: Settings, findings: Findings) -> None:
    """Adds a result for each problem of these lines, or one that says that there is none."""
    for line, weak, well in (
        (Line.ENVIRONMENT, _environment(settings), "ENVIRONMENT=production"),
        (Line.TOKENS, _tokens(settings), f"{settings.jwt_algorithm}, keys by https"),
        (Line.TRANSPORT, _transport(settings), "TLS to every server"),
        (Line.CREDENTIALS, _credentials(settings), "a login on every server"),
        (Line.RATE_LIMITS, _rate_limits(settings), "on, by user and by address"),
        (Line.CART_LIMITS, _cart_limits(settings), "units are limited, and unused carts expire"),
        (Line.FLAGS, _flags(settings), "all parts of a saga are on, and no fault is allowed"),
    ):
        problems = [*weak]
        for what, advice in problems:
            findings.weak(line, what, advice)
        if not problems:
            findings.ok(line, well)


def _environment(settings: Settings) -> Iterator[Weak]:
    if settings.environment is not Environment.PRODUCTION:
        yield f"ENVIRONMENT={settings.environment}", "set ENVIRONMENT=production"


def _tokens(settings: Settings) -> Iterator[Weak]:
    if settings.has_sample_secret:
        yield "JWT_SECRET is the sample: anyone can sign tokens", "use RS256 or ES256"
    elif settings.jwt_algorithm is JwtAlgorithm.HS256:
        yield (
            "JWT_ALGORITHM=HS256: every service that verifies tokens can sign them",
            "set JWT_ALGORITHM=RS256 or ES256, and JWT_JWKS_URL",
        )
    for name in ("jwt_issuer", "jwt_audience"):
        if getattr(settings, name) in _DEFAULT_NAMES:
            yield f"{name.upper()}={getattr(settings, name)}", "set it to your issuer's"


def _transport(settings: Settings) -> Iterator[Weak]:
    for weakness in settings.weaknesses():
        yield str(weakness), f"correct it, and unset {weakness.allowed_by.upper()}"
    if settings.mongodb_uri is not None and not _mongodb_is_encrypted(settings):
        yield "MONGODB_URI: has no TLS", "add tls=true, or use mongodb+srv://"
    for name in type(settings).model_fields:
        if name.startswith("allow_insecure_") and getattr(settings, name):
            yield f"{name.upper()}=true", "unset it"


def _mongodb_is_encrypted(settings: Settings) -> bool:
    options = settings.mongodb_options
    uri = settings.mongodb.get_secret_value()
    by_default = uri.startswith("mongodb+srv:") or "tlsCAFile=" in uri
    return options.get("tls", options.get("ssl", str(by_default))).lower() == "true"


def _credentials(settings: Settings) -> Iterator[Weak]:
    if not settings.kafka_sasl and settings.kafka_ssl_cert_file is None:
        yield "Kafka: no login", "set KAFKA_SECURITY_PROTOCOL=SASL_SSL, or KAFKA_SSL_CERT_FILE"
    headers = settings.inventory_credentials
    has_login = (
        settings.inventory_service_url is not None and settings.inventory_service_url.username
    )
    if not headers and settings.inventory_client_cert is None and not has_login:
        yield "Inventory Service: no credentials", "set INVENTORY_TOKEN, or a client certificate"
    if not any(os.environ.get(f"TEMPORAL_{name}") for name in ("API_KEY", "PROFILE")) and not any(
        name.startswith("TEMPORAL_TLS_CLIENT_CERT") for name in os.environ
    ):
        yield "Temporal: no login", "set TEMPORAL_API_KEY or TEMPORAL_TLS_CLIENT_CERT_PATH"


def _rate_limits(settings: Settings) -> Iterator[Weak]:
    for name, usual in (("rate_limit_per_user", 300), ("rate_limit_per_address", 3000)):
        if not getattr(settings, name):
            yield f"{name.upper()}=0: off", f"for instance {usual}"
    if settings.secrets_of_guests and not settings.rate_limit_guests_per_address:
        yield "RATE_LIMIT_GUESTS_PER_ADDRESS=0: off", "for instance 60"
    if not os.environ.get("FORWARDED_ALLOW_IPS"):
        yield (
            "FORWARDED_ALLOW_IPS is not set: behind a proxy all clients share its address",
            "set it to the addresses of your proxies",
        )


def _cart_limits(settings: Settings) -> Iterator[Weak]:
    if not settings.cart_max_units:
        yield "CART_MAX_UNITS=0: one user can hold any number of units", "for instance 1000"
    if settings.cart_expiry_days > LONGEST_EXPIRY_DAYS:
        days = settings.cart_expiry_days
        yield f"CART_EXPIRY_DAYS={days}: unused carts hold stock for so long", "for instance 30"


def _flags(settings: Settings) -> Iterator[Weak]:
    for name in ("inventory_reservation", "event_publishing", "cache_invalidation"):
        if not getattr(settings, f"enable_{name}"):
            yield f"ENABLE_{name.upper()}=false", "unset it, unless that is meant"
    if settings.inventory_faults:
        yield "INVENTORY_FAULTS=true", "unset it; it is for tests"
    if not settings.kafka_idempotent_producer:
        yield "KAFKA_IDEMPOTENCE is off: a retry can duplicate events", "unset it"
    if settings.log_level is LogLevel.DEBUG:
        yield "LOG_LEVEL=debug", "set LOG_LEVEL=warn; an admin can raise it for a while"
    if not settings.enable_metrics:
        yield "ENABLE_METRICS=false", "unset it: alerts need metrics"
