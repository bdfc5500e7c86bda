"""What MongoDB stores, as Beanie documents: carts, and the records of operations."""

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

from beanie import Document, PydanticObjectId
from pydantic import BaseModel, Field
from pymongo import DESCENDING, IndexModel

from models.actor import Actor, ActorType, Intervention
from models.cart import CartContent, CartKey
from models.cart_line import LineChange
from models.effects import AnyEffect, EffectKind, EventEffect, ReleaseEffect
from models.outcomes import (
    AbortReason,
    OperationResult,
    Outcome,
    Refusal,
    RefusalCode,
    StoredAnswer,
)
from models.saga import SagaRun
from models.wire import CAMEL_CASE

TTL_GRACE_SECONDS = 7 * 24 * 3600
"""How long after `expireAt` MongoDB itself deletes a cart. The expiry saga normally clears it, and
releases its stock; the TTL index is only the backstop."""

KEPT_SECONDS = 90 * 24 * 3600
"""How long an operation's record, and so its idempotency key, is kept. A record with a pending
effect is kept until the effect is done."""


BUCKETS = 128
"""MongoDB merges at most 200 index ranges in order (`internalQueryMaxScansToExplode`)."""


def bucket_of(key: CartKey) -> int:
    """A stable hash of a cart, below `BUCKETS`. Relays and scheduled runners share buckets out."""
    return zlib.crc32(f"{key.store_id}/{key.user_id}".encode()) % BUCKETS


def buckets_of(share: int, shares: int) -> list[int]:
    """The buckets of one of `shares` equal shares: those of a relay, or of a runner."""
    return list(range(share, BUCKETS, shares))


class CartClaim(BaseModel):
    """The claim of a merge, whose record is `by`, on the cart that it is about to end.

    Until then no other saga changes the cart.
    """

    model_config = CAMEL_CASE

    by: str
    until: datetime

    def blocks(self, record_id: str, now: datetime) -> bool:
        """Whether the saga with this record must leave the cart as it is."""
        return self.by != record_id and now < self.until


class Cart(CartContent, Document):
    """A stored cart: one for each user and store. `bucket` is `bucket_of` its key, `claim` that of
    the merge which is about to end it."""

    # Repeated, because Beanie's own generator would store snake_case names.
    model_config = CAMEL_CASE  # type: ignore[misc]

    id: PydanticObjectId = Field(default_factory=PydanticObjectId, alias="_id")
    bucket: int = Field(
        default_factory=lambda cart: bucket_of(CartKey(cart["store_id"], cart["user_id"]))
    )
    claim: CartClaim | None = None

    def is_blocked(self, record_id: str, now: datetime) -> bool:
        """Whether another saga has claimed the cart."""
        return self.claim is not None and self.claim.blocks(record_id, now)

    class Settings:
        name = "carts"
        indexes = [
            # Begins with the shard key, as unique indexes must in a sharded cluster. Also a store's
            # carts by user, in the order in which the inventory lists its reservations.
            IndexModel(["storeId", "userId"], unique=True),
            IndexModel(["storeId"]),
            IndexModel(["userId"]),
            IndexModel(["sellerId"]),
            IndexModel(["expireAt"], expireAfterSeconds=TTL_GRACE_SECONDS),
            IndexModel([("createdAt", DESCENDING)]),
            # The admins' list, and the admins' list of the carts with a product.
            IndexModel(["storeId", ("createdAt", DESCENDING), ("_id", DESCENDING)]),
            IndexModel(
                ["storeId", "cartItems.productId", ("createdAt", DESCENDING), ("_id", DESCENDING)]
            ),
            # What is due of the carts of some buckets, oldest first.
            IndexModel(["bucket", "expireAt"]),
            IndexModel(
                ["bucket", "holdsEnd"], partialFilterExpression={"holdsEnd": {"$type": "date"}}
            ),
            IndexModel(
                ["bucket", "checkout.expiresAt"],
                partialFilterExpression={"checkout.expiresAt": {"$type": "date"}},
            ),
            IndexModel(
                ["bucket", "abandonAt"], partialFilterExpression={"abandonAt": {"$type": "date"}}
            ),
            # The business figures of a bucket, from the index alone.
            IndexModel(["bucket", "currency", "quantity", "totalPrice"], name="figures"),
            # A product's carts in some buckets, of one store or of all, page by page.
            IndexModel(["cartItems.productId", "bucket", "_id"]),
        ]


class Store(Document):
    """A store in which units may be reserved, since the time of its first reservation."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    since: datetime

    class Settings:
        name = "stores"


LARGE_ANSWER_BYTES = 1024
LARGE_ANSWER_KEPT_SECONDS = 24 * 3600


class LargeAnswer(Document):
    """The body of an operation's answer that has more than `LARGE_ANSWER_BYTES`.

    A record is kept for months, and most answers are a whole cart. So a large one has a document of
    its own, for a day.
    """

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")  # type: ignore[assignment]
    store_id: str
    user_id: str
    body: str
    at: datetime

    class Settings:
        name = "answers"
        indexes = [
            IndexModel(["at"], name="by_time", expireAfterSeconds=LARGE_ANSWER_KEPT_SECONDS),
        ]


class Due(BaseModel):
    """When the pending effects of one kind of a record are tried next.

    `attempts` is how often they were tried in vain by a relay, and `problem` the last error.
    """

    model_config = CAMEL_CASE

    bucket: int
    at: datetime
    since: datetime
    attempts: int = 0
    problem: str | None = None


def due_at(key: CartKey, effects: Iterable[AnyEffect], at: datetime) -> dict[EffectKind, Due]:
    """The entries of effects that are first tried at a time."""
    first = Due(bucket=bucket_of(key), at=at, since=at)
    return {EffectKind(effect.kind): first for effect in effects if effect.done_at is None}


class PendingEffects(BaseModel):
    """What a relay needs of a record with pending effects."""

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")
    store_id: str
    user_id: str
    effects: list[AnyEffect] = []
    due: dict[EffectKind, Due] = {}
    at: datetime

    @property
    def key(self) -> CartKey:
        return CartKey(self.store_id, self.user_id)

    def pending_of(self, kind: EffectKind) -> list[AnyEffect]:
        """The effects of a kind that are still to be done, in their order."""
        return [one for one in self.effects if one.kind == kind and one.done_at is None]

    @property
    def pending_events(self) -> list[EventEffect]:
        """The events that are still to be published, in their order."""
        return [one for one in self.pending_of(EffectKind.EVENT) if isinstance(one, EventEffect)]

    @property
    def pending_releases(self) -> list[ReleaseEffect]:
        """The releases that are still to be made, in their order."""
        return [
            one for one in self.pending_of(EffectKind.RELEASE) if isinstance(one, ReleaseEffect)
        ]


def _relay_index(kind: EffectKind, field: str) -> IndexModel:
    """A bucket's records with pending effects of a kind: by the next try, or by their age."""
    return IndexModel(
        [f"due.{kind}.bucket", f"due.{kind}.{field}"],
        name=f"{kind}s_by_{field}",
        partialFilterExpression={f"due.{kind}.bucket": {"$exists": True}},
    )


ENDED_CART = {"state": "committed", "reason": {"$type": "string"}}
"""A filter for the records of operations that deleted a cart."""


class OperationRecord(PendingEffects, Document):
    """The decision on one saga, its answer, and its effects (the outbox).

    The first write of a record decides its saga; a saga has at most one. `committed` records are
    unique by `operation_id`, so that of all the sagas that try one operation at most one commits.
    `reason` is why the saga was aborted (`AbortReason`) or, of a committed clear, why the cart was
    cleared. `pending` is true while an effect has no `done_at`. `lines` are the lines that a
    committed operation has changed. `actor` caused the saga, `intervention` is the operator's
    request that ended it. `short` is how many units of each product an order lacks, `frozen`
    what a checkout has of each. `due`
    has an entry for each kind of effect that is pending.
    """

    model_config = CAMEL_CASE  # type: ignore[misc]

    id: str = Field(alias="_id")  # type: ignore[assignment]  # `SagaRun.record_id`
    state: Literal["committed", "rejected", "aborted"]
    operation: str
    operation_id: str
    run_id: str
    saga_id: str
    fingerprint: str
    actor: Actor
    intervention: Intervention | None = None
    cart_id: str | None = None
    version: int | None = None
    answer: StoredAnswer | None = None
    refusal: Refusal | None = None
    reason: str | None = None
    lines: list[LineChange] = []
    short: dict[str, int] | None = None
    frozen: dict[str, int] | None = None
    pending: bool

    @classmethod
    def of(
        cls,
        saga: SagaRun,
        *,
        outcome: Outcome,
        effects: tuple[AnyEffect, ...] = (),
        grace: timedelta = timedelta(0),
        **more: object,
    ) -> "OperationRecord":
        """The record that decides a saga. The saga has `grace` to do the effects itself."""
        return cls(
            _id=saga.record_id,
            state=outcome.status,
            effects=list(effects),
            pending=bool(effects),
            due=due_at(saga.key, effects, datetime.now(UTC) + grace),
            at=saga.started_at,
            **saga.model_dump(exclude={"record_id", "started_at"}),
            **more,
        )

    def result(self) -> OperationResult:
        """How the record's saga ended."""
        return OperationResult(
            outcome=Outcome(self.state),
            operation=self.operation,
            operation_id=self.operation_id,
            record_id=self.id,
            saga_id=self.saga_id,
            cart_id=self.cart_id,
            version=self.version,
            refusal=self.refusal,
            reason=AbortReason(self.reason) if self.state == "aborted" and self.reason else None,
            pending=tuple(kind for kind in EffectKind if self.pending_of(kind)),
            short=self.short,
        )

    def result_for(self, saga: SagaRun) -> OperationResult:
        """How `saga` ends because of this record: its own, or one that committed its operation.

        A record of another saga answers the operation when it is of the same request.
        """
        if self.id == saga.record_id:
            return self.result()
        return self.repeated(saga.fingerprint)

    def repeated(self, fingerprint: str) -> OperationResult:
        """How a repeat of this committed operation ends; `fingerprint` is the repeat's request."""
        if self.fingerprint != fingerprint:
            refusal = Refusal(code=RefusalCode.IDEMPOTENCY_KEY_REUSED)
            return self.result().model_copy(
                update={"outcome": Outcome.REJECTED, "refusal": refusal, "pending": ()}
            )
        return self.result().model_copy(update={"outcome": Outcome.REPLAYED, "pending": ()})

    class Settings:
        name = "operations"
        indexes = [
            IndexModel(
                ["storeId", "userId", "operationId"],
                unique=True,
                name="one_commit_per_operation",
                partialFilterExpression={"state": "committed"},
            ),
            IndexModel(["storeId", "operationId", "at"], name="by_operation"),
            IndexModel(["cartId", "version"], name="by_cart_version"),
            IndexModel(
                ["storeId", "userId", "at"],
                name="pending_by_cart",
                partialFilterExpression={"pending": True},
            ),
            *(_relay_index(kind, field) for kind in EffectKind for field in ("at", "since")),
            IndexModel(
                ["at"],
                name="done_by_time",
                partialFilterExpression={"pending": False},
                expireAfterSeconds=KEPT_SECONDS,
            ),
            # A user's records in all stores, and what an admin did to others' carts.
            IndexModel(["userId"], name="by_user"),
            IndexModel(
                ["actor.id"],
                name="by_admin",
                partialFilterExpression={"actor.type": ActorType.ADMIN.value},
            ),
            # The carts that ended in an hour, from the index alone.
            IndexModel(
                ["at", "state", "reason"],
                name="ended_carts",
                partialFilterExpression=ENDED_CART,
            ),
        ]
