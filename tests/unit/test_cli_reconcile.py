"""`cart reconcile`: what its report says, when it is audited, and its exit codes."""

from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import WorkflowAlreadyStartedError

from cli import reconcile
from models.actor import ActorType
from models.audit import AuditEntry
from models.drift import Drift, DriftKind
from models.errors import DependencyUnavailable
from models.upkeep.reconcile import Finding, ReconcileInput, Report
from tests.fakes.api import RECORD_ID, RUN_ID
from tests.fakes.operators import FakeConnections, opened_as
from tests.unit.cli_standin import CommandResult, clear_environment, run

DRIFT = Drift(kind=DriftKind.ORPHANED_HOLD, product_id="lamp", found=1, detail="1 held, 0 wanted")
STUCK = Drift(kind=DriftKind.STUCK_EFFECT, effect_id="e-1", detail="pending", done="woken")


class FakeGateway:
    """Starts a run that ends as `end` says, and has `findings`."""

    def __init__(self) -> None:
        self.requests: list[ReconcileInput] = []
        self.audited: list[AuditEntry] = []
        self.end: Report | Exception = Report(fix=False, stores=2, carts=40)
        self.refuses: Exception | None = None
        self.drifts: list[Drift] = []

    async def reconcile(self, request: ReconcileInput) -> SimpleNamespace:
        self.requests.append(request)
        if self.refuses is not None:
            raise self.refuses

        async def result() -> Report:
            if isinstance(self.end, Exception):
                raise self.end
            return self.end

        return SimpleNamespace(id="cart/reconcile", first_execution_run_id=RUN_ID, result=result)

    async def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    async def of_run(self, run_id: str) -> list[Finding]:
        assert run_id == RUN_ID
        names = {"store_id": "store-1", "user_id": "ada", "record_id": RECORD_ID}
        return [Finding(drift=drift, **names) for drift in self.drifts]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    clear_environment(monkeypatch)
    gateway = FakeGateway()
    opened_as(monkeypatch, FakeConnections(gateway=gateway))
    monkeypatch.setattr(reconcile, "FindingStore", lambda: gateway)
    return gateway


@pytest.fixture
def cart_reconcile(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> Any:
    assert gateway

    def ran(*words: str) -> CommandResult:
        return run(capsys, "reconcile", *words)

    return ran


def test_carts_without_drift_end_with_0(gateway: FakeGateway, cart_reconcile: Any) -> None:
    ran = cart_reconcile()
    assert ran.code == 0
    assert ran.out.startswith("40 carts of 2 stores compared, 0 looked at again")
    assert "it continues when this command is stopped: http://ui/" in ran.err
    [request] = gateway.requests
    assert (request.store_id, request.fix, request.actor.type) == (
        None,
        False,
        ActorType.OPERATOR,
    )


def test_drift_is_listed_and_ends_with_1(gateway: FakeGateway, cart_reconcile: Any) -> None:
    gateway.end = Report(fix=False, stores=1, carts=9, suspected=2, busy=1, drifts=1, left=1)
    gateway.drifts = [DRIFT]
    ran = cart_reconcile("--store", "store-1", "--limit", "7")
    assert ran.code == 1
    for text in ("orphaned_hold", "lamp", "1 held, 0 wanted", "1 of them busy: 1 drifts"):
        assert text in ran.out
    assert "Nothing was changed: `--fix` repairs it." in ran.out
    assert (gateway.requests[0].store_id, gateway.requests[0].limit) == ("store-1", 7)
    assert gateway.audited == []


def test_a_repair_is_audited_with_what_it_has_repaired(
    gateway: FakeGateway, cart_reconcile: Any
) -> None:
    gateway.end = Report(fix=True, carts=9, drifting=2, drifts=3, left=0)
    gateway.drifts = [STUCK]
    ran = cart_reconcile("--fix", "--by", "grace")
    assert (ran.code, "woken" in ran.out, "Nothing was changed" in ran.out) == (0, True, False)
    [entry] = gateway.audited
    assert (entry.command, entry.operator, entry.count) == ("reconcile_fix", "grace", 3)
    assert entry.what["carts"] == 2


def test_drift_that_could_not_be_repaired_ends_with_1(
    gateway: FakeGateway, cart_reconcile: Any
) -> None:
    gateway.end = Report(fix=True, drifts=3, left=1, capped=True)
    ran = cart_reconcile("--fix")
    assert (ran.code, "Stopped at the limit: there may be more." in ran.out) == (1, True)
    assert gateway.audited[0].count == 2


def test_the_report_as_json_has_the_findings(gateway: FakeGateway, cart_reconcile: Any) -> None:
    gateway.drifts = [DRIFT]
    report = cart_reconcile("--json").json
    assert (report["carts"], report["findings"][0]["drift"]["kind"]) == (40, "orphaned_hold")


@pytest.mark.parametrize(
    ("refuses", "end", "text"),
    [
        (WorkflowAlreadyStartedError("cart/reconcile", "Reconcile"), None, "already running: http"),
        (None, WorkflowFailureError(cause=RuntimeError("lost")), "reconcile failed: lost"),
        (DependencyUnavailable("temporal", "Connection refused"), None, "Temporal does not answer"),
    ],
)
def test_a_run_that_does_not_end_well_says_why(
    refuses: Exception | None,
    end: Exception | None,
    text: str,
    gateway: FakeGateway,
    cart_reconcile: Any,
) -> None:
    gateway.refuses = refuses
    gateway.end = end or gateway.end
    ran = cart_reconcile("--fix")
    assert (ran.code, ran.out) == (1, "")
    assert text in ran.err
    assert gateway.audited == []
