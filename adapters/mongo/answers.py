"""MongoDB: the answers of committed operations, as they are kept for a repeat.

A kept answer does not have the user's name in clear text. A large one has a document of its own.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from adapters.keyring import Keyring
from adapters.mongo.client import READ_SECONDS, bounded, in_cart
from models.documents import LARGE_ANSWER_BYTES, LargeAnswer, OperationRecord
from models.operations import CartChange
from models.outcomes import StoredAnswer
from models.saga import SagaRun
from models.shopper import with_name, without_name

NAME = "name"
"""What the sealed text is (`Keyring.seal`); the cart's key is the rest of what it is about."""


class KeptAnswer(NamedTuple):
    """What the record has of an answer, and the document of a large one."""

    in_record: StoredAnswer
    large: LargeAnswer | None


class Answers:
    """Prepares and reads kept answers."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def kept(self, saga: SagaRun, change: CartChange) -> KeptAnswer:
        """What is stored of a change's answer."""
        name = change.cart.full_name if change.cart else None
        body = without_name(change.body, name)
        sealed = None
        if name is not None and body != change.body:
            sealed = self._keyring.seal(name, NAME, *saga.key)
        answer = StoredAnswer(status=change.status, body=body.decode(), sealed_name=sealed)
        if len(body) <= LARGE_ANSWER_BYTES:
            return KeptAnswer(answer, None)
        large = LargeAnswer(
            _id=saga.record_id,
            store_id=saga.store_id,
            user_id=saga.user_id,
            body=body.decode(),
            at=datetime.now(UTC),
        )
        return KeptAnswer(answer.model_copy(update={"body": None}), large)

    async def read(self, record: OperationRecord) -> StoredAnswer | None:
        """The exact answer of a committed operation; None when it is kept no more."""
        answer = record.answer
        if answer is None:
            return None
        body = answer.body
        if body is None:
            async with bounded(READ_SECONDS):
                large = await LargeAnswer.find_one({"_id": record.id} | in_cart(record.key))
            if large is None:
                return None
            body = large.body
        if answer.sealed_name is not None:
            name = self._keyring.open(answer.sealed_name, NAME, *record.key)
            body = body if name is None else with_name(body.encode(), name).decode()
        return StoredAnswer(status=answer.status, body=body)
