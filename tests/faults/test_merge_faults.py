"""Merges of a guest's cart with a fault at each moment: one effect, no unit held twice or lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from tests.faults.hold_watch import paused_watch
from tests.faults.known_bugs import KnownBug, buggy_user
from tests.faults.rig import FaultRig
from tests.faults.triggers import CONTINUE, DIE, CallPoint, Instruction, Trigger, error
from tests.support.call_faults import FOR_EVER
from tests.support.shop import Buyer, Shop, world_of
from tests.support.waiting import eventually

SECONDS = 60.0
MOMENTS = (
    CallPoint("load", "after"),
    CallPoint("claim", "before"),
    CallPoint("claim", "after"),
    CallPoint("transfer", "before"),
    CallPoint("transfer", "during"),
    CallPoint("transfer", "after"),
    CallPoint("persist", "before"),
    CallPoint("pivot", "before"),
    CallPoint("transaction", "before"),
    CallPoint("persist", "after"),
    CallPoint("publish", "before"),
)
UNDONE_AT = (
    CallPoint("claim", "after"),
    CallPoint("transfer", "before"),
    CallPoint("transfer", "after"),
    CallPoint("persist", "before"),
    CallPoint("transaction", "before"),
)


@dataclass(frozen=True)
class Meeting:
    """A user with two lamps and a guest with three, in a shop that has no more."""

    rig: FaultRig
    shop: Shop
    buyer: Buyer
    guest: Buyer

    async def merge(self, key: str) -> httpx.Response | None:
        """Sends the request once; None without an answer."""
        try:
            return await self.rig.http.post(
                f"{self.buyer.path}/merge",
                json={"guestToken": self.guest.token},
                headers=self.buyer.headers | {"Idempotency-Key": key},
            )
        except httpx.TransportError:
            return None

    async def merge_until_known(self, key: str) -> None:
        """Repeats the request until it has succeeded."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            answer = await self.merge(key)
            if answer is not None and answer.status_code in {200, 201}:
                return
        raise AssertionError("the merge has not succeeded")

    async def settled(self) -> None:
        """Waits until nothing is pending."""

        async def quiet() -> None:
            assert not any(record.pending for record in await self.shop.records())

        await eventually(quiet, timeout=SECONDS)

    async def merged(self) -> None:
        """The user has all lamps, and the guest's cart has ended once."""
        await self.shop.assert_consistent()
        cart = await self.buyer.cart()
        assert cart is not None
        assert (cart.version, cart.units) == (2, {"lamp": 5})
        assert await self.guest.cart() is None
        assert await self.shop.units("lamp") == (0, 5, 0)
        assert not any(record.pending for record in await self.shop.records())
        events = [one for one in await self.shop.events() if one.topic == "cart.merged"]
        assert len({one.value["eventId"] for one in events}) == 1

    async def apart(self) -> None:
        """Both carts are as before, and their units are held."""
        await self.shop.assert_consistent()
        assert await self.shop.units("lamp") == (0, 5, 0)
        for one, units in ((self.buyer, 2), (self.guest, 3)):
            cart = await one.cart()
            assert cart is not None
            assert (cart.version, cart.units) == (1, {"lamp": units})
        assert not any(record.pending for record in await self.shop.records())

    async def assert_merged(self) -> None:
        await eventually(self.merged, timeout=SECONDS)

    async def assert_apart(self) -> None:
        await eventually(self.apart, timeout=SECONDS)


async def meeting_of(rig: FaultRig, shop: Shop, buyer: Buyer) -> Meeting:
    await shop.stock("lamp", 5)
    found = Meeting(rig, shop, buyer, shop.guest())
    for one, units in ((found.buyer, 2), (found.guest, 3)):
        assert await one.status(await one.add("lamp", units)) == 201
    return found


@pytest.fixture
async def meeting(rig: FaultRig) -> AsyncIterator[Meeting]:
    async with world_of(rig.settings) as world:
        shop = Shop(world)
        yield await meeting_of(rig, shop, shop.buyer())


@asynccontextmanager
async def buggy_meeting(rig: FaultRig, bug: KnownBug) -> AsyncIterator[Meeting]:
    """Inside, merges of the user have a bug, and the watch over holds does not repair its work."""
    async with paused_watch(rig), world_of(rig.settings) as world:
        shop = Shop(world)
        yield await meeting_of(rig, shop, Buyer(shop, buggy_user(bug, uuid4().hex), {}))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
async def test_a_merge_whose_worker_dies_has_one_effect(
    meeting: Meeting, moment: CallPoint
) -> None:
    async def die(_: Trigger) -> Instruction:
        return DIE

    trigger = meeting.rig.triggers.arm(Trigger(meeting.buyer.workflow_id, moment, die))
    await meeting.merge_until_known(uuid4().hex)
    async with asyncio.timeout(SECONDS):  # the event follows the answer
        await trigger.fired.wait()
    await meeting.assert_merged()
    await meeting.rig.stack.wait_ready(trigger.worker)


async def merge_that_is_undone(meeting: Meeting, moment: CallPoint) -> None:
    """A call of the merge fails until its end."""
    system = "inventory" if moment.method == "transfer" else "mongodb"

    async def fail(_: Trigger) -> Instruction:
        return error(system)

    trigger = meeting.rig.triggers.arm(
        Trigger(meeting.buyer.workflow_id, moment, fail, times=FOR_EVER)
    )
    answer = await meeting.merge(uuid4().hex)
    assert trigger.fired.is_set()
    assert answer is not None
    assert await meeting.buyer.status(answer) == 503
    meeting.rig.triggers.disarm(trigger)


@pytest.mark.parametrize("moment", UNDONE_AT, ids=str)
async def test_a_merge_that_is_undone_leaves_both_carts_as_they_are(
    meeting: Meeting, moment: CallPoint
) -> None:
    await merge_that_is_undone(meeting, moment)
    await meeting.assert_apart()
    await meeting.merge_until_known(uuid4().hex)
    await meeting.assert_merged()


async def test_a_build_that_does_not_move_units_back_is_detected(rig: FaultRig) -> None:
    async with buggy_meeting(rig, KnownBug.KEEPS_MOVED) as meeting:
        await merge_that_is_undone(meeting, CallPoint("transaction", "before"))
        await meeting.settled()
        with pytest.raises(AssertionError):
            await meeting.apart()
        assert await meeting.shop.holds() == {(meeting.buyer.user_id, "lamp"): 5}


async def merge_while_others_wait(meeting: Meeting) -> None:
    """Another shopper asks for a lamp as soon as the guest's may be free."""
    other = meeting.shop.buyer()
    asked = False

    async def ask(_: Trigger) -> Instruction:
        nonlocal asked
        if not asked:
            asked = True
            await other.add("lamp")
        return CONTINUE

    for moment in (CallPoint("transfer", "after"), CallPoint("reserve", "before")):
        meeting.rig.triggers.arm(Trigger(meeting.buyer.workflow_id, moment, ask))
    await meeting.merge_until_known(uuid4().hex)
    assert asked


async def test_nobody_gets_units_that_are_moved(meeting: Meeting) -> None:
    await merge_while_others_wait(meeting)
    await meeting.assert_merged()


async def test_a_build_that_frees_units_for_a_moment_is_detected(rig: FaultRig) -> None:
    async with buggy_meeting(rig, KnownBug.FREES_FIRST) as meeting:
        await merge_while_others_wait(meeting)
        await meeting.settled()
        with pytest.raises(AssertionError):
            await meeting.merged()
        cart = await meeting.buyer.cart()
        assert cart is not None
        assert cart.units == {"lamp": 4}


@pytest.mark.parametrize("moment", [CallPoint("transfer", "after"), CallPoint("persist", "before")])
async def test_what_a_terminated_merge_has_moved_is_found(
    meeting: Meeting, moment: CallPoint
) -> None:
    """It has no undo: the watch over holds settles both carts."""

    async def terminate(_: Trigger) -> Instruction:
        handle = meeting.rig.temporal.get_workflow_handle(meeting.buyer.workflow_id)
        await handle.terminate("by a test")
        return error("mongodb")

    trigger = meeting.rig.triggers.arm(Trigger(meeting.buyer.workflow_id, moment, terminate))
    await meeting.merge(uuid4().hex)
    assert trigger.fired.is_set()

    async def found() -> None:
        await meeting.shop.assert_consistent()
        available, held, sold = await meeting.shop.units("lamp")
        assert (available + held, sold) == (5, 0)

    await eventually(found, timeout=180)
