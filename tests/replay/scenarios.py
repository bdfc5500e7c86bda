"""All scenarios by name; a scenario's function name is the name of its history."""

from tests.replay import (
    add_scenarios,
    batch_scenarios,
    change_scenarios,
    checkout_scenarios,
    event_scenarios,
    hold_scenarios,
    merge_scenarios,
    operator_scenarios,
    relay_scenarios,
    repair_scenarios,
    schedule_scenarios,
)
from tests.replay.common import Scenario
from workflows.add_item import AddItemWorkflow
from workflows.apply_batch import ApplyBatchWorkflow
from workflows.apply_order import ApplyOrderWorkflow
from workflows.audit import AuditWorkflow
from workflows.cancel_checkout import CancelCheckoutWorkflow
from workflows.cancel_order import CancelOrderWorkflow
from workflows.checkout import CheckoutWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.extend_holds import ExtendHoldsWorkflow
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow
from workflows.merge_cart import MergeCartWorkflow
from workflows.ping import PingWorkflow
from workflows.privacy import ErasePersonalDataWorkflow
from workflows.relay import RelayWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.repair_cart import RepairCartWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow
from workflows.upkeep.abandonment import AbandonmentWorkflow
from workflows.upkeep.checkouts import EndCheckoutsWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.figures import FiguresWorkflow
from workflows.upkeep.holds import EndHoldsWorkflow
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.sweep import SweepWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        *add_scenarios.SCENARIOS,
        *batch_scenarios.SCENARIOS,
        *change_scenarios.SCENARIOS,
        *checkout_scenarios.SCENARIOS,
        *event_scenarios.SCENARIOS,
        *merge_scenarios.SCENARIOS,
        *hold_scenarios.SCENARIOS,
        *relay_scenarios.SCENARIOS,
        *schedule_scenarios.SCENARIOS,
        *repair_scenarios.SCENARIOS,
        *operator_scenarios.SCENARIOS,
    )
}
WORKFLOWS = {
    "add": AddItemWorkflow,
    "update": UpdateQuantityWorkflow,
    "remove": RemoveItemWorkflow,
    "clear": ClearCartWorkflow,
    "batch": ApplyBatchWorkflow,
    "merge": MergeCartWorkflow,
    "extend": ExtendHoldsWorkflow,
    "checkout": CheckoutWorkflow,
    "thaw": CancelCheckoutWorkflow,
    "cancellation": CancelOrderWorkflow,
    "order": ApplyOrderWorkflow,
    "mark": MarkAvailabilityWorkflow,
    "product": MarkProductWorkflow,
    "relay": RelayWorkflow,
    "sweep": SweepWorkflow,
    "expiry": ExpiryWorkflow,
    "abandonment": AbandonmentWorkflow,
    "holds": EndHoldsWorkflow,
    "checkouts": EndCheckoutsWorkflow,
    "figures": FiguresWorkflow,
    "reconcile": ReconcileWorkflow,
    "watch": WatchHoldsWorkflow,
    "ping": PingWorkflow,
    "repair": RepairCartWorkflow,
    "erase": ErasePersonalDataWorkflow,
    "audit": AuditWorkflow,
}
"""The first word of a history's name -> its workflow."""
