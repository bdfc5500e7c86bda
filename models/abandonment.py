"""Abandoned carts: carts with items that their users have not changed for some time.

A change by the user sets `CartContent.abandon_at`. When that time has come, a schedule publishes
`cart.abandoned`, once (`AbandonCart`). The user's next change publishes `cart.recovered`.
"""

from dataclasses import replace
from datetime import timedelta

from models.actor import ActorType
from models.cart import CartContent
from models.events import CartRecovered
from models.limits import Policy
from models.operations.base import CartChange, ChangeContext
from models.wire import to_milliseconds

RECOVERED_POSITION = 1_000_000
"""The position of the event among those of its change: behind all others."""


def after_users_change(
    before: CartContent | None, change: CartChange, policy: Policy, context: ChangeContext
) -> CartChange:
    """The change and, if the cart's user has caused it, what it means for abandonment.

    What others do to a cart (an admin, an order, stock news) is no sign of its user.
    """
    cart = change.cart
    is_users = context.saga.actor.type in {ActorType.USER, ActorType.GUEST}
    if cart is None or change.version is None or not is_users:
        return change
    abandon_at = None
    if policy.abandon_seconds and cart.cart_items:
        abandon_at = to_milliseconds(context.now + timedelta(seconds=policy.abandon_seconds))
    abandoned_at = before.abandoned_at if before else None
    after = cart.model_copy(update={"abandon_at": abandon_at, "abandoned_at": None})
    if abandoned_at is None:
        return replace(change, cart=after)
    recovered = context.event(
        CartRecovered,
        after,
        position=RECOVERED_POSITION,
        abandoned_at=abandoned_at,
        total_price=after.total_price,
    )
    return replace(change, cart=after, effects=(*change.effects, *recovered))
