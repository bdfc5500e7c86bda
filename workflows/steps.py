"""Awaiting a step: what its failure means to a saga."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import CancelledError as StepCancelled
from temporalio.exceptions import TimeoutError as StepTimeout

with workflow.unsafe.imports_passed_through():
    from models.errors import DependencyUnavailable, NotSent, VersionConflict
    from models.outcomes import AbortReason

T = TypeVar("T")

FIRST_TASK_EVENTS = 3
"""Length of the history in the first try of the first task: started, scheduled, task started."""


class RunReset(Exception):
    """An operator has reset the run."""


async def attempt(call: Awaitable[object]) -> bool:
    """Whether a step succeeded that may fail: its effect stays in the record until it is done."""
    try:
        await call
    except FailureError as error:
        workflow.logger.warning("Left pending: %s", error.cause or error)
        return False
    return True


async def step(dependency: str, call: Awaitable[T]) -> T:
    """Awaits a step on `dependency`, and raises a failure as the domain's error.

    A local activity's failure arrives bare, a regular one's inside an `ActivityError`.
    """
    try:
        return await call
    except FailureError as error:
        cause = error.cause if isinstance(error, ActivityError) and error.cause else error
        match cause:
            case StepCancelled():
                raise asyncio.CancelledError from error
            case StepTimeout():
                raise DependencyUnavailable(dependency, str(cause)) from error
            case ApplicationError(type="VersionConflict"):
                raise VersionConflict(cause.message) from error
            case ApplicationError(type="NotSent"):
                raise NotSent(dependency, cause.message) from error
            case ApplicationError(
                type="DependencyUnavailable" | "DependencyTimeout" | "DependencyRefuses"
            ):
                raise DependencyUnavailable(dependency, cause.message) from error
            case _:
                raise


def abort_reason(error: BaseException) -> AbortReason:
    """Why a saga that met this error is undone."""
    match error:
        case RunReset():
            return AbortReason.RESET
        case VersionConflict():
            return AbortReason.CONFLICT
        case DependencyUnavailable(dependency="mongodb"):
            return AbortReason.MONGODB_UNAVAILABLE
        case DependencyUnavailable(dependency="inventory"):
            return AbortReason.INVENTORY_UNAVAILABLE
        case DependencyUnavailable(dependency="redis"):
            return AbortReason.REDIS_UNAVAILABLE
        case _:
            return AbortReason.UNEXPECTED


def is_first_try() -> bool:
    """Whether no step can have been made for this saga before this try of its first task."""
    return workflow.info().get_current_history_length() <= FIRST_TASK_EVENTS
