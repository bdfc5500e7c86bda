"""Audit lines of the API: what admins see and change, and who is refused.

They are written at every LOG_LEVEL (`logs.audit`). docs/observability.md lists all events.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import jwt
from starlette.requests import HTTPConnection
from starlette.types import Scope

from adapters.bounded_cache import BoundedCache
from logs import audit
from models.cart import CartKey

WINDOW_SECONDS = 60.0
MOST_LINES = 60
"""Lines about refusals in a window, in all."""
MOST_LINES_OF_ONE = 10
"""The same of one address."""
MOST_ADDRESSES = 1000
MOST_TOKEN_CHARACTERS = 8192


def seen(event: str, message: str, admin_id: str, cart: CartKey, **more: Any) -> None:
    """A line about an admin who sees or changes what is another user's."""
    audit.info(
        event,
        message=message,
        adminId=admin_id,
        storeId=cart.store_id,
        userId=cart.user_id,
        **more,
    )


class Refusals:
    """Lines about requests that are answered with 401 or 403.

    A flood of them writes at most `MOST_LINES` a minute, and `MOST_LINES_OF_ONE` of one address;
    the next line then says how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._lines: BoundedCache[str, int] = BoundedCache(max_size=MOST_ADDRESSES)
        self._all = 0
        self._left_out = 0

    def note(self, scope: Scope, status: int, *, route: str | None, reason: str | None) -> None:
        """Writes the line of a request, if its answer is a refusal."""
        if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return
        address = scope["client"][0] if scope.get("client") else "unknown"
        if not self._may_write(address):
            self._left_out += 1
            return
        about: dict[str, Any] = {"address": address, "method": scope["method"], "route": route}
        if self._left_out:
            about["leftOut"], self._left_out = self._left_out, 0
        if status == HTTPStatus.FORBIDDEN:
            principal = scope.get("cart.principal")
            subject = None if principal is None else principal.user_id
            audit.warning("access_denied", message="Access denied", subject=subject, **about)
        else:
            about |= {"reason": reason, "claimedSubject": _claimed_subject(scope)}
            audit.warning("token_refused", message="Token refused", **about)

    def _may_write(self, address: str) -> bool:
        now = self._clock()
        if now - self._since >= WINDOW_SECONDS:
            self._since, self._all = now, 0
            self._lines.clear()
        of_one = self._lines.get(address, 0)
        if self._all >= MOST_LINES or of_one >= MOST_LINES_OF_ONE:
            return False
        self._all += 1
        self._lines.keep(address, of_one + 1)
        return True


def _claimed_subject(scope: Scope) -> str | None:
    """The subject that a refused token claims; nothing has checked that claim."""
    header = HTTPConnection(scope).headers.get("authorization", "")
    token = header.rpartition(" ")[2]
    if not token or len(token) > MOST_TOKEN_CHARACTERS:
        return None
    try:
        subject = jwt.decode(token, options={"verify_signature": False}).get("sub")
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return subject[:255] if isinstance(subject, str) and subject.isprintable() else None
