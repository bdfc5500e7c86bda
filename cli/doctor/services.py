"""The HTTP services: the API of this service, and the inventory it depends on."""

from http import HTTPStatus

import httpx

from cli.console import reason, without_login
from cli.doctor.findings import Report, start_or_check
from settings import Settings

API = "API"
INVENTORY = "inventory"
TIMEOUT_SECONDS = 1.7
_WELL = ("connected", "reachable", "healthy", "ok")


async def check_api(settings: Settings, report: Report) -> None:
    """Lives, and is ready to serve."""
    url = settings.api_url
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        try:
            live = await http.get(f"{url}/health/live")
        except httpx.HTTPError as error:
            report.failed(
                API,
                f"does not answer at {url} ({reason(error)})",
                "start it with `make run` or `python -m api`; PORT says where it is",
            )
            return
        if live.status_code != HTTPStatus.OK:
            report.failed(
                API,
                f"{url}/health/live answered {live.status_code}",
                "something else may be listening there: see PORT",
            )
            return
        try:
            ready = await http.get(f"{url}/health/ready")
        except httpx.HTTPError as error:
            report.failed(API, f"{url}/health/ready: {reason(error)}", "see the dependencies below")
            return
    if ready.status_code == HTTPStatus.OK:
        report.ok(API, f"{url} is live and ready")
    else:
        report.failed(
            API,
            f"{url} is live but not ready ({ready.status_code}{_services_down(ready)})",
            "see the dependencies below",
        )


async def check_inventory(settings: Settings, report: Report) -> None:
    """Says that it is healthy."""
    where = without_login(settings.inventory)
    advice = start_or_check(
        "INVENTORY_SERVICE_URL", is_set=settings.inventory_service_url is not None
    )
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            answer = await http.get(f"{settings.inventory}/health")
    except httpx.HTTPError as error:
        report.failed(INVENTORY, f"does not answer at {where} ({reason(error)})", advice)
        return
    if answer.status_code == HTTPStatus.OK:
        report.ok(INVENTORY, f"{where} is healthy")
    else:
        report.failed(
            INVENTORY,
            f"{where}/health answered {answer.status_code}",
            "see that service's log; the reference inventory needs MongoDB",
        )


def _services_down(answer: httpx.Response) -> str:
    """Which of its dependencies a health answer complains about."""
    try:
        services = answer.json()["services"]
        down = [f"{name} {state}" for name, state in services.items() if state not in _WELL]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f": {', '.join(down)}" if down else ""
