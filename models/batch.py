"""A batch: several changes of one cart at once, and what becomes of each. Pure rules, no storage.

The steps are applied in their order, to the cart as the steps before have left it. Limits hold for
the result of a batch; in `best_effort` for each step, and a step that cannot be done is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from models.cart_facts import CartFacts
from models.cart_line import CartLine, price_change
from models.limits import Policy
from models.message import Message
from models.money import PriceSource, cents
from models.outcomes import Refusal, RefusalCode
from models.products import Product

MAX_STEPS = 100

StepKind = Literal["add", "set", "remove"]
BatchMode = Literal["all_or_nothing", "best_effort"]


class BatchProduct(Message):
    """What an add says about its product."""

    title: str
    images: tuple[str, ...] = ()
    price: Decimal
    price_source: PriceSource = "client"
    description: str | None = None
    seller_id: str | None = None


class BatchStep(Message):
    """One step: add `quantity` units of a product, set its line to `quantity`, or remove it.

    `product` belongs to an add. `current_price` is the product service's price of a line that is
    set; None where it was not looked up.
    """

    op: StepKind
    product_id: str
    quantity: int = 0
    product: BatchProduct | None = None
    current_price: Decimal | None = None

    def priced(self, known: Mapping[str, Product]) -> "BatchStep":
        """An add with the title, images and price of the product service, or a set with its price;
        others as they are."""
        product = known.get(self.product_id)
        if product is None or self.op == "remove":
            return self
        if self.product is None:
            return self.model_copy(update={"current_price": product.price})
        found = {
            "title": product.title,
            "images": product.images,
            "price": product.price,
            "price_source": "product_service",
        }
        return self.model_copy(update={"product": self.product.model_copy(update=found)})

    def line(self, earlier: CartLine | None, quantity: int, held: int, now: datetime) -> CartLine:
        """The line that an add makes, with all its units; `earlier` is the one before."""
        assert self.product is not None  # noqa: S101 (an add has one)
        price = cents(self.product.price)
        looked_up = self.product.price_source == "product_service"
        return CartLine(
            product_id=self.product_id,
            product_title=self.product.title,
            product_image=list(self.product.images),
            product_price=price,
            price_source=self.product.price_source,
            price_changed=price_change(earlier, price) if looked_up else None,
            product_quantity=quantity,
            units_held=held if held < quantity else None,
            product_description=self.product.description,
            seller_id=self.product.seller_id,
            reserved_at=now,
        )


class Shortage(Message):
    """What the inventory has of a product: its line can have `most` units. `accepted` is False
    where the inventory takes no reservation of it."""

    most: int
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """Products with their units and prices: a cart, as far as its limits are concerned."""

    units: dict[str, int]
    prices: dict[str, Decimal]

    @classmethod
    def of(cls, cart: CartFacts) -> "Draft":
        return cls(
            {line.product_id: line.quantity for line in cart.content},
            {line.product_id: line.price for line in cart.content},
        )

    def after(self, step: BatchStep) -> "Draft | None":
        """The draft after a step; None if it has no such line."""
        units, prices = dict(self.units), dict(self.prices)
        product = step.product_id
        if step.product is not None:
            units[product] = units.get(product, 0) + step.quantity
            prices[product] = step.product.price
        elif product not in units:
            return None
        elif step.op == "set":
            units[product] = step.quantity
            if step.current_price is not None:
                prices[product] = step.current_price
        else:
            del units[product], prices[product]
        return Draft(units, prices)

    @property
    def total_units(self) -> int:
        return sum(self.units.values())

    @property
    def total_price(self) -> Decimal:
        return sum((self.prices[one] * units for one, units in self.units.items()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a draft breaks. `product_id` is None where no product alone breaks it."""

    refusal: Refusal
    product_id: str | None = None


def broken_limit(policy: Policy, before: Draft, after: Draft) -> Broken | None:
    """The limit that a change breaks. What is over a limit already may stay or shrink."""
    for product_id, units in after.units.items():
        held = before.units.get(product_id, 0)
        if units > max(policy.max_quantity, held):
            code = RefusalCode.QUANTITY_LIMIT
            return Broken(Refusal(code=code, current=held, limit=policy.max_quantity), product_id)
    lines = len(before.units)
    if len(after.units) > max(policy.max_lines, lines):
        newest = next(reversed(after.units))
        code = RefusalCode.LINE_LIMIT
        return Broken(Refusal(code=code, current=lines, limit=policy.max_lines), newest)
    units = before.total_units
    if policy.max_units and after.total_units > max(policy.max_units, units):
        return Broken(Refusal(code=RefusalCode.UNIT_LIMIT, current=units, limit=policy.max_units))
    if policy.max_value and after.total_price > max(Decimal(policy.max_value), before.total_price):
        return Broken(Refusal(code=RefusalCode.VALUE_LIMIT, limit=policy.max_value))
    return None


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch does to a cart.

    `refusals` has an entry for each step, None for one that is done. `done` are the steps that are
    done, by product, in the order in which the products first occur among them.
    """

    after: Draft
    refusals: tuple[Refusal | None, ...]
    done: Mapping[str, tuple[BatchStep, ...]]

    @property
    def first_refusal(self) -> Refusal | None:
        """The first refusal, which names its step."""
        return next((one for one in self.refusals if one is not None), None)


def plan_of(
    steps: tuple[BatchStep, ...],
    cart: CartFacts,
    policy: Policy,
    *,
    mode: BatchMode,
    shortages: Mapping[str, Shortage],
) -> BatchPlan:
    """What the steps do to a cart; `shortages` of products count in `best_effort` only."""
    best_effort = mode == "best_effort"
    first = draft = Draft.of(cart)
    refusals: list[Refusal | None] = []
    done: dict[str, list[BatchStep]] = {}
    for step in steps:
        found = draft.after(step)
        refusal = None if found else Refusal(code=RefusalCode.ITEM_NOT_FOUND)
        if found is not None and best_effort:
            refusal = _over_stock(step, draft, found, shortages) or _over_limit(
                policy, draft, found
            )
        refusals.append(_numbered(refusal, len(refusals)))
        if found is not None and refusal is None:
            draft = found
            done.setdefault(step.product_id, []).append(step)
    if not best_effort and not any(refusals):
        broken = broken_limit(policy, first, draft)
        if broken is not None:
            _blame(steps, broken, refusals)
    return BatchPlan(draft, tuple(refusals), {one: tuple(some) for one, some in done.items()})


def _over_stock(
    step: BatchStep, before: Draft, after: Draft, shortages: Mapping[str, Shortage]
) -> Refusal | None:
    """Why the step needs more units than there are."""
    shortage = shortages.get(step.product_id)
    if shortage is None or after.units.get(step.product_id, 0) <= shortage.most:
        return None
    if not shortage.accepted:
        return Refusal(code=RefusalCode.PRODUCT_NOT_ACCEPTED)
    units = before.units.get(step.product_id, 0) if step.op == "add" else 0
    return Refusal(code=RefusalCode.INSUFFICIENT_STOCK, available=max(shortage.most - units, 0))


def _over_limit(policy: Policy, before: Draft, after: Draft) -> Refusal | None:
    broken = broken_limit(policy, before, after)
    return broken.refusal if broken else None


def _blame(steps: tuple[BatchStep, ...], broken: Broken, refusals: list[Refusal | None]) -> None:
    """Notes a limit at the last step that adds to what is too much."""
    last = max(
        index
        for index, step in enumerate(steps)
        if broken.product_id in {None, step.product_id} and step.op != "remove"
    )
    refusals[last] = _numbered(broken.refusal, last)


def _numbered(refusal: Refusal | None, index: int) -> Refusal | None:
    return refusal and refusal.model_copy(update={"step": index})


def outcomes(steps: tuple[BatchStep, ...], plan: BatchPlan) -> list[dict[str, Any]]:
    """What became of each step, for the answer: in their order."""
    return [_outcome(step, refusal) for step, refusal in zip(steps, plan.refusals, strict=True)]


def _outcome(step: BatchStep, refusal: Refusal | None) -> dict[str, Any]:
    found: dict[str, Any] = {"op": step.op, "productId": step.product_id}
    if refusal is None:
        return found | {"status": "done"}
    found |= {"status": "refused", "code": refusal.code.value}
    numbers = {
        "available": refusal.available,
        "current": refusal.current,
        "limit": refusal.limit,
    }
    return found | {name: number for name, number in numbers.items() if number is not None}
