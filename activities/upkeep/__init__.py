"""Steps of scheduled workflows (`workflows.upkeep`) and of a cart's repair (`repair`)."""
