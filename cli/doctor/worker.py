"""Workers: whether one polls our task queue and works, and which version is current."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
)
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from cli.doctor.listeners import ProcessState, process
from cli.doctor.results import CheckReport, Part
from cli.temporal import RPC_TIMEOUT
from ops.words import reason
from settings import Settings
from workflows.ids import PING

# What remains of a check's time after connecting; a healthy worker needs some milliseconds.
PING_SECONDS = 1.5
# An idle worker polls again after a minute, when its long poll ends.
POLLED_WITHIN = timedelta(seconds=70)


async def check_worker(client: Client, settings: Settings, report: CheckReport) -> None:
    """A worker has polled the task queue lately, and completes a workflow in time."""
    queue = settings.temporal_task_queue
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        report.failed(Part.WORKER, f"unknown: {reason(error)}", "see Temporal")
        return
    since = datetime.now(UTC) - POLLED_WITHIN
    seen = sorted(
        poller.identity
        for poller in answer.pollers
        if poller.last_access_time.ToDatetime(tzinfo=UTC) > since
    )
    advice = "start `python worker.py` (`make run` does); see TEMPORAL_TASK_QUEUE"
    if not seen:
        report.failed(
            Part.WORKER,
            f"no worker has polled task queue {queue!r} in the last minute: "
            "changes of carts are accepted and wait",
            advice,
        )
        return
    names = f"{len(seen)} on task queue {queue!r} ({', '.join(seen[:3])})"
    took = await _ping(client, queue)
    if took is None:
        what = f"no answer to a ping within {PING_SECONDS:g} s from {names}"
        here = [found for identity in seen if (found := _here(identity))]
        if here:
            what += f"; {'; '.join(map(str, here[:3]))}"
            advice = here[0].advice
        else:
            advice += "; if it runs, it is overloaded or hangs: see its log"
        report.failed(Part.WORKER, f"{what}: changes of carts are accepted and wait", advice)
    else:
        report.ok(Part.WORKER, f"{names}; answered a ping in {took * 1000:.0f} ms")


def _here(identity: str) -> ProcessState | None:
    """The worker with this identity, by the SDK `pid@host`, if it is a process of this machine."""
    pid, _, host = identity.partition("@")
    return process(int(pid)) if pid.isdigit() and host == socket.gethostname() else None


async def _ping(client: Client, queue: str) -> float | None:
    """Seconds until a worker has completed an empty workflow; None when none does in time."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(PING_SECONDS):
            await client.execute_workflow(
                PING,
                id=f"doctor/ping/{uuid4().hex}",
                task_queue=queue,
                execution_timeout=timedelta(seconds=5),
                static_summary="Proves that a worker is running, for `cart doctor`",
                rpc_timeout=RPC_TIMEOUT,
            )
    except (TimeoutError, RPCError, WorkflowFailureError):
        return None
    return time.monotonic() - began


async def check_version(client: Client, settings: Settings, report: CheckReport) -> None:
    """The current version of the worker deployment is the one that the settings name."""
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
            report.failed(
                Part.VERSION, f"Temporal has no worker deployment {name!r}", "start a worker"
            )
        else:
            report.warn(Part.VERSION, f"unknown: {reason(error)}", "see Temporal")
        return
    routing = answer.worker_deployment_info.routing_config
    current = routing.current_deployment_version.build_id
    if not current:
        report.failed(Part.VERSION, f"no version of {name!r} is current: new sagas wait", advice)
    elif current != ours:
        report.warn(Part.VERSION, f"{current} is current, the settings name {ours}", advice)
    else:
        report.ok(Part.VERSION, f"{ours} is current")
