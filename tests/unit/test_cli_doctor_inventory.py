"""`cart doctor --inventory` finds each rule that an inventory breaks, and leaves nothing held."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cli.doctor.inventory import (
    CHECK,
    HEALTH,
    LATE,
    LIST,
    NOTHING_LEFT,
    RELEASE,
    RELEASE_AGAIN,
    REPEAT,
    RESERVE,
    TOO_MANY,
    TRANSFER,
    TRANSFER_AGAIN,
    TRANSFER_BACK,
    TRANSFER_LATE,
    TRANSFER_TOO_MANY,
    UNKNOWN,
)
from models.limits import LEAK_SECONDS
from tests.unit.cli_standin import (
    CommandResult,
    FakeResponse,
    ReceivedRequest,
    clear_environment,
    run,
    standin,
)

RULES = [
    HEALTH,
    CHECK,
    RESERVE,
    REPEAT,
    LIST,
    RELEASE,
    RELEASE_AGAIN,
    UNKNOWN,
    LATE,
    TOO_MANY,
    TRANSFER,
    TRANSFER_AGAIN,
    TRANSFER_TOO_MANY,
    TRANSFER_BACK,
    TRANSFER_LATE,
    NOTHING_LEFT,
]
TRANSFERS = {TRANSFER, TRANSFER_AGAIN, TRANSFER_TOO_MANY, TRANSFER_BACK, TRANSFER_LATE}


@dataclass
class SmallInventory:
    """An inventory of one product that keeps the rules, but those named in `breaks`."""

    breaks: frozenset[str] = frozenset()
    available: int = 3
    offers_transfers: bool = True
    held: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Saga -> the user and the units that it has reserved or moved."""
    came_from: dict[str, str] = field(default_factory=dict)
    """Saga of a transfer -> the one whose units it has moved."""
    released: set[str] = field(default_factory=set)
    token: str = ""
    ttls: set[int | None] = field(default_factory=set)

    def answer(self, request: ReceivedRequest) -> FakeResponse:
        self.token = request.headers.get("Authorization", "")
        match request.path.split("/")[-1]:
            case "health":
                return FakeResponse(500 if HEALTH in self.breaks else 200)
            case "reserve":
                self.ttls.add(request.body.get("ttlSeconds"))
                return self._reserve(request.body)
            case "transfer" if self.offers_transfers:
                self.ttls.add(request.body.get("ttlSeconds"))
                return self._transfer(request.body)
            case "release":
                return self._release(request.body["sagaId"])
            case "reservations":
                return self._reservations()
            case "transfer":
                return FakeResponse(404)
        units = {"available": self.available, "held": sum(n for _, n in self.held.values())}
        return FakeResponse(404 if CHECK in self.breaks else 200, units)

    def _reserve(self, body: dict[str, Any]) -> FakeResponse:
        saga, user, quantity = body["sagaId"], body["userId"], body["quantity"]
        if saga in self.released and LATE not in self.breaks:
            return self._refused()
        if saga in self.held and REPEAT not in self.breaks:
            return FakeResponse(200, {"success": True})
        if quantity > self.available and TOO_MANY not in self.breaks:
            return self._refused()
        self.available -= quantity
        self.held[saga] = (user, self.held.get(saga, (user, 0))[1] + quantity)
        return FakeResponse(201, {"reservationId": saga})

    def _transfer(self, body: dict[str, Any]) -> FakeResponse:
        """Moves all units of one saga of the user."""
        moved, wanted = body["sagaId"], (body["fromUserId"], body["quantity"])
        is_late = moved in self.released and TRANSFER_LATE not in self.breaks
        if TRANSFER in self.breaks or is_late:
            return self._refused()
        if moved in self.held:
            broken = TRANSFER_AGAIN in self.breaks
            return self._refused() if broken else FakeResponse(200, {"success": True})
        source = next((saga for saga, holding in self.held.items() if holding == wanted), None)
        if source is not None:
            del self.held[source]
            self.came_from[moved] = source
        elif TRANSFER_TOO_MANY not in self.breaks:
            return self._refused()
        self.held[moved] = (body["toUserId"], body["quantity"])
        return FakeResponse(200, {"success": True})

    def _refused(self) -> FakeResponse:
        return FakeResponse(409, {"available": self.available})

    def _release(self, saga: str) -> FakeResponse:
        if RELEASE in self.breaks:
            return FakeResponse(500)
        if saga not in self.held and saga in self.released and RELEASE_AGAIN in self.breaks:
            return FakeResponse(409)
        if saga not in self.held and saga not in self.released and UNKNOWN in self.breaks:
            return FakeResponse(400)
        if saga in self.came_from and TRANSFER_BACK not in self.breaks:
            self.held[self.came_from.pop(saga)] = ("cart-doctor-guest", self.held.pop(saga)[1])
        elif NOTHING_LEFT not in self.breaks:
            self.available += self.held.pop(saga, ("", 0))[1]
        self.released.add(saga)
        return FakeResponse(200)

    def _reservations(self) -> FakeResponse:
        if LIST in self.breaks:
            return FakeResponse(404)
        rows = [
            {"userId": user, "productId": "p", "quantity": units}
            for user, units in self.held.values()
        ]
        return FakeResponse(200, {"reservations": rows, "cursor": None})


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., CommandResult]:
    """Runs the command against an inventory."""

    def examined(inventory: SmallInventory, *options: str, **settings: str) -> CommandResult:
        with standin(inventory.answer) as port:
            clear_environment(monkeypatch, INVENTORY_PORT=port, **settings)
            return run(capsys, "doctor", "--inventory", "store", "p", *options)

    return examined


def states(ended: CommandResult) -> dict[str, str]:
    return {check["part"]: check["state"] for check in ended.json["checks"]}


def test_an_inventory_that_keeps_all_rules(doctor: Any) -> None:
    inventory = SmallInventory()
    ended = doctor(inventory, "--json", INVENTORY_TOKEN="a-token")
    assert (ended.code, ended.json["ok"]) == (0, True)
    assert states(ended) == dict.fromkeys(RULES, "ok")
    assert (inventory.available, inventory.held) == (3, {})
    assert inventory.token == "Bearer a-token"
    assert inventory.ttls == {None}


def test_holds_have_a_time_to_live_where_they_do_in_the_service(doctor: Any) -> None:
    inventory = SmallInventory()
    assert doctor(inventory, HOLD_MINUTES="30").code == 0
    assert inventory.ttls == {240 * 60 + 15 * 60 + LEAK_SECONDS}


def test_an_inventory_without_transfers_is_a_warning(doctor: Any) -> None:
    inventory = SmallInventory(offers_transfers=False)
    ended = doctor(inventory, "--json")
    assert ended.code == 0
    found = states(ended)
    assert [rule for rule, state in found.items() if state != "ok"] == [TRANSFER]
    assert found.keys() & TRANSFERS == {TRANSFER}
    assert (inventory.available, inventory.held) == (3, {})


@pytest.mark.parametrize(
    ("breaks", "failed"),
    [
        (HEALTH, {HEALTH}),
        (REPEAT, {REPEAT}),
        (LIST, {LIST, TRANSFER, NOTHING_LEFT}),
        (
            RELEASE,
            {RELEASE, RELEASE_AGAIN, UNKNOWN, LATE, TRANSFER_BACK, TRANSFER_LATE, NOTHING_LEFT},
        ),
        (RELEASE_AGAIN, {RELEASE_AGAIN}),
        (UNKNOWN, {UNKNOWN, LATE}),
        (LATE, {LATE}),
        (TOO_MANY, {TOO_MANY}),
        (TRANSFER, {TRANSFER}),
        (TRANSFER_AGAIN, {TRANSFER_AGAIN}),
        (TRANSFER_TOO_MANY, {TRANSFER_TOO_MANY, TRANSFER_BACK, TRANSFER_LATE}),
        (TRANSFER_BACK, {TRANSFER_BACK, TRANSFER_LATE}),
        (TRANSFER_LATE, {TRANSFER_LATE}),
        (NOTHING_LEFT, {NOTHING_LEFT}),
    ],
)
def test_a_rule_that_is_broken_is_named(doctor: Any, breaks: str, failed: set[str]) -> None:
    inventory = SmallInventory(frozenset({breaks}))
    ended = doctor(inventory, "--json")
    assert ended.code == 1
    assert {rule for rule, state in states(ended).items() if state == "failed"} == failed
    if breaks not in {RELEASE, TRANSFER_TOO_MANY, NOTHING_LEFT}:
        assert (inventory.available, inventory.held) == (3, {})
    for check in ended.json["checks"]:
        assert bool(check["advice"]) == (check["state"] != "ok")


def test_an_inventory_without_a_check_is_a_warning(doctor: Any) -> None:
    ended = doctor(SmallInventory(frozenset({CHECK})), "--json")
    assert ended.code == 0
    assert [rule for rule, state in states(ended).items() if state == "warn"] == [CHECK]


def test_without_stock_it_ends_early_and_says_so(doctor: Any) -> None:
    ended = doctor(SmallInventory(available=0), "--json")
    assert ended.code == 1
    assert states(ended) == {HEALTH: "ok", CHECK: "ok", RESERVE: "failed"}
    what = ended.json["checks"][-1]["what"]
    assert what == "refused as too few, 0 available; the other rules were not tried"
