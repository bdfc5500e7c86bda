"""Benchmarks: what a durable cart operation costs, as ratios to the same work without durability.

`cart bench` measures the ratios, `make profile` where the time goes. `consumers`, `events`,
`observing`, `relays`, `scaling` and `upkeep` are run by hand. Each starts a local stack of its own.
"""
