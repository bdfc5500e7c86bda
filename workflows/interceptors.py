"""Carries log ids and traces from the caller of an operation through its workflow to its steps.

The ids travel in a header of their own. In a process that traces, the Temporal SDK's interceptor
carries the trace. A workflow only passes headers on, so a replay does what the first run did.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from temporalio import activity, client, worker, workflow
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.converter import PayloadConverter

from models.operations import CartOperation
from telemetry import tracing

HEADER = "cart-log-ids"


def interceptors() -> list[client.Interceptor]:
    """The interceptors for the clients and workers of this process."""
    if not tracing.is_on():
        return [LogIds()]
    spans = _Spans()
    spans.text_map_propagator = tracing.PROPAGATOR
    return [spans, LogIds()]


class _Spans(TracingInterceptor):
    """Spans of starts, signals and steps, but not of workflow code.

    Workflow spans have no duration, add nothing to the steps' spans, and were a quarter of what
    tracing cost the worker.
    """

    def workflow_interceptor_class(self, input: Any) -> Any:  # noqa: A002
        return None


class LogIds(client.Interceptor, worker.Interceptor):
    """Binds ids to the log lines of a saga and its steps.

    `requestId`, `operationId`, `actor` and `traceId` come from the caller; `workflowId`, `runId`,
    `activity` and `sagaId` are the step's own. (The SDK adds a workflow's.)
    """

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        return _Starts(next)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[worker.WorkflowInboundInterceptor]:
        return _Workflow

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002
    ) -> worker.ActivityInboundInterceptor:
        return _Steps(next)


class _Starts(client.OutboundInterceptor):
    async def start_workflow(
        self,
        input: client.StartWorkflowInput,  # noqa: A002
    ) -> client.WorkflowHandle[Any, Any]:
        if input.args and isinstance(input.args[0], CartOperation):
            operation = input.args[0]
            ids = {"operationId": operation.operation_id, "actor": str(operation.actor)}
            request_id = structlog.contextvars.get_contextvars().get("requestId")
            if request_id is not None:
                ids["requestId"] = request_id
            if (traced := tracing.ids()) is not None:
                ids["traceId"] = traced[0]
            payload = PayloadConverter.default.to_payload(ids)
            input.headers = {**input.headers, HEADER: payload}
        return await super().start_workflow(input)


class _Workflow(worker.WorkflowInboundInterceptor):
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_HandsOn(outbound))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # noqa: A002
        structlog.contextvars.bind_contextvars(**_ids(input.headers))
        return await super().execute_workflow(input)


class _HandsOn(worker.WorkflowOutboundInterceptor):
    def start_activity(
        self,
        input: worker.StartActivityInput,  # noqa: A002
    ) -> workflow.ActivityHandle[Any]:
        input.headers = {**workflow.info().headers, **input.headers}
        return super().start_activity(input)

    def start_local_activity(
        self,
        input: worker.StartLocalActivityInput,  # noqa: A002
    ) -> workflow.ActivityHandle[Any]:
        input.headers = {**workflow.info().headers, **input.headers}
        return super().start_local_activity(input)


def _ids(headers: Mapping[str, Payload]) -> dict[str, str]:
    if HEADER not in headers:
        return {}
    ids: dict[str, str] = PayloadConverter.default.from_payload(headers[HEADER])
    return ids


class _Steps(worker.ActivityInboundInterceptor):
    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        ids: dict[str, Any] = {
            "workflowId": info.workflow_id,
            "runId": info.workflow_run_id,
            "activity": info.activity_type,
            **_ids(input.headers),
        }
        request = input.args[0] if input.args else None
        saga_id = getattr(getattr(request, "saga", request), "saga_id", None)
        if saga_id is not None:
            ids["sagaId"] = saga_id
        # Until it ends: a step has a task, and so a context, of its own.
        structlog.contextvars.bind_contextvars(**ids)
        return await super().execute_activity(input)
