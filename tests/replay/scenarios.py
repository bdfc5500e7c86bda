"""What is recorded: for each history its name, and how to bring it about on a bench."""

from tests.replay import of_adds, of_changes, of_relays
from tests.replay.common import Scenario
from workflows.add_item import AddItemWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.relay import RelayWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.schedules import SweepWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow

SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (*of_adds.SCENARIOS, *of_changes.SCENARIOS, *of_relays.SCENARIOS)
}
WORKFLOWS = {
    "add": AddItemWorkflow,
    "update": UpdateQuantityWorkflow,
    "remove": RemoveItemWorkflow,
    "clear": ClearCartWorkflow,
    "relay": RelayWorkflow,
    "sweep": SweepWorkflow,
}
"""What the first word of a history's name says."""
