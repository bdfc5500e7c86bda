"""The watch over holds: what it reports, when it repairs, and how it continues its passes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.upkeep import watch
from activities.upkeep.watch import MOST_SUSPECTS, RUNNERS, WatchActivities
from models.drift import Drift, DriftKind
from models.runners import Share
from models.saga import SagaRun
from models.upkeep.reconcile import Finding, LookAgain, Position, Suspect
from models.upkeep.watch import HoldWatch, WatchPass
from tests.fakes.api import RECORD_ID, RUN_ID
from tests.support.actors import SHOPPER

AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
ORPHAN_SECONDS = 30
STORE = "store-1"


def orphaned(found: int = 1, **changed: Any) -> Drift:
    values = {"kind": DriftKind.ORPHANED_HOLD, "product_id": "lamp", "detail": "no cart has it"}
    return Drift(found=found, **(values | changed))


def suspect(user: str) -> Suspect:
    return Suspect(store_id=STORE, user_id=user)


def finding(user: str, drift: Drift, seen_at: datetime | None = None) -> Finding:
    return Finding(store_id=STORE, user_id=user, record_id=RECORD_ID, drift=drift, seen_at=seen_at)


def saga_of(user: str) -> SagaRun:
    return SagaRun(
        run_id=RUN_ID,
        record_id=RECORD_ID,
        saga_id="saga",
        started_at=AT,
        operation="AddItem",
        operation_id="0" * 32,
        fingerprint="f",
        store_id=STORE,
        user_id=user,
        actor=SHOPPER,
    )


class Watch:
    """The activity over carts that differ, and what it has stored.

    `differ` are the drifts of users without a lock, `locked` those under it (default: the same).
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state: HoldWatch | None = None
        self.differ: dict[str, Drift] = {}
        self.locked: dict[str, list[Drift] | None] = {}
        self.passing: set[str] = set()  # users whose operation ends during the pause
        self.stopped: list[str] = []  # users of terminated runs
        self.pages = 1  # of each runner
        self.looked_at: list[tuple[str, bool]] = []
        self.looked_back: datetime | None = None
        self.shares: list[Share] = []
        monkeypatch.setattr(watch, "PAUSE_SECONDS", 0)
        # Beanie's documents want a database.
        monkeypatch.setattr(watch, "HoldWatch", self._new_state)
        system = cast(Any, self)
        self.activities = WatchActivities(
            system,
            system,
            system,
            system,
            stopped=self._stopped,
            reserving=self._reserving,
            orphan_seconds=ORPHAN_SECONDS,
        )

    @staticmethod
    def _new_state(*, at: datetime, last: WatchPass) -> HoldWatch:
        state: HoldWatch = HoldWatch.model_construct(None, at=at, last=last)
        return state

    async def _stopped(self, since: datetime) -> list[SagaRun]:
        self.looked_back = since
        return [saga_of(user) for user in self.stopped]

    async def _reserving(self, _: str) -> bool:
        return True

    async def abandon(self, sagas: Sequence[SagaRun]) -> Sequence[SagaRun]:
        return [saga for saga in sagas if saga.user_id != "decided"]

    async def latest(self) -> HoldWatch | None:
        return self.state

    async def keep(self, state: HoldWatch) -> None:
        self.state = state

    async def compare_holds(
        self, share: Share, position: Position | None
    ) -> tuple[int, list[Suspect], Position | None]:
        self.shares.append(share)
        page = int(position.user_id) if position else 0
        suspects = [] if share.runner or page else [suspect(user) for user in self.differ]
        ended = page + 1 == self.pages
        return 10, suspects, None if ended else Position(store_id=STORE, user_id=str(page + 1))

    async def hold_drifts(self, _: str, user: str, *, reserving: bool) -> list[Drift]:
        assert reserving
        return [self.differ[user]] if user in self.differ and user not in self.passing else []

    async def look_at(self, request: LookAgain) -> list[list[Finding] | None]:
        assert (request.reason, str(request.actor)) == ("watch", "repair:watch")
        looks: list[list[Finding] | None] = []
        for one in request.suspects:
            self.looked_at.append((one.user_id, request.fix))
            drifts = self.locked.get(one.user_id, [self.differ[one.user_id]])
            looks.append(
                None if drifts is None else [finding(one.user_id, drift) for drift in drifts]
            )
        return looks

    async def look(self, at: datetime = AT) -> str:
        summary: str = await ActivityEnvironment().run(self.activities.watch, at)
        return summary

    @property
    def drifts(self) -> list[Finding]:
        assert self.state is not None
        return self.state.drifts


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


async def test_carts_that_agree_are_counted_and_the_pass_ends(watching: Watch) -> None:
    summary = await watching.look()
    assert summary == "40 carts compared, all; 0 looked at again, 0 drifts"
    assert watching.state is not None
    assert (watching.state.whole, watching.state.runners) == (WatchPass(began=AT, carts=40), [])
    assert watching.shares == [Share(runner=n, runners=RUNNERS) for n in range(RUNNERS)]


async def test_a_drift_is_reported_with_the_time_at_which_it_was_first_seen(
    watching: Watch,
) -> None:
    watching.differ = {"ada": orphaned()}
    await watching.look()
    later = AT + timedelta(seconds=10)
    await watching.look(later)
    assert watching.drifts == [finding("ada", orphaned(), seen_at=AT)]
    # While it is unchanged and young, its cart is not locked again.
    assert watching.looked_at == [("ada", False)]


async def test_an_operation_that_ends_in_the_pause_is_no_drift(watching: Watch) -> None:
    watching.differ, watching.passing = {"ada": orphaned()}, {"ada"}
    assert "1 looked at again, 0 drifts" in await watching.look()
    assert watching.looked_at == []


async def test_units_without_a_cart_are_released_once_they_are_old_enough(watching: Watch) -> None:
    watching.differ = {"ada": orphaned()}
    await watching.look()
    await watching.look(AT + timedelta(seconds=ORPHAN_SECONDS - 1))
    assert watching.looked_at == [("ada", False)]
    watching.locked = {"ada": [orphaned(done="released")]}
    await watching.look(AT + timedelta(seconds=ORPHAN_SECONDS))
    assert watching.looked_at == [("ada", False), ("ada", True)]
    assert watching.drifts == []


async def test_units_that_are_missing_are_never_repaired(watching: Watch) -> None:
    """The shopper has them in the cart; an operator decides."""
    watching.differ = {"ada": orphaned(kind=DriftKind.MISSING_HOLD)}
    await watching.look()
    await watching.look(AT + timedelta(days=1))
    assert watching.looked_at == [("ada", False)]
    assert [one.seen_at for one in watching.drifts] == [AT]


async def test_a_drift_that_has_changed_is_looked_at_anew(watching: Watch) -> None:
    watching.differ = {"ada": orphaned(1)}
    await watching.look()
    watching.differ = {"ada": orphaned(2)}
    later = AT + timedelta(minutes=5)
    await watching.look(later)
    assert watching.looked_at == [("ada", False), ("ada", False)]
    assert watching.drifts == [finding("ada", orphaned(2), seen_at=later)]


async def test_a_busy_cart_keeps_the_drift_that_is_known_of_it(watching: Watch) -> None:
    watching.differ = {"ada": orphaned(1)}
    await watching.look()
    watching.differ, watching.locked = {"ada": orphaned(2)}, {"ada": None}
    await watching.look(AT + timedelta(seconds=5))
    assert watching.drifts == [finding("ada", orphaned(1), seen_at=AT)]


async def test_a_drift_that_is_gone_is_reported_no_more(watching: Watch) -> None:
    watching.differ = {"ada": orphaned()}
    await watching.look()
    watching.differ = {}
    summary = await watching.look()
    assert "1 looked at again, 0 drifts" in summary
    assert watching.drifts == []


async def test_only_drifts_of_holds_are_watched(watching: Watch) -> None:
    watching.differ = {"ada": orphaned(kind=DriftKind.FURTHER), "bob": orphaned()}
    watching.locked = {"bob": [orphaned(), orphaned(kind=DriftKind.STALE_CACHE)]}
    await watching.look()
    assert [(one.user_id, one.drift.kind) for one in watching.drifts] == [
        ("bob", DriftKind.ORPHANED_HOLD)
    ]


async def test_carts_of_terminated_runs_are_looked_at_whether_a_pass_meets_them_or_not(
    watching: Watch,
) -> None:
    watching.stopped = ["ada", "decided", "ada"]
    watching.differ = {"bob": orphaned()}
    watching.passing = {"bob"}
    assert "2 looked at again" in await watching.look()
    assert watching.looked_back == AT - watch.STOPPED_LOOKBACK


async def test_more_suspects_than_a_look_can_check_are_said_to_be_left(watching: Watch) -> None:
    watching.differ = {f"user-{number:03}": orphaned() for number in range(MOST_SUSPECTS + 1)}
    await watching.look()
    assert watching.state is not None
    assert (watching.state.more, len(watching.drifts)) == (True, MOST_SUSPECTS)


async def test_a_long_pass_goes_on_in_the_next_look(
    watching: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)
    watching.pages = 2
    assert await watching.look() == "40 carts compared, so far; 0 looked at again, 0 drifts"
    assert watching.state is not None
    assert (watching.state.whole, watching.state.position) == (
        None,
        Position(store_id=STORE, user_id="1"),
    )
    later = AT + timedelta(seconds=5)
    assert "80 carts compared, all" in await watching.look(later)
    assert watching.state.whole == WatchPass(began=AT, carts=80)
    assert "40 carts compared, so far" in await watching.look(later)
    assert watching.state.whole == WatchPass(began=AT, carts=80)
