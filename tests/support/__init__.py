"""Helpers that tests share: a shop on the running stack, faults, events, and waiting."""
