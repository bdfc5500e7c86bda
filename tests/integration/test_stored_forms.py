"""Documents that are written many at once are stored as Beanie stores one."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from beanie import Document, PydanticObjectId
from beanie.odm.utils.dump import get_dict
from bson import decode, encode

from adapters.mongo.client import stored_form
from models.actor import Actor, ActorType, Intervention
from models.cart import CartKey
from models.cart_line import CartLine, LineChange, PriceChange
from models.checkout import CartCheckout
from models.documents import Cart, CartClaim, OperationRecord, due_at
from models.effects import EventEffect, ReleaseEffect
from models.outcomes import StoredAnswer
from models.upkeep.figures import BucketFigures
from tests.support.shop import World

NOW = datetime(2026, 3, 4, 5, 6, 7, 8000, tzinfo=UTC)
KEY = CartKey("store-1", "user-1")
PRICE = Decimal("79.90")


def line(product: str, **more: object) -> CartLine:
    return CartLine(
        product_id=product,
        product_title="Pen",
        product_price=PRICE,
        product_quantity=2,
        reserved_at=NOW,
        **more,
    )


def cart() -> Cart:
    """With and without what a cart and its lines may have."""
    changed = PriceChange.model_validate({"from": Decimal("1.00"), "to": PRICE})
    lapsed = line("ink", units_held=0, lapsed_at=NOW, availability_status="hold_expired")
    return Cart(
        _id=PydanticObjectId(),
        user_id=KEY.user_id,
        store_id=KEY.store_id,
        currency="USD",
        total_price=PRICE * 4,
        quantity=4,
        cart_items=[line("pen", price_changed=changed, product_image=["a", "b"]), lapsed],
        checkout=CartCheckout(checkout_id="c1", expires_at=NOW),
        claim=CartClaim(by="record", until=NOW),
        expire_at=NOW,
        created_at=NOW,
        updated_at=NOW,
        holds_end=NOW,
    )


def record() -> OperationRecord:
    """With effects of both kinds, one of them done."""
    release = ReleaseEffect(id="r", product_id="pen", quantity=2, saga_id="s", reason="removed")
    event = EventEffect(id="e", topic="t", key="k", value="{}", time=NOW, done_at=NOW)
    return OperationRecord(
        _id="record",
        store_id=KEY.store_id,
        user_id=KEY.user_id,
        effects=[release, event],
        due=due_at(KEY, [release, event], NOW),
        at=NOW,
        state="committed",
        operation="RemoveItem",
        operation_id="o",
        run_id="run",
        saga_id="s",
        fingerprint="f",
        actor=Actor(type=ActorType.SCHEDULE, id="holds"),
        intervention=Intervention(by="ann", reason="stuck"),
        answer=StoredAnswer(status=200, body="{}"),
        lines=[LineChange(product_id="pen", before=2, moved=-2, price=PRICE)],
        frozen={"pen": 2},
        pending=True,
    )


def figures() -> BucketFigures:
    """With an amount in a mapping."""
    return BucketFigures(_id=7, at=NOW, carts=1, items=4, value={"USD": PRICE})


@pytest.mark.parametrize("made", [cart, record, figures])
async def test_it_is_stored_as_by_beanie(world: World, made: type[Document]) -> None:
    document = made()
    options = type(document).get_pymongo_collection().codec_options
    assert decode(encode(stored_form(document), codec_options=options)) == decode(
        encode(get_dict(document, to_db=True), codec_options=options)
    )
