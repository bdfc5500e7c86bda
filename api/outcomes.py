"""From how an operation ended to what its client is told.

The mapping itself is `api.errors`; here are the reads that it needs.
"""

from dataclasses import dataclass
from typing import Literal

from api.errors import Answer, abort_answer, refusal_answer
from api.state import Carts
from models.messages import OperationResult, Outcome
from models.operation import Operation

Status = Literal["committed", "rejected", "aborted"]


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation that has ended; `record` is there when it committed."""

    status: Status
    answer: Answer
    record: Operation | None = None


async def ended(carts: Carts, result: OperationResult) -> Ended:
    """How an operation ended, with the stored answer if it has one."""
    if result.outcome is Outcome.REJECTED and result.refusal is not None:
        return Ended("rejected", refusal_answer(result.operation, result.refusal))
    if result.outcome is Outcome.ABORTED:
        return Ended("aborted", abort_answer(result.reason))
    record = await carts.record(result.run_id)
    if record is None:
        raise LookupError(f"run {result.run_id} is {result.outcome} and has no record")
    return committed(record, replayed=result.outcome is Outcome.REPLAYED)


def committed(record: Operation, *, replayed: bool = False) -> Ended:
    """A committed operation: the same status and the same text for ever."""
    if record.answer is None:
        raise LookupError(f"run {record.id} has a record without an answer")
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    answer = Answer(record.answer.status, record.answer.body.encode(), headers)
    return Ended("committed", answer, record)
