"""Workflows that schedules start, one file each, and the schedules themselves (`schedules`).

`operations` has the operations that expiry and reconciling start on a cart.
"""
