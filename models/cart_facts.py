"""What a saga knows of a cart to decide on an operation."""

from decimal import Decimal

from models.cart import CartContent, cart_json
from models.cart_line import CartLine
from models.message import Message
from models.orders import Cancellation, Ordered
from models.wire import to_json


class LineFacts(Message):
    """What a saga knows of a line: `unheld` of its units are not held at the inventory."""

    product_id: str
    quantity: int
    unheld: int = 0
    price: Decimal


class GuestFacts(Message):
    """What a merge knows of the guest's cart.

    `line_bytes` are the sizes of its lines' JSON texts, and `into_bytes` that of the cart into
    which it is merged (0: there is none). `checkout_id` is set while the cart is frozen.
    """

    cart_id: str
    version: int
    currency: str
    content: tuple[LineFacts, ...] = ()
    line_bytes: tuple[int, ...] = ()
    into_bytes: int = 0
    checkout_id: str | None = None


class CartFacts(Message):
    """What a saga knows of a cart to decide on an operation; `version` 0 means that none exists.

    `line_quantity`, `line_unheld` and `line_price` are those of the operation's product. Amounts
    are in `currency`, which is None without a cart. `checkout_id` is set while it is frozen.
    `content` are all lines, if the operation decides on all (`CartOperation.needs_lines`).
    `releasing` are the products of which the cart's own operations still have units to release.
    `ordered` is what an order has, if the operation is one whose content is known, `cancellation`
    what is known of an order that is cancelled.
    `guest` is the guest's cart that is merged, if there is one.
    """

    version: int = 0
    cart_id: str | None = None
    lines: int = 0
    units: int = 0
    total_price: Decimal = Decimal(0)
    currency: str | None = None
    checkout_id: str | None = None
    line_quantity: int = 0
    line_unheld: int = 0
    line_price: Decimal = Decimal(0)
    content: tuple[LineFacts, ...] = ()
    releasing: tuple[str, ...] = ()
    ordered: Ordered | None = None
    cancellation: Cancellation | None = None
    guest: GuestFacts | None = None

    @property
    def unheld(self) -> bool:
        """Whether a line that matters has units that are not held."""
        return self.line_unheld > 0 or any(line.unheld for line in self.content)


NO_CART = CartFacts()


def facts_of(
    cart: CartContent | None, cart_id: object, product_id: str | None, *, whole: bool = False
) -> CartFacts:
    """What a saga must know of a cart; `product_id` names the line that matters, if one does, and
    with `whole` all do."""
    if cart is None:
        return NO_CART
    line = cart.line(product_id) if product_id is not None else None
    return CartFacts(
        version=cart.version,
        cart_id=str(cart_id),
        lines=len(cart.cart_items),
        units=cart.quantity,
        total_price=cart.total_price,
        currency=cart.currency,
        checkout_id=cart.checkout.checkout_id if cart.checkout else None,
        line_quantity=line.product_quantity if line else 0,
        line_unheld=line.product_quantity - line.held if line else 0,
        line_price=line.product_price if line else Decimal(0),
        content=tuple(map(_facts_of_line, cart.cart_items)) if whole else (),
    )


def guest_facts(cart_id: object, cart: CartContent, into: CartContent | None) -> GuestFacts:
    """What a merge must know of a guest's cart that is merged into another."""
    return GuestFacts(
        cart_id=str(cart_id),
        version=cart.version,
        currency=cart.currency,
        content=tuple(map(_facts_of_line, cart.cart_items)),
        line_bytes=tuple(len(to_json(line)) for line in cart.cart_items),
        into_bytes=len(cart_json(cart_id, into)) if into else 0,
        checkout_id=cart.checkout.checkout_id if cart.checkout else None,
    )


def _facts_of_line(line: CartLine) -> LineFacts:
    return LineFacts(
        product_id=line.product_id,
        quantity=line.product_quantity,
        unheld=line.product_quantity - line.held,
        price=line.product_price,
    )
