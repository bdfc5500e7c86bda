"""MongoDB: all that is stored of one user, to export it and to erase it.

Records must stay for as long as a repeat of their operation may arrive: a record of an order that
is delivered again prevents that it is booked twice. So they lose the user, not their decision.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded, in_cart
from models.acknowledgement import Acknowledgement
from models.actor import ActorType
from models.documents import Cart, LargeAnswer, OperationRecord
from models.operations import ApplyOrder
from models.privacy import ERASED, UserData
from models.upkeep.findings import CartFindings

PAGE = 200


@dataclass(frozen=True, slots=True)
class Person:
    """A user of one store, or (None) of all."""

    user_id: str
    store_id: str | None = None

    @property
    def filter(self) -> dict[str, Any]:
        """What is stored under the user's id."""
        return {"userId": self.user_id} | self._in_store

    @property
    def acts_as_admin(self) -> dict[str, Any]:
        """The records of what the user did to other users' carts."""
        acts = {"actor.type": ActorType.ADMIN.value, "actor.id": self.user_id}
        return acts | self._in_store

    @property
    def _in_store(self) -> dict[str, Any]:
        return {} if self.store_id is None else {"storeId": self.store_id}


class PersonalData:
    """A user's documents. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def count(self, person: Person) -> UserData:
        """How much there is."""
        async with bounded(LIST_SECONDS):
            return UserData(
                carts=await Cart.find(person.filter).count(),
                records=await OperationRecord.find(person.filter).count(),
                pending=await OperationRecord.find(person.filter | {"pending": True}).count(),
                answers=await LargeAnswer.find(person.filter).count(),
                acknowledgements=await Acknowledgement.find(person.filter).count(),
                findings=await CartFindings.find(person.filter).count(),
                acts_as_admin=await OperationRecord.find(person.acts_as_admin).count(),
            )

    async def carts(self, person: Person) -> list[Cart]:
        """The user's carts; there is one in each store at most."""
        async with bounded(LIST_SECONDS):
            return await Cart.find(person.filter).sort("+storeId").to_list()

    async def records(self, person: Person) -> AsyncIterator[OperationRecord]:
        """The records of the user's operations, by id."""
        after = ""
        while True:
            wanted = person.filter | {"_id": {"$gt": after}}
            async with bounded(LIST_SECONDS):
                page = await OperationRecord.find(wanted).sort("+_id").limit(PAGE).to_list()
            for record in page:
                yield record
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def others(self, person: Person) -> dict[str, list[dict[str, Any]]]:
        """The user's other documents, by collection."""
        async with bounded(LIST_SECONDS):
            acknowledged = await Acknowledgement.find(person.filter).to_list()
            findings = await CartFindings.find(person.filter).to_list()
            acts = await OperationRecord.find(person.acts_as_admin).limit(PAGE * 50).to_list()
        return {
            "acknowledgements": [
                one.model_dump(mode="json", by_alias=True) for one in acknowledged
            ],
            "findings": [one.model_dump(mode="json", by_alias=True) for one in findings],
            "actsAsAdmin": [
                {"storeId": one.store_id, "operation": one.operation, "state": one.state}
                | {"recordId": one.id, "at": one.at.isoformat()}
                for one in acts
            ],
        }

    async def erase(self, person: Person, pseudonym: str) -> int:
        """Removes the user from all documents but carts; returns the number of records.

        Leaves out records with pending effects, which need the user. Safe to repeat.
        """
        count = 0
        async for record in self.records(person):
            if not record.pending:
                await _anonymise(record, pseudonym)
                count += 1
        async with bounded(LIST_SECONDS):
            await LargeAnswer.find(person.filter).delete()
            await Acknowledgement.find(person.filter).delete()
            await CartFindings.find(person.filter).delete()
            await OperationRecord.get_pymongo_collection().update_many(
                person.acts_as_admin, {"$set": {"actor.id": pseudonym}}
            )
        return count


async def _anonymise(record: OperationRecord, pseudonym: str) -> None:
    """Replaces the user in a record, and removes what has the user in it.

    One at a time: the user is a part of the shard key, which no update of many may change.
    """
    changed: dict[str, Any] = {
        "userId": pseudonym,
        "sagaId": ERASED,
        "effects": [],
        "due": {},
        "intervention": None,
    }
    if record.answer is not None:
        changed |= {"answer.body": None, "answer.sealedName": None}
    if record.operation != ApplyOrder.name:  # of an order, it identifies the same order
        changed["fingerprint"] = ERASED
    if record.actor.type in {ActorType.USER, ActorType.GUEST, ActorType.ADMIN}:
        changed["actor.id"] = pseudonym
    async with bounded(READ_SECONDS):
        own = {"_id": record.id} | in_cart(record.key)
        await LargeAnswer.find(own).delete()
        await OperationRecord.get_pymongo_collection().update_one(
            own | {"pending": False}, {"$set": changed}
        )
