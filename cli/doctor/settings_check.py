"""Settings that work but should not stay: what is unsafe, most of it only outside development."""

from cli.doctor.findings import Report
from settings import LOCALHOST, SAMPLE_JWT_SECRET, Environment, JwtAlgorithm, Settings

PART = "settings"
_LOCAL_HOSTS = (LOCALHOST, "localhost", "::1")
_DEPLOYED = (Environment.STAGING, Environment.PRODUCTION)


async def check_settings(settings: Settings, report: Report) -> None:
    """Nothing here fails: settings that cannot be used stop every command before it begins."""
    warnings = [*_always(settings), *(_deployed(settings) if _is_deployed(settings) else ())]
    if not warnings:
        report.ok(PART, f"ENVIRONMENT={settings.environment}")
    for what, advice in warnings:
        report.warn(PART, what, advice)


def _is_deployed(settings: Settings) -> bool:
    return settings.environment in _DEPLOYED


def _always(settings: Settings) -> list[tuple[str, str]]:
    found = []
    if not settings.enable_inventory_reservation:
        found.append(
            (
                "ENABLE_INVENTORY_RESERVATION=false: carts hold no stock, so it can be oversold",
                "unset it unless something else reserves the stock",
            )
        )
    if not settings.enable_event_publishing:
        found.append(
            (
                "ENABLE_EVENT_PUBLISHING=false: nobody hears about changes of carts",
                "unset it unless no other service listens",
            )
        )
    if settings.host not in _LOCAL_HOSTS and _signs_with_sample(settings):
        found.append(
            (
                f"HOST={settings.host} with the sample JWT_SECRET: whoever reaches this machine "
                "can sign a token",
                "set JWT_SECRET to 32 random bytes or more, or HOST=127.0.0.1",
            )
        )
    elif _is_deployed(settings) and _signs_with_sample(settings):
        found.append(
            (
                f"the sample JWT_SECRET in {settings.environment}: everybody can sign a token",
                "set JWT_SECRET to 32 random bytes or more",
            )
        )
    return found


def _deployed(settings: Settings) -> list[tuple[str, str]]:
    where = f"in {settings.environment}"
    rules = (
        (
            settings.jwt_algorithm is JwtAlgorithm.HS256,
            f"JWT_ALGORITHM=HS256 {where}: who can check a token can also sign one",
            "set JWT_ALGORITHM=RS256 or ES256 and JWT_JWKS_URL",
        ),
        (
            settings.inventory_faults,
            f"INVENTORY_FAULTS {where}: callers can make the reference inventory fail",
            "unset it; it is for tests",
        ),
        (
            not settings.kafka_idempotent_producer,
            f"KAFKA_IDEMPOTENCE is off {where}: a retry inside the producer can duplicate or "
            "reorder events",
            "unset it; only the local stack's broker needs it off",
        ),
        (
            settings.kafka_security_protocol == "SASL_PLAINTEXT",
            f"KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT {where}: the password travels in the clear",
            "set KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        ),
        (
            settings.log_level == "debug",
            f"LOG_LEVEL=debug {where}",
            "set LOG_LEVEL=info; a running service can be switched for a while",
        ),
    )
    return [(what, advice) for applies, what, advice in rules if applies]


def _signs_with_sample(settings: Settings) -> bool:
    return (
        settings.jwt_algorithm is JwtAlgorithm.HS256
        and settings.jwt_secret.get_secret_value() == SAMPLE_JWT_SECRET
    )
