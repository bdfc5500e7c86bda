"""One package or module for each external system; none knows Temporal or FastAPI."""
