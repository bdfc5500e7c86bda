"""Awaiting a step: what its failure means to a saga."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import CancelledError as StepCancelled
from temporalio.exceptions import TimeoutError as StepTimeout

with workflow.unsafe.imports_passed_through():
    from models.errors import (
        AlreadyCommitted,
        DependencyUnavailable,
        RunAlreadyAborted,
        VersionConflict,
    )

T = TypeVar("T")


async def attempt(call: Awaitable[object]) -> bool:
    """Whether a step succeeded that may fail: its effect stays in the record until it is done."""
    try:
        await call
    except FailureError as error:
        workflow.logger.warning("Left pending: %s", error.cause or error)
        return False
    return True


async def step(dependency: str, call: Awaitable[T]) -> T:
    """Awaits a step on `dependency`; raises what failed as the domain's error again.

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
            case ApplicationError(type="AlreadyCommitted"):
                raise AlreadyCommitted(*cause.details) from error
            case ApplicationError(type="VersionConflict"):
                raise VersionConflict(cause.message) from error
            case ApplicationError(type="RunAlreadyAborted"):
                raise RunAlreadyAborted(cause.message) from error
            case ApplicationError(type="DependencyUnavailable" | "DependencyTimeout"):
                raise DependencyUnavailable(dependency, cause.message) from error
            case _:
                raise
