"""Operators over HTTP: which stores an admin sees, the audit line, and the answers to errors.

`api.routes.ops_reads` and `ops_signals` have the routes.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from temporalio.service import RPCError

from api.auth.roles import ALL_STORES
from api.dependencies import CallDep
from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, Answer, ApiError, forbidden, problem
from api.routing import ListRoute
from logs import audit
from models.actor import Actor, ActorType
from models.errors import DependencyUnavailable
from models.wire import to_json
from ops.connections import Connections
from ops.errors import NotFoundError, NotStoppedError, OpsError, ServerAwayError, UnusableError
from ops.words import reason

_ANSWERS: dict[type[OpsError], tuple[HTTPStatus, ErrorCode]] = {
    UnusableError: (HTTPStatus.BAD_REQUEST, ErrorCode.BAD_REQUEST),
    NotFoundError: (HTTPStatus.NOT_FOUND, ErrorCode.OPERATION_NOT_FOUND),
    NotStoppedError: (HTTPStatus.CONFLICT, ErrorCode.SAGA_NOT_STOPPED),
}


@dataclass(frozen=True)
class Operator:
    """An admin of some store, with connections that have not been asked yet."""

    admin_id: str
    stores: frozenset[str]
    connections: Connections

    @property
    def name(self) -> str:
        """The operator in whose name signals are sent."""
        return str(Actor(type=ActorType.ADMIN, id=self.admin_id))

    @property
    def has_all_stores(self) -> bool:
        return ALL_STORES in self.stores

    def has(self, store_id: str | None) -> bool:
        """Whether the admin has this store, or (None) all of them."""
        return self.has_all_stores or store_id in self.stores

    def must_have(self, store_id: str | None) -> None:
        """Raises `ApiError` (403) for a store, or for all of them, that the admin does not have."""
        if not self.has(store_id):
            raise forbidden("all stores" if store_id is None else "this store")

    def saw(self, view: str, store_id: str | None, **about: Any) -> None:
        """The audit line of a read."""
        audit.info(
            "ops_viewed",
            message="Admin looked at the operators' page",
            adminId=self.admin_id,
            view=view,
            storeId=store_id,
            **{name: value for name, value in about.items() if value is not None},
        )

    def did(self, action: str, store_id: str | None, why: str, **about: str) -> None:
        """The audit line of a signal."""
        audit.warning(
            "ops_signalled",
            message="Admin sent a signal from the operators' page",
            adminId=self.admin_id,
            action=action,
            storeId=store_id,
            reason=why,
            **about,
        )

    def answer(self, found: dict[str, Any]) -> Response:
        """What was found, when, and which servers could not be asked."""
        known = {
            "at": datetime.now(UTC),
            **found,
            "unasked": self.connections.unasked,
            "incomplete": self.connections.incomplete,
        }
        return Answer(HTTPStatus.OK, to_json(known)).response()


def _operator(call: CallDep) -> Operator:
    principal, connections = call.principal, call.state.ops
    if not (principal.is_admin and principal.store_ids) or connections is None:
        raise forbidden("a store")
    return Operator(principal.user_id, principal.store_ids, connections.afresh())


OperatorDep = Annotated[Operator, Depends(_operator)]


class OpsRoute(ListRoute):
    """A route for operators, which answers the errors of `ops.errors`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handler(request)
            except ServerAwayError as error:
                raise ApiError(_away(error.server, str(error))) from None
            except OpsError as error:
                status, code = _ANSWERS[type(error)]
                raise ApiError(problem(status, str(error), code=code)) from None
            except RPCError as error:
                raise DependencyUnavailable("temporal", reason(error)) from error

        return answering


def _away(server: str, text: str) -> Answer:
    code = ErrorCode(f"{server}_unavailable")
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, text, code=code, headers=RETRY_AFTER)
