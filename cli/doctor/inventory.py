"""`cart doctor --inventory`: plays the inventory's contract, and reports which rules it keeps.

Reserves, moves and releases units of a real product under users of its own, and leaves nothing
behind where the service keeps the rules. docs/inventory.md has the contract.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

from adapters.inventory import InventoryClient, Stock
from cli.doctor.results import CheckReport, CheckResult
from models.effects import ReleaseEffect
from models.errors import CartServiceError
from models.steps import Reservation, ReserveInventory
from ops.words import reason
from settings import Settings
from workflows.requests import policy_of

USER = "cart-doctor"
GUEST = "cart-doctor-guest"
"""From whom units are moved to the user."""
LARGEST_QUANTITY = 1_000_000

HEALTH = "health"
CHECK = "check"
RESERVE = "reserve"
REPEAT = "the same reserve again"
LIST = "list of reservations"
RELEASE = "release"
RELEASE_AGAIN = "the same release again"
UNKNOWN = "release of the unknown"
LATE = "reserve after its release"
TOO_MANY = "reserve of too many"
TRANSFER = "transfer"
TRANSFER_AGAIN = "the same transfer again"
TRANSFER_TOO_MANY = "transfer of too many"
TRANSFER_BACK = "undo of a transfer"
TRANSFER_LATE = "transfer after its undo"
NOTHING_LEFT = "nothing left"

_SEE = "see docs/inventory.md"


def play(settings: Settings, store_id: str, product_id: str) -> list[CheckResult]:
    """Plays the contract against the configured service; the results in the order of the calls."""
    return asyncio.run(_play(settings, store_id, product_id))


async def _play(settings: Settings, store_id: str, product_id: str) -> list[CheckResult]:
    client = InventoryClient.of(settings)
    try:
        ttl_seconds = policy_of(settings).reserved_seconds
        script = _Script(client, store_id, product_id, ttl_seconds)
        await script.run()
    finally:
        await client.close()
    return script.report.results


@dataclass
class _Script:
    """The calls, one after the other, and what they have found."""

    client: InventoryClient
    store_id: str
    product_id: str
    ttl_seconds: int | None
    """As in the calls of the worker."""
    report: CheckReport = field(default_factory=CheckReport)
    _sagas: list[tuple[str, str]] = field(default_factory=list)
    """(saga, user), in the order of the calls."""
    _before: Stock | None = None
    _left: tuple[int, int] = (0, 0)
    """Units of the user and of the guest that earlier rules have left."""

    async def run(self) -> None:
        """Ends early when nothing can be reserved, since the other rules are about that."""
        await self._rule(HEALTH, self._health, "the health check shows the inventory as down")
        await self._rule(CHECK, self._check, "it answers 200 with `available` and `held`")
        saga = self._new_saga()
        try:
            granted = await self._rule(RESERVE, lambda: self._reserve(saga), _SEE)
            if granted:
                await self._rule(REPEAT, lambda: self._repeat(saga), "hold units once for a saga")
                await self._rule(LIST, self._list, "without it leaked units are not found")
                await self._rule(RELEASE, lambda: self._release(RELEASE, saga), _SEE)
                await self._rule(
                    RELEASE_AGAIN, lambda: self._release(RELEASE_AGAIN, saga), "accept a repeat"
                )
                never_reserved = self._new_saga()
                await self._rule(
                    UNKNOWN,
                    lambda: self._release(UNKNOWN, never_reserved),
                    "accept it, without effect",
                )
                await self._rule(
                    LATE,
                    lambda: self._late(never_reserved),
                    "remember the release: the call may have been under way since before it",
                )
                await self._rule(TOO_MANY, self._too_many, "answer 409 with `available`")
                await self._transfers()
        finally:
            await self._clean_up()
        if granted:
            await self._rule(NOTHING_LEFT, self._nothing_left, _SEE)

    async def _rule(self, rule: str, play: Callable[[], Awaitable[bool]], advice: str) -> bool:
        """Plays a rule. A call that fails breaks it."""
        try:
            return await play()
        except CartServiceError as error:
            self.report.failed(rule, reason(error), advice)
            return False

    async def _transfers(self) -> None:
        """The rules of the optional call, about one unit that the guest holds."""
        moved = self._new_saga()
        if await self._rule(TRANSFER, lambda: self._transfer(moved), _SEE):
            await self._rule(TRANSFER_AGAIN, lambda: self._transfer_again(moved), _SEE)
            await self._rule(TRANSFER_TOO_MANY, self._transfer_too_many, _SEE)
            await self._rule(TRANSFER_BACK, lambda: self._transfer_back(moved), _SEE)
            await self._rule(TRANSFER_LATE, lambda: self._transfer_late(moved), _SEE)

    def _new_saga(self, user: str = USER) -> str:
        saga = f"{USER}-{uuid4().hex}"
        self._sagas.append((saga, user))
        return saga

    async def _health(self) -> bool:
        await self.client.ping()
        self.report.ok(HEALTH, "/health answers 2xx")
        return True

    async def _check(self) -> bool:
        self._before = await self.client.check(self.store_id, self.product_id)
        if self._before is None:
            self.report.warn(
                CHECK,
                "does not tell `available` and `held`",
                "optional; without it carts do not show which lines are out of stock",
            )
            return False
        self.report.ok(CHECK, f"{self._before.available} available, {self._before.held} held")
        return True

    async def _reserved(self, saga: str, quantity: int = 1, user: str = USER) -> Reservation:
        return await self.client.reserve(self._request(saga, quantity, user))

    async def _moved(self, saga: str, quantity: int = 1) -> Reservation:
        request = self._request(saga, quantity, USER)
        return await self.client.transfer(request.model_copy(update={"from_user_id": GUEST}))

    def _request(self, saga: str, quantity: int, user: str) -> ReserveInventory:
        return ReserveInventory(
            store_id=self.store_id,
            product_id=self.product_id,
            user_id=user,
            saga_id=saga,
            quantity=quantity,
            ttl_seconds=self.ttl_seconds,
        )

    async def _held(self, user: str = USER) -> int:
        held = await self.client.held_units(self.store_id, user)
        return held.get(self.product_id, 0)

    async def _reserve(self, saga: str) -> bool:
        reservation = await self._reserved(saga)
        if reservation.granted:
            self.report.ok(RESERVE, f"1 unit is reserved{_left(reservation)}")
            return True
        stock = "set stock of a product for this test, and try again with it"
        what = f"refused as {_refused(reservation)}; the other rules were not tried"
        self.report.failed(RESERVE, what, stock)
        return False

    async def _repeat(self, saga: str) -> bool:
        again = await self._reserved(saga)
        if not again.granted:
            what = f"refused as {_refused(again)}"
            self.report.failed(REPEAT, what, "give a repeat the answer of the first call")
            return False
        try:
            held = await self._held()
        except CartServiceError:
            self.report.warn(REPEAT, "granted; how many units are held is not known", _SEE)
            return True
        if held == 1:
            self.report.ok(REPEAT, "granted, and 1 unit is held")
        else:
            what = f"granted, and {held} units are held instead of 1"
            self.report.failed(REPEAT, what, "hold units once for each saga and product")
        return held == 1

    async def _list(self) -> bool:
        held = await self._held()
        if held:
            self.report.ok(LIST, f"shows what is held: {held}")
        else:
            what = "does not show the unit that is held"
            self.report.failed(LIST, what, "without it leaked units are not found")
        return bool(held)

    async def _release(self, rule: str, saga: str) -> bool:
        await self._released(saga)
        self.report.ok(rule, "accepted")
        return True

    async def _transfer(self, saga: str) -> bool:
        self._left = await self._held(), await self._held(GUEST)
        of_guest = self._new_saga(GUEST)
        if not (await self._reserved(of_guest, user=GUEST)).granted:
            self.report.warn(TRANSFER, "not tried: no unit could be reserved for it", _SEE)
            return False
        answer = await self._moved(saga)
        if not answer.supported:
            what = "the service does not have it"
            advice = "optional; without it a merge of carts needs as many free units as it moves"
            self.report.warn(TRANSFER, what, advice)
            return False
        if not answer.granted:
            what = f"refused as {_refused(answer)}, though the units are held"
            self.report.failed(TRANSFER, what, "it needs no free unit")
            return False
        return await self._owned(TRANSFER, by_user=1, by_guest=0)

    async def _transfer_again(self, saga: str) -> bool:
        again = await self._moved(saga)
        if not again.granted:
            what = f"refused as {_refused(again)}"
            self.report.failed(TRANSFER_AGAIN, what, "give a repeat the answer of the first call")
            return False
        return await self._owned(TRANSFER_AGAIN, by_user=1, by_guest=0)

    async def _transfer_too_many(self) -> bool:
        answer = await self._moved(self._new_saga())
        if answer.granted:
            what = "granted, though the other user holds no unit"
            self.report.failed(TRANSFER_TOO_MANY, what, "move only what the user holds")
            return False
        return await self._owned(TRANSFER_TOO_MANY, by_user=1, by_guest=0)

    async def _transfer_back(self, saga: str) -> bool:
        await self._released(saga)
        return await self._owned(TRANSFER_BACK, by_user=0, by_guest=1)

    async def _transfer_late(self, saga: str) -> bool:
        if (await self._moved(saga)).granted:
            what = "granted: a merge that was undone takes the guest's units"
            self.report.failed(TRANSFER_LATE, what, "remember the undo, and refuse the transfer")
            return False
        return await self._owned(TRANSFER_LATE, by_user=0, by_guest=1)

    async def _owned(self, rule: str, *, by_user: int, by_guest: int) -> bool:
        """Whether the users hold so many units each; reports the rule."""
        of_user = await self._held() - self._left[0]
        of_guest = await self._held(GUEST) - self._left[1]
        what = f"{of_user} held by the user, {of_guest} by the guest"
        if (of_user, of_guest) == (by_user, by_guest):
            self.report.ok(rule, what)
            return True
        self.report.failed(rule, f"{what}; must be {by_user} and {by_guest}", _SEE)
        return False

    async def _released(self, saga: str, user: str = USER) -> None:
        release = ReleaseEffect(
            id=saga, product_id=self.product_id, quantity=1, saga_id=saga, reason="saga_aborted"
        )
        await self.client.release(self.store_id, user, release, bypass_breaker=True)

    async def _late(self, saga: str) -> bool:
        reservation = await self._reserved(saga)
        if not reservation.granted:
            self.report.ok(LATE, "refused")
            return True
        self.report.failed(
            LATE,
            "granted: units of an operation that was undone stay held",
            "remember a release, also of the unknown, and refuse its reserve",
        )
        return False

    async def _too_many(self) -> bool:
        available = LARGEST_QUANTITY
        if self._before is not None:
            available = min(self._before.available + 1, available)
        reservation = await self._reserved(self._new_saga(), available)
        if reservation.granted:
            what = f"{available} units were reserved"
            self.report.failed(TOO_MANY, what, "never reserve more than is available")
        elif not reservation.accepted:
            what = "400 or 422: shoppers read that the product cannot be reserved at all"
            self.report.failed(TOO_MANY, what, "answer 409 with `available`")
        elif reservation.available is None:
            what = "refused, without the number of available units"
            self.report.warn(TOO_MANY, what, "tell `available` in the answer, or in a check")
        else:
            self.report.ok(TOO_MANY, f"refused{_left(reservation)}")
            return True
        return False

    async def _clean_up(self) -> None:
        """Releases what may still be held; what was moved goes back first."""
        for saga, user in sorted(self._sagas, key=lambda one: one[1] == GUEST):
            try:
                await self._released(saga, user)
            except CartServiceError:
                continue  # the rules about releases have reported it

    async def _nothing_left(self) -> bool:
        held = await self._held() + await self._held(GUEST)
        if held:
            what = f"{held} units are held by {USER} and {GUEST} after all were released"
            self.report.failed(NOTHING_LEFT, what, "release them by hand")
        else:
            self.report.ok(NOTHING_LEFT, "no unit is held")
        return not held


def _left(reservation: Reservation) -> str:
    return "" if reservation.available is None else f", {reservation.available} available"


def _refused(reservation: Reservation) -> str:
    if not reservation.accepted:
        return "not acceptable"
    return f"too few{_left(reservation)}"
