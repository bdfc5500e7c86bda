"""Metrics and traces.

`metrics` defines all metrics, `operations` measures operations as their callers see them, and
`exposition` serves `/metrics`. `tracing` creates spans. This module imports nothing, so that an
adapter that counts does not load what only a process needs.
"""
