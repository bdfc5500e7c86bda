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
    UNKNOWN,
)
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
    NOTHING_LEFT,
]


@dataclass
class SmallInventory:
    """An inventory of one product that keeps the rules, but those named in `breaks`."""

    breaks: frozenset[str] = frozenset()
    available: int = 3
    held: dict[str, int] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    token: str = ""

    def answer(self, request: ReceivedRequest) -> FakeResponse:
        self.token = request.headers.get("Authorization", "")
        match request.path.split("/")[-1]:
            case "health":
                return FakeResponse(500 if HEALTH in self.breaks else 200)
            case "reserve":
                return self._reserve(request.body["sagaId"], request.body["quantity"])
            case "release":
                return self._release(request.body["sagaId"])
            case "reservations":
                return self._reservations()
        units = {"available": self.available, "held": sum(self.held.values())}
        return FakeResponse(404 if CHECK in self.breaks else 200, units)

    def _reserve(self, saga: str, quantity: int) -> FakeResponse:
        if saga in self.released and LATE not in self.breaks:
            return self._refused()
        if saga in self.held and REPEAT not in self.breaks:
            return FakeResponse(200, {"success": True})
        if quantity > self.available and TOO_MANY not in self.breaks:
            return self._refused()
        self.available -= quantity
        self.held[saga] = self.held.get(saga, 0) + quantity
        return FakeResponse(201, {"reservationId": saga})

    def _refused(self) -> FakeResponse:
        return FakeResponse(409, {"available": self.available})

    def _release(self, saga: str) -> FakeResponse:
        if RELEASE in self.breaks:
            return FakeResponse(500)
        if saga not in self.held and saga in self.released and RELEASE_AGAIN in self.breaks:
            return FakeResponse(409)
        if saga not in self.held and saga not in self.released and UNKNOWN in self.breaks:
            return FakeResponse(400)
        if NOTHING_LEFT not in self.breaks:
            self.available += self.held.pop(saga, 0)
        self.released.add(saga)
        return FakeResponse(200)

    def _reservations(self) -> FakeResponse:
        if LIST in self.breaks:
            return FakeResponse(404)
        units = sum(self.held.values())
        rows = [{"userId": "cart-doctor", "productId": "p", "quantity": units}] if units else []
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


@pytest.mark.parametrize(
    ("breaks", "failed"),
    [
        (HEALTH, {HEALTH}),
        (REPEAT, {REPEAT}),
        (LIST, {LIST, NOTHING_LEFT}),
        (RELEASE, {RELEASE, RELEASE_AGAIN, UNKNOWN, LATE, NOTHING_LEFT}),
        (RELEASE_AGAIN, {RELEASE_AGAIN}),
        (UNKNOWN, {UNKNOWN, LATE}),
        (LATE, {LATE}),
        (TOO_MANY, {TOO_MANY}),
        (NOTHING_LEFT, {NOTHING_LEFT}),
    ],
)
def test_a_rule_that_is_broken_is_named(doctor: Any, breaks: str, failed: set[str]) -> None:
    inventory = SmallInventory(frozenset({breaks}))
    ended = doctor(inventory, "--json")
    assert ended.code == 1
    assert {rule for rule, state in states(ended).items() if state == "failed"} == failed
    if breaks not in {RELEASE, NOTHING_LEFT}:
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
