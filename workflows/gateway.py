"""The one place that starts and finds cart workflows, for HTTP, Kafka, the CLI and schedules.

A cart has one open run, because all its operations share one workflow id. A second operation waits
for the running one; a repeat with the same key is refused while the first one runs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import structlog
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from adapters.breaker import CircuitBreaker
from adapters.redis.answers import AnswerInbox
from models.audit import AuditEntry
from models.cart import CartKey
from models.effects import EffectKind
from models.errors import OperationAborted, OperationInProgress
from models.mark_product import MarkProductInput
from models.operations import CartOperation
from models.outcomes import OperationResult, Outcome
from models.privacy import Erased, EraseInput
from models.relays import RelayInput
from models.upkeep.reconcile import ReconcileInput, Report
from telemetry import tracing
from telemetry.operations import lock_acquisition, measured
from workflows import ids, policies
from workflows.connection import RPC_TIMEOUT, as_unavailable, unavailable
from workflows.queues import Queues
from workflows.relay import RelayWorkflow
from workflows.requests import search_attributes_of

logger = structlog.stdlib.get_logger(__name__)

CARRY_OUT_GRACE_SECONDS = 5.0
SEARCHES = 4
"""Visibility queries of one process at a time; they cost the server more than a start."""

CartHandle = WorkflowHandle[Any, OperationResult]


@dataclass(frozen=True)
class Started:
    """An accepted operation: it runs, whether or not a caller waits for it.

    `reply` is set by the reply channel (`adapters.redis.answers`), where the caller listens to one.
    """

    operation_id: str
    handle: CartHandle
    attempt_id: str
    reply: asyncio.Future[OperationResult] | None = None


class CartGateway:
    """Starts operations on carts, one at a time for each cart.

    Raises `OperationInProgress` when the cart stays busy for `lock_wait_seconds` or the same key
    is running, and `DependencyUnavailable("temporal")` when it is unknown whether the operation
    was started; that is safe to repeat with the same key.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        lock_wait_seconds: float,
        inbox: AnswerInbox | None = None,
        fallback_seconds: float = 0,
    ) -> None:
        """With an `inbox`, a result arrives on the reply channel; after `fallback_seconds` without
        one, Temporal is asked."""
        self._client = client
        self._task_queue = task_queue
        self._lock_wait = lock_wait_seconds
        self._inbox = inbox
        self._fallback = fallback_seconds
        self._queues = Queues()
        self._searching = asyncio.Semaphore(SEARCHES)
        self.breaker = CircuitBreaker("temporal", call="start", failures=2, cooldown_seconds=1.0)

    async def start(self, request: CartOperation) -> Started:
        """Starts an operation; returns as soon as it is accepted."""
        workflow_id = ids.cart_workflow_id(request.store_id, request.user_id)
        reply: asyncio.Future[OperationResult] | None = None
        if self._inbox and self._inbox.is_listening:
            reply = self._inbox.expect(request.attempt_id)
            request = request.model_copy(update={"reply_channel": self._inbox.channel})
        start = partial(
            self._client.start_workflow,
            request.name,
            request,
            id=workflow_id,
            task_queue=self._task_queue,
            task_timeout=policies.WORKFLOW_TASK_TIMEOUT,
            rpc_timeout=RPC_TIMEOUT,
            static_summary=request.summary,
            memo={
                ids.MEMO_OPERATION_ID: request.operation_id,
                ids.MEMO_ATTEMPT_ID: request.attempt_id,
            },
            search_attributes=search_attributes_of(request),
            # Where the server has fairness, one store's backlog does not hold up the others.
            priority=Priority(fairness_key=request.store_id),
        )
        try:
            with lock_acquisition():
                handle = await self._start_in_turn(workflow_id, request, start)
        except BaseException:
            if self._inbox:
                self._inbox.forget(request.attempt_id)
            raise
        return Started(request.operation_id, handle, request.attempt_id, reply)

    async def result(self, started: Started, *, wait_seconds: float) -> OperationResult | None:
        """How the operation ended; None when it has not within the time.

        By the reply channel it comes with the client's answer; else that is in the record. Raises
        `WorkflowFailureError` when the run failed, or was terminated or cancelled from outside.
        """
        try:
            async with asyncio.timeout(wait_seconds):
                if started.reply is not None and self._inbox and self._inbox.is_listening:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._fallback):
                            return await asyncio.shield(started.reply)
                return await self._first_result(started)
        except (TimeoutError, RPCError, RuntimeError):
            return None  # it was accepted and goes on; the caller can ask for it later
        finally:
            if self._inbox:
                self._inbox.forget(started.attempt_id)

    async def _first_result(self, started: Started) -> OperationResult:
        """The result from the reply channel or from Temporal, whichever comes first."""
        asked = asyncio.ensure_future(started.handle.result(follow_runs=False))
        sources: set[asyncio.Future[OperationResult]] = {asked}
        if started.reply is not None:
            sources.add(started.reply)
        try:
            await asyncio.wait(sources, return_when=asyncio.FIRST_COMPLETED)
            if started.reply is not None and started.reply.done():
                return started.reply.result()
            return await asked
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def carry_out(self, request: CartOperation) -> OperationResult:
        """Starts an operation and waits for its end, for callers that must know it was done.

        Raises `OperationAborted` when it was undone, `OperationInProgress` when it goes on longer
        than its deadline, and what `start` and `result` raise. All of these may be tried again.
        """
        wait = request.policy.deadline_seconds + CARRY_OUT_GRACE_SECONDS
        with measured(request.name) as measure:
            result = await self.result(await self.start(request), wait_seconds=wait)
            measure.ended_with(result)
        if result is None:
            raise OperationInProgress("it has not ended")
        if result.outcome is Outcome.ABORTED:
            raise OperationAborted(result.why or "aborted")
        return result

    async def mark_product(self, request: MarkProductInput) -> None:
        """Starts marking a product's lines in all its carts, once for each event."""
        news = request.news
        operation_id = ids.event_operation_id(
            request.topic, request.event_id, CartKey(request.store_id or "", news.product_id)
        )
        with as_unavailable(), suppress(WorkflowAlreadyStartedError):
            await self._client.start_workflow(
                ids.MARK_PRODUCT,
                request,
                id=ids.product_workflow_id(news.product_id, operation_id),
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                rpc_timeout=RPC_TIMEOUT,
                static_summary=f"{news.product_id} is {news.status}",
            )

    async def reconcile(self, request: ReconcileInput) -> WorkflowHandle[Any, Report]:
        """Starts a run over the carts of a store, or of all.

        Raises `WorkflowAlreadyStartedError` while one that was started so is running.
        """
        where = request.store_id or "all stores"
        with as_unavailable():
            return await self._client.start_workflow(
                ids.RECONCILE,
                request,
                id=ids.reconcile_workflow_id(request.store_id),
                task_queue=self._task_queue,
                rpc_timeout=RPC_TIMEOUT,
                result_type=Report,
                static_summary=f"{'Repair' if request.fix else 'Compare'} the carts of {where}",
            )

    async def audit(self, entry: AuditEntry) -> None:
        """Has an audit line written by a worker."""
        with as_unavailable():
            await self._client.start_workflow(
                ids.AUDIT,
                entry,
                id=f"audit/{uuid4()}",
                task_queue=self._task_queue,
                rpc_timeout=RPC_TIMEOUT,
                static_summary=f"{entry.operator}: cart {entry.command}",
            )

    async def erase(self, request: EraseInput, token: str) -> WorkflowHandle[Any, Erased]:
        """Starts the erasure of a user's data, or finds the one that runs; `token` stands for the
        user and the store."""
        with as_unavailable():
            return await self._client.start_workflow(
                ids.ERASE,
                request,
                id=ids.erase_workflow_id(token),
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                rpc_timeout=RPC_TIMEOUT,
                result_type=Erased,
                static_summary="Erase the data of a user",
            )

    async def find(
        self, store_id: str, operation_id: str, *, user_id: str | None
    ) -> OperationResult | None:
        """How an operation ended that has no record; None while it is running.

        `user_id` None looks at the carts of all users. Raises `KeyError` for an unknown operation,
        `DependencyUnavailable` when Temporal does not answer.
        """
        with as_unavailable():
            handle = await self._find_run(store_id, operation_id, user_id)
            if handle is None:
                raise KeyError(operation_id)
            description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            if description.status is WorkflowExecutionStatus.RUNNING:
                return None
            return await handle.result(follow_runs=False, rpc_timeout=RPC_TIMEOUT)

    async def wake_relay(self, kind: EffectKind, shard: int, *, shards: int) -> None:
        """Starts the relay of a shard, or wakes the running one."""
        await self.signal_relay(kind, shard, ids.WAKE, shards=shards)

    async def signal_relay(
        self, kind: EffectKind, shard: int, signal: str, *words: str, shards: int
    ) -> None:
        """Signals the relay of a shard, which is started if it has nothing to do."""
        # What it will do is of many operations, each with a trace of its own.
        with as_unavailable(), tracing.detached():
            await self._client.start_workflow(
                RelayWorkflow.run,
                RelayInput(kind=kind, shard=shard, shards=shards),
                id=ids.relay_workflow_id(kind, shard),
                task_queue=self._task_queue,
                task_timeout=policies.WORKFLOW_TASK_TIMEOUT,
                rpc_timeout=RPC_TIMEOUT,
                start_signal=signal,
                start_signal_args=words,
                static_summary=f"Pending {kind}s of shard {shard}",
            )

    async def abort(self, workflow_id: str, run_id: str, *, reason: str, by: str) -> None:
        """Requests a saga's undo; raises `KeyError` when that run has ended.

        A saga inside a step receives it some seconds later, when its workflow task is renewed.
        """
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            await handle.signal(ids.ABORT, args=(reason, by), rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise KeyError(run_id) from error
            raise unavailable(error) from error

    async def _find_run(
        self, store_id: str, operation_id: str, user_id: str | None
    ) -> CartHandle | None:
        if user_id is not None:  # the latest run first: visibility may lag behind it
            workflow_id = ids.cart_workflow_id(store_id, user_id)
            latest = await self._describe(workflow_id)
            if latest is not None and await _memo(latest, ids.MEMO_OPERATION_ID) == operation_id:
                return self._handle(workflow_id, latest.run_id)
            if latest is None:
                return None
            where = f"WorkflowId = {ids.in_query(workflow_id)}"
        else:
            where = f"{ids.STORE_ID} = {ids.in_query(store_id)}"
        query = f"{ids.OPERATION_ID} = {ids.in_query(operation_id)} AND {where}"
        async with self._searching:
            found = self._client.list_workflows(query, limit=1, rpc_timeout=RPC_TIMEOUT)
            async for run in found:
                return self._handle(run.id, run.run_id)
        return None

    async def _start_in_turn(
        self,
        workflow_id: str,
        request: CartOperation,
        start: Callable[[], Awaitable[WorkflowHandle[Any, Any]]],
    ) -> CartHandle:
        deadline = time.monotonic() + self._lock_wait
        turn = self._queues.turn(workflow_id, request.operation_id, deadline)
        log = logger.bind(workflowId=workflow_id, operationId=request.operation_id)
        async with turn:
            while True:
                try:
                    async with self.breaker.guard():
                        started = await self._start_once(workflow_id, request, start)
                except WorkflowAlreadyStartedError as error:
                    log.debug("cart_lock_awaited", message="Cart is busy")
                    await self._wait_for_turn(workflow_id, error.run_id, request, deadline)
                else:
                    log.debug("cart_lock_acquired", message="Cart is locked")
                    return started

    async def _start_once(
        self,
        workflow_id: str,
        request: CartOperation,
        start: Callable[[], Awaitable[WorkflowHandle[Any, Any]]],
    ) -> CartHandle:
        try:
            started = await start()
        except RPCError as error:
            return await self._started_after_all(workflow_id, request, error)
        except RuntimeError as error:  # a lazy client that has never connected
            raise unavailable(error) from error
        return self._handle(workflow_id, started.first_execution_run_id)

    async def _wait_for_turn(
        self, workflow_id: str, run_id: str | None, request: CartOperation, deadline: float
    ) -> None:
        """Returns when the running operation has ended."""
        with as_unavailable():
            running = await self._describe(workflow_id, run_id)
        if running is None or running.status is not WorkflowExecutionStatus.RUNNING:
            return
        if await _memo(running, ids.MEMO_OPERATION_ID) == request.operation_id:
            raise OperationInProgress("the same operation is running")
        left = deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._handle(workflow_id, running.run_id).result(follow_runs=False)
        except TimeoutError:
            raise OperationInProgress("the cart is busy") from None
        except WorkflowFailureError:
            return  # it has ended, whatever it said
        except (RPCError, RuntimeError) as error:
            raise unavailable(error) from error

    async def _started_after_all(
        self, workflow_id: str, request: CartOperation, error: RPCError
    ) -> CartHandle:
        """A start whose answer was lost may have happened: asks for it before saying it failed."""
        with as_unavailable():
            latest = await self._describe(workflow_id)
        if latest is None or await _memo(latest, ids.MEMO_ATTEMPT_ID) != request.attempt_id:
            raise unavailable(error) from error
        return self._handle(workflow_id, latest.run_id)

    async def _describe(
        self, workflow_id: str, run_id: str | None = None
    ) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(workflow_id, run_id=run_id).describe(
                rpc_timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    def _handle(self, workflow_id: str, run_id: str | None) -> CartHandle:
        return self._client.get_workflow_handle(
            workflow_id, run_id=run_id, result_type=OperationResult
        )


async def _memo(description: WorkflowExecutionDescription, key: str) -> str | None:
    value = await description.memo_value(key, default=None)
    return value if isinstance(value, str) else None
