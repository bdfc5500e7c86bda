"""What routes ask for in their signatures.

One dependency for all of a call's circumstances: FastAPI's price is by the dependency.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.auth.tokens import Principal
from api.limits import limit_headers
from api.middleware import Trace, trace_of
from api.schemas import ID_PATTERN
from api.state import ApiState, state_of
from workflows.ids import cart_workflow_id

_SCOPE_KEY = "cart.principal"


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, with what the API works with, and the call's trace."""

    principal: Principal
    state: ApiState
    trace: Trace

    def link_to_saga(self, store_id: str, user_id: str) -> None:
        """Notes the cart's page in the Web UI: in the log, and for admins on the answer."""
        page = self.state.pages.workflow(cart_workflow_id(store_id, user_id))
        self.trace.fields["sagaUrl"] = page
        if self.principal.administers(store_id):
            self.trace.headers.append((b"link", f'<{page}>; rel="monitor"'.encode()))


class BearerCall(SecurityBase):
    """Hands out the call, and tells the OpenAPI document that a token is needed.

    The route has authenticated by then (`api.routing`): before it reads the body.
    """

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="A JWT of the issuer.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Call:
        return Call(request.scope[_SCOPE_KEY], state_of(request), trace_of(request))


async def _state(request: Request) -> ApiState:
    return state_of(request)


async def authenticate(request: Request) -> None:
    """Leaves the principal where `BearerCall` finds it.

    Raises `ApiError` without a valid token, and for who has made too many requests.
    """
    state = state_of(request)
    # The address first: guesses at tokens count too.
    of_address = await state.limits.of_address(request)
    principal = await state.authenticator.principal(request.headers.get("authorization"))
    of_user = await state.limits.of_user(principal.user_id)
    request.scope[_SCOPE_KEY] = principal
    trace_of(request).headers += limit_headers(of_address, of_user)


CallDep = Annotated[Call, Depends(BearerCall())]
StateDep = Annotated[ApiState, Depends(_state)]
StoreId = Annotated[
    str,
    Path(
        alias="storeId",
        pattern=ID_PATTERN,
        description="The store.",
        examples=["507f1f77bcf86cd799439015"],
    ),
]
ProductId = Annotated[
    str,
    Path(
        alias="productId",
        pattern=ID_PATTERN,
        description="The product.",
        examples=["507f1f77bcf86cd799439011"],
    ),
]
