"""A saga's identity, and where its caller waits."""

from datetime import datetime

from models.actor import Actor
from models.cart import CartKey
from models.message import Message


class SagaRun(Message):
    """Identifies a saga, and the run that carries it.

    Everything but `run_id` is the same in every try of the saga: when a lost workflow task runs
    again, and when an operator resets the run. `record_id` identifies the saga's record, so all
    tries share one decision. `started_at` has milliseconds, as MongoDB stores it.
    """

    run_id: str
    record_id: str
    saga_id: str
    started_at: datetime
    operation: str
    operation_id: str
    fingerprint: str
    store_id: str
    user_id: str
    actor: Actor

    @property
    def key(self) -> CartKey:
        return CartKey(self.store_id, self.user_id)


class ReplyTo(Message):
    """Where the caller waits for the reply: a Redis channel, and its name for this start."""

    channel: str
    attempt_id: str
