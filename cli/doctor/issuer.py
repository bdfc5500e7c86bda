"""The issuer of tokens: its key document, and its clock."""

import time
from email.utils import parsedate_to_datetime

import httpx

from api.auth.download import download, key_client
from api.auth.keys import read_keys
from cli.console import without_login
from cli.doctor.results import CheckReport, Part
from ops.words import reason
from settings import JwtAlgorithm, Settings

CLOCK_SECONDS = 10.0
"""A difference that is more than the time of an answer."""


async def check_issuer(settings: Settings, report: CheckReport) -> None:
    """Its keys can be fetched and used, and its clock is ours. Nothing, with a shared secret."""
    if settings.jwt_algorithm is JwtAlgorithm.HS256 or settings.jwt_jwks_url is None:
        return
    url = str(settings.jwt_jwks_url)
    where = without_login(url)
    async with key_client(url) as http:
        try:
            found = await download(http, url)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            report.failed(
                Part.ISSUER,
                f"no keys from {where} ({reason(error)})",
                "check JWT_JWKS_URL, SSL_CERT_FILE and HTTPS_PROXY",
            )
            return
    try:
        keys = read_keys(found.body, settings.jwt_algorithm)
    except ValueError as error:
        report.failed(
            Part.ISSUER,
            f"{where}: {reason(error)}",
            "check that JWT_JWKS_URL is the issuer's and JWT_ALGORITHM what it signs with",
        )
        return
    ahead = _ahead(found.date)
    if ahead is not None and abs(ahead) > CLOCK_SECONDS:
        report.warn(
            Part.ISSUER,
            f"the clock of {where} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} "
            f"this machine's; {settings.jwt_leeway_seconds:g} s are allowed",
            "see whether NTP runs on this machine",
        )
        return
    count = sum(map(len, keys.by_id.values()))
    ignored = f", {len(keys.skipped)} others ignored" if keys.skipped else ""
    report.ok(Part.ISSUER, f"{where} has {count} for {settings.jwt_algorithm}{ignored}")


def _ahead(date: str | None) -> float | None:
    """By how many seconds the issuer's clock is ahead; None if it cannot be said."""
    try:
        return parsedate_to_datetime(date).timestamp() - time.time() if date else None
    except (ValueError, OverflowError):
        return None
