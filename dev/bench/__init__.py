"""The bench: what a durable cart operation costs, as ratios to the same work without its promises.

`cart bench` runs it against a local stack of its own. Nothing of the service imports it.
"""
