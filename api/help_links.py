"""Links errors to their documentation: `Link: <ERROR_DOCS_URL#CODE>; rel="help"` (RFC 8288); off by
default. Bodies stay as they are.
"""

import json
from collections.abc import Iterator
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_codes import ErrorCode


class HelpLinks:
    """Adds the header to each error whose JSON body has a `code`."""

    def __init__(self, app: ASGIApp, *, page: str) -> None:
        self._app = app
        self._page = page.partition("#")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def send_with_link(message: Message) -> None:
            """Holds the start of an error until its body is known."""
            if message["type"] == "http.response.start":
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    held.append(message)
                    return
            elif held:
                start = held.pop()
                start["headers"] = [*start.get("headers", ()), *self._links(message)]
                await send(start)
            await send(message)

        await self._app(scope, receive, send_with_link)

    def _links(self, message: Message) -> Iterator[tuple[bytes, bytes]]:
        """Errors are sent as a whole: the first part of the body has the code."""
        try:
            code = json.loads(message.get("body", b""))["code"]
        except (ValueError, LookupError, TypeError):
            return
        if code in {*ErrorCode}:
            yield b"link", f'<{self._page}#{code}>; rel="help"'.encode()
