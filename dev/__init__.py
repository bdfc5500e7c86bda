"""Development tools: the local stack, benchmarks, the demo, the reference inventory, and generators
of dashboards and documents. The wheel does not include them; nothing in it imports them.
"""
