"""Temporal: the server, the namespace and its search attributes, the Web UI, and our workers."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
)
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from cli.console import reason, without_login
from cli.doctor.findings import Report, start_or_check
from cli.temporal import RPC_TIMEOUT, TemporalPlace
from settings import Settings
from workflows.ids import PING, SEARCH_ATTRIBUTES

TEMPORAL = "Temporal"
ATTRIBUTES = "search attributes"
WEB_UI = "Temporal Web UI"
WORKER = "worker"
VERSION = "version of the worker"

CONNECT_SECONDS = 1.2
# What is left of a check's time after connecting; a worker that is well needs some milliseconds.
PING_SECONDS = 0.7

# An idle worker asks again after a minute, when its long poll ends.
POLLED_WITHIN = timedelta(seconds=70)
_REFUSED = (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED)


async def check_temporal(settings: Settings, report: Report) -> None:
    """Everything about Temporal over one connection."""
    try:
        place = TemporalPlace(settings)
    except RuntimeError as error:
        report.failed(
            TEMPORAL,
            f"its configuration cannot be read: {reason(error)}",
            "see TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE and the other TEMPORAL_ variables",
        )
        return
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            client = await place.connect()
    except (RuntimeError, TimeoutError) as error:
        report.failed(
            TEMPORAL,
            f"does not answer at {place.address} ({_why(error)})",
            start_or_check("TEMPORAL_ADDRESS", is_set=place.is_set),
        )
        report.warn(WORKER, "not checked: Temporal does not answer", "see Temporal")
        return
    if not await _namespace(client, place, report):
        return
    checks = [_search_attributes(client, report), _worker(client, settings, report)]
    if settings.temporal_worker_build_id is not None:
        checks.append(_version(client, settings, report))
    if place.is_local and settings.temporal_ui_url is None:
        checks.insert(1, _web_ui(settings, report))
    await asyncio.gather(*checks)


async def _namespace(client: Client, place: TemporalPlace, report: Report) -> bool:
    request = DescribeNamespaceRequest(namespace=place.namespace)
    try:
        await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        name = place.namespace
        if error.status is RPCStatusCode.NOT_FOUND:
            report.failed(
                TEMPORAL,
                f"{place.address} has no namespace {name!r}",
                "set TEMPORAL_NAMESPACE, or make it: "
                f"`temporal operator namespace create --namespace {name}`",
            )
            return False
        if error.status in _REFUSED:
            advice = "check TEMPORAL_API_KEY or the client's certificate, and TEMPORAL_NAMESPACE"
            report.failed(TEMPORAL, f"{place.address} refuses us: {reason(error)}", advice)
            return False
        report.failed(
            TEMPORAL,
            f"{place.address} answered with an error: {reason(error)}",
            start_or_check("TEMPORAL_ADDRESS", is_set=place.is_set),
        )
        return False
    report.ok(TEMPORAL, f"{place.address}, namespace {place.namespace!r}")
    return True


async def _search_attributes(client: Client, report: Report) -> None:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        answer = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    except RPCError as error:  # Temporal Cloud refuses this call
        names = ", ".join(f"{name} ({kind})" for name, kind in SEARCH_ATTRIBUTES.items())
        advice = f"look in the server's console for {names}"
        report.warn(ATTRIBUTES, f"cannot be read: {reason(error)}", advice)
        return
    missing = [name for name in SEARCH_ATTRIBUTES if name not in answer.custom_attributes]
    wrong = [
        f"{name} is {_kind(answer.custom_attributes[name])}, not {kind}"
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name in answer.custom_attributes
        and _kind(answer.custom_attributes[name]) != kind.upper()
    ]
    if missing:
        report.failed(ATTRIBUTES, f"missing: {', '.join(missing)}", "run `cart setup`")
    if wrong:
        advice = "remove it with `temporal operator search-attribute remove`, then `cart setup`"
        report.failed(ATTRIBUTES, "; ".join(wrong), advice)
    if not missing and not wrong:
        report.ok(ATTRIBUTES, f"all {len(SEARCH_ATTRIBUTES)} are there")


def _kind(value: IndexedValueType.ValueType) -> str:
    return IndexedValueType.Name(value).removeprefix("INDEXED_VALUE_TYPE_")


async def _web_ui(settings: Settings, report: Report) -> None:
    where = without_login(settings.temporal_ui)
    try:
        async with httpx.AsyncClient(timeout=RPC_TIMEOUT.seconds, trust_env=False) as http:
            (await http.get(settings.temporal_ui, follow_redirects=True)).raise_for_status()
    except httpx.HTTPError as error:
        report.warn(
            WEB_UI,
            f"does not answer at {where} ({reason(error)}); only links lead there",
            "see TEMPORAL_UI_PORT, or set TEMPORAL_UI_URL",
        )
        return
    report.ok(WEB_UI, where)


async def _worker(client: Client, settings: Settings, report: Report) -> None:
    queue = settings.temporal_task_queue
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        report.failed(WORKER, f"cannot be seen: {reason(error)}", "see Temporal")
        return
    since = datetime.now(UTC) - POLLED_WITHIN
    seen = [
        poller.identity
        for poller in answer.pollers
        if poller.last_access_time.ToDatetime(tzinfo=UTC) > since
    ]
    advice = "start `python worker.py` (`make run` does); see TEMPORAL_TASK_QUEUE"
    if not seen:
        report.failed(
            WORKER,
            f"nobody has asked task queue {queue!r} for work in the last minute: "
            "changes of carts are accepted and wait",
            advice,
        )
        return
    names = f"{len(seen)} on task queue {queue!r} ({', '.join(sorted(seen)[:3])})"
    took = await _ping(client, queue)
    if took is None:
        report.failed(
            WORKER,
            f"none has done a piece of work within {PING_SECONDS:g} s that needs some "
            f"milliseconds, of {names} in the last minute: changes of carts are accepted and wait",
            f"{advice}; if it runs, it has too much to do, or hangs: see its log",
        )
    else:
        report.ok(WORKER, f"{names}; works, {took * 1000:.0f} ms")


async def _ping(client: Client, queue: str) -> float | None:
    """Seconds until a worker has done nothing, as it was told; None when none did in time."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(PING_SECONDS):
            await client.execute_workflow(
                PING,
                id=f"doctor/ping/{uuid4().hex}",
                task_queue=queue,
                execution_timeout=timedelta(seconds=5),
                static_summary="Does a worker work? For `cart doctor`",
                rpc_timeout=RPC_TIMEOUT,
            )
    except (TimeoutError, RPCError, WorkflowFailureError):
        return None
    return time.monotonic() - began


async def _version(client: Client, settings: Settings, report: Report) -> None:
    name, ours = settings.temporal_deployment_name, settings.temporal_worker_build_id
    command = "temporal worker deployment set-current-version"
    advice = f"run `{command} --deployment-name {name} --build-id {ours}`"
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    try:
        answer = await client.workflow_service.describe_worker_deployment(
            request, timeout=RPC_TIMEOUT
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            report.failed(VERSION, f"Temporal knows no worker of {name!r}", "start one")
        else:
            report.warn(VERSION, f"cannot be seen: {reason(error)}", "see Temporal")
        return
    routing = answer.worker_deployment_info.routing_config
    current = routing.current_deployment_version.build_id
    if not current:
        report.failed(VERSION, f"none of {name!r} is current: new sagas wait", advice)
    elif current != ours:
        report.warn(VERSION, f"{current} is current, not {ours}, which is ours", advice)
    else:
        report.ok(VERSION, f"{ours} is current")


def _why(error: Exception) -> str:
    """The SDK wraps the transport's words several times."""
    text = str(error).lower()
    for words in ("connection refused", "dns error", "certificate", "unauthenticated"):
        if words in text:
            return words
    return reason(error)
