"""Data of the scheduled workflows (`workflows.upkeep`)."""
