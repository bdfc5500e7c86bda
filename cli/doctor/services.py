"""The API, the inventory and the product service."""

from http import HTTPStatus
from ssl import SSLContext

import httpx

from cli.doctor import places
from cli.doctor.listeners import listener_at
from cli.doctor.places import Place
from cli.doctor.results import CheckReport, Part, fastest
from ops.words import reason
from settings import Settings

HTTP_TIMEOUT_SECONDS = 4.0
SLOW_SECONDS = 0.25
_WELL = ("connected", "reachable", "healthy", "ok")


async def check_api(settings: Settings, report: CheckReport) -> None:
    """The API is live and ready."""
    url = settings.api_url
    advice = "see the dependencies below"
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_SECONDS, trust_env=False) as http:
        try:
            live = await http.get(f"{url}/health/live")
        except httpx.HTTPError as error:
            start = "start it with `make run` or `python -m api`; PORT says where it is"
            what, process = f"does not answer at {url} ({reason(error)})", listener_at(url)
            if process is not None:
                report.failed(Part.API, f"{what}; {process}", process.advice)
            else:
                report.failed(Part.API, what, start)
            return
        if live.status_code != HTTPStatus.OK:
            what = f"{url}/health/live answered {live.status_code}"
            report.failed(Part.API, what, "another service may be listening there: see PORT")
            return
        try:
            ready = await http.get(f"{url}/health/ready")
        except httpx.HTTPError as error:
            report.failed(Part.API, f"{url}/health/ready: {reason(error)}", advice)
            return
    if ready.status_code == HTTPStatus.OK:
        report.ok(Part.API, f"{url} is live and ready")
    else:
        why = f"{ready.status_code}{_services_down(ready)}"
        report.failed(Part.API, f"{url} is live but not ready ({why})", advice)


def _services_down(answer: httpx.Response) -> str:
    """The dependencies that a health answer reports as down."""
    try:
        services = answer.json()["services"]
        down = [f"{name} {state}" for name, state in services.items() if state not in _WELL]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f": {', '.join(down)}" if down else ""


async def check_inventory(settings: Settings, report: CheckReport) -> None:
    """The inventory reports that it is healthy."""
    http = _client(
        settings.inventory,
        settings.inventory_credentials,
        settings.inventory_tls(),
        settings.inventory_proxy,
    )
    advice = "see its log; the reference inventory needs MongoDB"
    await _check_health(http, Part.INVENTORY, places.inventory(settings), advice, report)


async def check_products(settings: Settings, report: CheckReport) -> None:
    """The product service, where one is configured, reports that it is healthy."""
    if not settings.product_service:
        return
    http = _client(
        settings.product_service,
        settings.product_service_credentials,
        settings.product_service_tls(),
        settings.product_service_proxy,
    )
    advice = "see its log; without it nothing can be added to a cart"
    await _check_health(http, Part.PRODUCTS, places.products(settings), advice, report)


def _client(
    url: str, headers: dict[str, str], tls: SSLContext | None, proxy: str | None
) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        timeout=HTTP_TIMEOUT_SECONDS,
        headers=headers,
        verify=tls or True,
        proxy=proxy,
        trust_env=False,
    )


async def _check_health(
    http: httpx.AsyncClient, part: Part, place: Place, advice: str, report: CheckReport
) -> None:
    """`GET /health` is answered with 200, and soon. Closes the client."""
    try:
        async with http:
            answer = await http.get("/health")
            took = await fastest(lambda: http.get("/health"))
    except httpx.HTTPError as error:
        report.unreachable(part, place, error)
        return
    if answer.status_code == HTTPStatus.OK:
        report.answered(part, place.address, "its health", took, slow_after=SLOW_SECONDS)
    else:
        what = f"{place.address}/health answered {answer.status_code}"
        report.failed(part, what, advice)
