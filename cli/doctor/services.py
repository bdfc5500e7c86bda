"""The HTTP services: this service's API and the inventory."""

from http import HTTPStatus

import httpx

from cli.console import reason, without_login
from cli.doctor.results import CheckReport, start_or_check
from settings import Settings

API = "API"
INVENTORY = "inventory"
TIMEOUT_SECONDS = 1.7
_WELL = ("connected", "reachable", "healthy", "ok")


async def check_api(settings: Settings, report: CheckReport) -> None:
    """The API is live and ready."""
    url = settings.api_url
    advice = "see the dependencies below"
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        try:
            live = await http.get(f"{url}/health/live")
        except httpx.HTTPError as error:
            start = "start it with `make run` or `python -m api`; PORT says where it is"
            report.failed(API, f"does not answer at {url} ({reason(error)})", start)
            return
        if live.status_code != HTTPStatus.OK:
            what = f"{url}/health/live answered {live.status_code}"
            report.failed(API, what, "another service may be listening there: see PORT")
            return
        try:
            ready = await http.get(f"{url}/health/ready")
        except httpx.HTTPError as error:
            report.failed(API, f"{url}/health/ready: {reason(error)}", advice)
            return
    if ready.status_code == HTTPStatus.OK:
        report.ok(API, f"{url} is live and ready")
    else:
        why = f"{ready.status_code}{_services_down(ready)}"
        report.failed(API, f"{url} is live but not ready ({why})", advice)


async def check_inventory(settings: Settings, report: CheckReport) -> None:
    """The inventory reports that it is healthy."""
    where = without_login(settings.inventory)
    is_set = settings.inventory_service_url is not None
    try:
        async with httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS,
            headers=settings.inventory_credentials,
            verify=settings.inventory_tls() or True,
        ) as http:
            answer = await http.get(f"{settings.inventory}/health")
    except httpx.HTTPError as error:
        advice = start_or_check("INVENTORY_SERVICE_URL", is_set=is_set)
        report.failed(INVENTORY, f"does not answer at {where} ({reason(error)})", advice)
        return
    if answer.status_code == HTTPStatus.OK:
        report.ok(INVENTORY, f"{where} is healthy")
    else:
        what = f"{where}/health answered {answer.status_code}"
        report.failed(INVENTORY, what, "see its log; the reference inventory needs MongoDB")


def _services_down(answer: httpx.Response) -> str:
    """The dependencies that a health answer reports as down."""
    try:
        services = answer.json()["services"]
        down = [f"{name} {state}" for name, state in services.items() if state not in _WELL]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f": {', '.join(down)}" if down else ""
