"""Temporal: the server, the namespace and its search attributes, the Web UI, and our workers."""

import asyncio

import httpx
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli.console import without_login
from cli.doctor import places
from cli.doctor.results import CheckReport, Part, fastest
from cli.doctor.worker import check_version, check_worker
from cli.temporal import RPC_TIMEOUT, TemporalPlace
from ops.words import reason
from settings import Settings
from workflows.ids import SEARCH_ATTRIBUTES

CONNECT_SECONDS = 2.0
SLOW_SECONDS = 0.25
_REFUSED = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED)


async def check_temporal(settings: Settings, report: CheckReport) -> None:
    """All checks of Temporal, over one connection."""
    try:
        place = TemporalPlace(settings)
    except RuntimeError as error:
        report.failed(
            Part.TEMPORAL,
            f"its configuration cannot be read: {reason(error)}",
            "see TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables",
        )
        return
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await place.connect()
    except (RuntimeError, TimeoutError) as error:
        report.unreachable(Part.TEMPORAL, places.temporal(settings), error)
        report.warn(Part.WORKER, "not checked: Temporal does not answer", "see Temporal")
        return
    if not await _namespace(client, place, settings, report):
        return
    checks = [_search_attributes(client, report), check_worker(client, settings, report)]
    if settings.temporal_worker_build_id is not None:
        checks.append(check_version(client, settings, report))
    if place.is_local and settings.temporal_ui_url is None:
        checks.append(_web_ui(settings, report))
    await asyncio.gather(*checks)


async def _namespace(
    client: Client, place: TemporalPlace, settings: Settings, report: CheckReport
) -> bool:
    request = DescribeNamespaceRequest(namespace=place.namespace)
    try:
        took = await fastest(
            lambda: client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
        )
    except RPCError as error:
        name = place.namespace
        if error.status is RPCStatusCode.NOT_FOUND:
            what = f"{place.address} has no namespace {name!r}"
            advice = (
                "set TEMPORAL_NAMESPACE, or create it: "
                f"`temporal operator namespace create --namespace {name}`"
            )
        elif error.status in _REFUSED:
            what = f"{place.address} refuses us: {reason(error)}"
            advice = "check TEMPORAL_API_KEY or the client's certificate, and TEMPORAL_NAMESPACE"
        else:
            what = f"{place.address} answered with an error: {reason(error)}"
            advice = places.temporal(settings).advice
        report.failed(Part.TEMPORAL, what, advice)
        return False
    where = f"{place.address}, namespace {place.namespace!r}"
    report.answered(Part.TEMPORAL, where, "a request", took, slow_after=SLOW_SECONDS)
    return True


async def _search_attributes(client: Client, report: CheckReport) -> None:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        answer = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    except RPCError as error:  # Temporal Cloud refuses this call
        names = ", ".join(f"{name} ({kind})" for name, kind in SEARCH_ATTRIBUTES.items())
        advice = f"look in the server's console for {names}"
        report.warn(Part.ATTRIBUTES, f"cannot be read: {reason(error)}", advice)
        return
    types = {
        name: IndexedValueType.Name(kind).removeprefix("INDEXED_VALUE_TYPE_")
        for name, kind in answer.custom_attributes.items()
    }
    missing = [name for name in SEARCH_ATTRIBUTES if name not in types]
    wrong = [
        f"{name} is {types[name]}, not {kind}"
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name in types and types[name] != kind.upper()
    ]
    if missing:
        report.failed(Part.ATTRIBUTES, f"missing: {', '.join(missing)}", "run `cart setup`")
    if wrong:
        advice = "remove it with `temporal operator search-attribute remove`, then `cart setup`"
        report.failed(Part.ATTRIBUTES, "; ".join(wrong), advice)
    if not missing and not wrong:
        report.ok(Part.ATTRIBUTES, f"all {len(SEARCH_ATTRIBUTES)} exist")


async def _web_ui(settings: Settings, report: CheckReport) -> None:
    where = without_login(settings.temporal_ui)
    try:
        async with httpx.AsyncClient(timeout=RPC_TIMEOUT.seconds, trust_env=False) as http:
            (await http.get(settings.temporal_ui, follow_redirects=True)).raise_for_status()
    except httpx.HTTPError as error:
        report.warn(
            Part.WEB_UI,
            f"does not answer at {where} ({reason(error)}); only links point to it",
            "see TEMPORAL_UI_PORT, or set TEMPORAL_UI_URL",
        )
    else:
        report.ok(Part.WEB_UI, where)
