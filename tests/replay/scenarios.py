"""What is recorded: for each history its name, and how to bring it about on a bench."""

from tests.replay import of_adds, of_changes, of_events, of_relays, of_repair, of_schedules
from tests.replay.common import Scenario
from workflows.add_item import AddItemWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow
from workflows.ping import PingWorkflow
from workflows.relay import RelayWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.repair_cart import RepairCartWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.figures import FiguresWorkflow
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.sweep import SweepWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        *of_adds.SCENARIOS,
        *of_changes.SCENARIOS,
        *of_events.SCENARIOS,
        *of_relays.SCENARIOS,
        *of_schedules.SCENARIOS,
        *of_repair.SCENARIOS,
    )
}
WORKFLOWS = {
    "add": AddItemWorkflow,
    "update": UpdateQuantityWorkflow,
    "remove": RemoveItemWorkflow,
    "clear": ClearCartWorkflow,
    "mark": MarkAvailabilityWorkflow,
    "product": MarkProductWorkflow,
    "relay": RelayWorkflow,
    "sweep": SweepWorkflow,
    "expiry": ExpiryWorkflow,
    "figures": FiguresWorkflow,
    "reconcile": ReconcileWorkflow,
    "watch": WatchHoldsWorkflow,
    "ping": PingWorkflow,
    "repair": RepairCartWorkflow,
}
"""What the first word of a history's name says."""
