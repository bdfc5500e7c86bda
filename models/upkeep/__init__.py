"""Data of the workflows that schedules start, under the names of `workflows.upkeep`."""
