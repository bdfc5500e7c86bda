"""Settings that work but are unsafe, most of them only outside development."""

from cli.doctor.results import CheckReport, Part
from settings import JwtAlgorithm, Settings


async def check_settings(settings: Settings, report: CheckReport) -> None:
    """Warns only: settings that cannot be used stop every command before it starts."""
    deployed = settings.environment.is_deployed
    where = f"in {settings.environment}"
    hs256 = settings.jwt_algorithm is JwtAlgorithm.HS256
    rules = (
        (
            not settings.enable_inventory_reservation,
            "ENABLE_INVENTORY_RESERVATION=false: carts reserve no stock, so it can be oversold",
            "unset it, unless another service reserves stock",
        ),
        (
            not settings.enable_event_publishing,
            "ENABLE_EVENT_PUBLISHING=false: changes of carts are not published",
            "unset it, unless no service consumes the events",
        ),
        (
            deployed and hs256,
            f"JWT_ALGORITHM=HS256 {where}: every service that verifies tokens can sign them",
            "set JWT_ALGORITHM=RS256 or ES256 and JWT_JWKS_URL",
        ),
        (
            deployed and settings.inventory_faults,
            f"INVENTORY_FAULTS {where}: any caller can make the reference inventory fail",
            "unset it; it is for tests",
        ),
        (
            deployed and not settings.kafka_idempotent_producer,
            f"KAFKA_IDEMPOTENCE is off {where}: a retry in the producer can duplicate or reorder "
            "events",
            "unset it; only the local stack's broker needs it off",
        ),
        (
            deployed and settings.forwarded_allow_ips.strip() == "*",
            f"FORWARDED_ALLOW_IPS=* {where}: the leftmost address of X-Forwarded-For counts, which "
            "clients can write unless the proxy overwrites the header",
            "name the proxies' addresses or networks",
        ),
        (
            deployed and settings.log_level == "debug",
            f"LOG_LEVEL=debug {where}",
            "set LOG_LEVEL=info; an admin can raise it for a while at run time",
        ),
    )
    warnings = [(what, advice) for applies, what, advice in rules if applies]
    warnings += [
        (f"{weakness} {where}", f"correct it, and unset {weakness.allowed_by.upper()}")
        for weakness in (settings.weaknesses() if deployed else ())
    ]
    for what, advice in warnings:
        report.warn(Part.SETTINGS, what, advice)
    if not warnings:
        report.ok(Part.SETTINGS, f"ENVIRONMENT={settings.environment}")
