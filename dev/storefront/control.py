"""The storefront's panel: an HTTP server on a free port of 127.0.0.1, inside `cart run`.

It shows the sagas of a cart, the events on Kafka and the state of the processes, kills and pauses
processes, and plays the order service. Its address has a random part that only the page knows, so
that no other web page can use it.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from dev.stack.process import StackError
from dev.stack.stack import Stack
from dev.storefront.events import PublishedEvents
from dev.storefront.orders import OrderService
from dev.storefront.sagas import CartSagas
from models.cart import CartKey
from ops.connections import open_connections
from settings import LOCALHOST, Settings

PARTS = ("api", "worker", "consumer", "inventory", "temporal", "mongodb", "redis", "kafka")
SLOW_SECONDS, QUICK_SECONDS = 1.5, 0.3

Handler = Callable[[Request], Awaitable[Response]]


class Breaker:
    """Kills, pauses and slows processes of a stack, and undoes it at the end."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.paused: set[str] = set()
        self._slowing: asyncio.Task[None] | None = None

    @property
    def is_slow(self) -> bool:
        """Whether the inventory is being slowed."""
        return self._slowing is not None

    async def kill_worker(self) -> None:
        """SIGKILL; the supervisor starts it again."""
        await self._stack.kill("worker")

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and does not answer."""
        self._stack.pause(name)
        self.paused.add(name)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._stack.resume(name)
        self.paused.discard(name)

    def slow_inventory(self) -> None:
        """Lets it work only now and then."""
        if self._slowing is None:
            self._slowing = asyncio.create_task(self._slow())

    async def quick_inventory(self) -> None:
        """Ends the slowness."""
        task, self._slowing = self._slowing, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _slow(self) -> None:
        try:
            while True:
                with suppress(StackError):
                    self._stack.pause("inventory")
                await asyncio.sleep(SLOW_SECONDS)
                with suppress(StackError):
                    self._stack.resume("inventory")
                await asyncio.sleep(QUICK_SECONDS)
        finally:
            with suppress(StackError):
                self._stack.resume("inventory")

    async def mend(self) -> None:
        """Undoes everything."""
        await self.quick_inventory()
        for name in [*self.paused]:
            with suppress(StackError):
                self.resume(name)

    def parts(self) -> list[dict[str, object]]:
        """The processes, as the page shows them."""
        found: list[dict[str, object]] = []
        for name in PARTS:
            with suppress(StackError):
                process = self._stack.process(name)
                state = "up" if process.ready.is_set() and process.running else "down"
                if name in self.paused:
                    state = "stopped"
                elif name == "inventory" and self.is_slow:
                    state = "slow"
                found.append({"name": name, "state": state, "starts": process.starts})
        return found


def _routes(settings: Settings, breaker: Breaker, carts: CartSagas) -> list[Route]:
    orders, events = OrderService(settings), PublishedEvents(settings)

    async def feed(request: Request) -> Response:
        cart = _cart(request)
        async with asyncio.TaskGroup() as group:
            sagas = group.create_task(carts.of(cart))
            published = group.create_task(events.of(cart))
        return JSONResponse(
            {"parts": breaker.parts(), "sagas": sagas.result(), "events": published.result()}
        )

    async def kill_worker(_: Request) -> Response:
        await breaker.kill_worker()
        return Response(status_code=204)

    async def kafka(request: Request) -> Response:
        (breaker.pause if await _is_on(request) else breaker.resume)("kafka")
        return Response(status_code=204)

    async def inventory(request: Request) -> Response:
        if await _is_on(request):
            breaker.slow_inventory()
        else:
            await breaker.quick_inventory()
        return Response(status_code=204)

    async def pay(request: Request) -> Response:
        body = await request.json()
        await orders.end(
            _cart(request), str(body["checkoutId"]), str(body["cartId"]), paid=bool(body["paid"])
        )
        return Response(status_code=202)

    return [
        Route("/feed", feed),
        Route("/kill-worker", kill_worker, methods=["POST"]),
        Route("/stop-kafka", kafka, methods=["POST"]),
        Route("/slow-inventory", inventory, methods=["POST"]),
        Route("/pay", pay, methods=["POST"]),
    ]


def _cart(request: Request) -> CartKey:
    try:
        return CartKey(request.query_params["store"], request.query_params["user"])
    except KeyError as error:
        raise HTTPException(400, f"{error.args[0]} is required") from None


async def _is_on(request: Request) -> bool:
    return bool((await request.json())["on"])


async def _not_possible(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, status_code=409)


class _Server(uvicorn.Server):
    """Leaves the signals to `cart run`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class StorefrontControl:
    """The server. Its `url` exists before it runs: the API needs it at its own start."""

    def __init__(self) -> None:
        self._socket = socket.create_server((LOCALHOST, 0))
        self._secret = secrets.token_urlsafe(16)
        self.url = f"http://{LOCALHOST}:{self._socket.getsockname()[1]}/{self._secret}"

    @asynccontextmanager
    async def serving(self, stack: Stack) -> AsyncIterator[None]:
        """Serves while the block runs; undoes what was broken at its end."""
        settings = stack.settings
        breaker = Breaker(stack)
        origins = [settings.api_url, settings.api_url.replace(LOCALHOST, "localhost")]
        async with open_connections(settings) as connections:
            app = Starlette(
                routes=[
                    Mount(
                        f"/{self._secret}",
                        routes=_routes(settings, breaker, CartSagas(connections)),
                    )
                ],
                middleware=[
                    Middleware(
                        CORSMiddleware,
                        allow_origins=origins,
                        allow_methods=["GET", "POST"],
                        allow_headers=["content-type"],
                    )
                ],
                exception_handlers={StackError: _not_possible},
            )
            config = uvicorn.Config(app, log_level="critical", lifespan="off")
            server = _Server(config)
            task = asyncio.create_task(server.serve(sockets=[self._socket]))
            try:
                yield
            finally:
                await breaker.mend()
                server.should_exit = server.force_exit = True
                await task
