"""Dependencies for the signatures of routes.

`Call` bundles everything about a call, because FastAPI's overhead grows with each dependency.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.auth.claims import Principal
from api.errors import ApiError, unauthorized
from api.fields import CART_ID_PATTERN, ID_PATTERN
from api.limits import limit_headers
from api.middleware import RequestContext, context_of
from api.state import ApiState, state_of
from workflows.ids import cart_workflow_id

_SCOPE_KEY = "cart.principal"


@dataclass(frozen=True, slots=True)
class Call:
    """The authenticated user, the application's state and the request's context."""

    principal: Principal
    state: ApiState
    context: RequestContext

    def link_to_saga(self, store_id: str, user_id: str) -> None:
        """Adds the cart's page in the Web UI to the log line and, for admins, to the response."""
        page = self.state.pages.workflow(cart_workflow_id(store_id, user_id))
        self.context.fields["sagaUrl"] = page
        if self.principal.administers(store_id):
            self.context.headers.append((b"link", f'<{page}>; rel="monitor"'.encode()))


class BearerCall(SecurityBase):
    """Provides the call, and declares in the OpenAPI document that a token is required.

    The route (`api.routing`) has authenticated the request by then, before it reads the body.
    """

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="A JWT from the configured issuer.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Call:
        return Call(request.scope[_SCOPE_KEY], state_of(request), context_of(request))


async def authenticate(request: Request, *, cost: int) -> None:
    """Authenticates a request and stores its principal for `BearerCall`.

    `cost` is what the request takes of the rate limits.

    Raises `ApiError`: 401 for a missing or invalid token, 429 for too many requests, 503 while
    tokens cannot be checked.
    """
    state = state_of(request)
    # The address first, so that requests with invalid tokens count too.
    of_address = await state.limits.of_address(request, cost)
    try:
        given = request.headers.getlist("authorization")
        if len(set(given)) > 1:  # a gateway may have checked another one
            raise unauthorized("Token is invalid", reason="several Authorization fields")
        principal = await state.authenticator.principal(next(iter(given), None))
    except ApiError as error:
        context_of(request).fields["reason"] = error.reason
        raise
    of_user = await state.limits.of_user(principal.user_id, cost)
    request.scope[_SCOPE_KEY] = principal
    context_of(request).bind(actor=str(principal.actor))
    context_of(request).headers += limit_headers(of_address, of_user)


async def admit_stranger(request: Request) -> None:
    """Counts a request without a token; raises `ApiError` (429) for too many of an address."""
    limits = state_of(request).limits
    of_address = await limits.of_address(request, 1)
    of_guests = await limits.of_new_guest(request)
    context_of(request).headers += limit_headers(of_address, of_guests)


CallDep = Annotated[Call, Depends(BearerCall())]
CartId = Annotated[
    str,
    Path(
        alias="id",
        pattern=CART_ID_PATTERN,
        description="The cart's id.",
        examples=["507f1f77bcf86cd799439013"],
    ),
]
StoreId = Annotated[
    str,
    Path(
        alias="storeId",
        pattern=ID_PATTERN,
        description="The store's id.",
        examples=["507f1f77bcf86cd799439015"],
    ),
]
ProductId = Annotated[
    str,
    Path(
        alias="productId",
        pattern=ID_PATTERN,
        description="The product's id.",
        examples=["507f1f77bcf86cd799439011"],
    ),
]
