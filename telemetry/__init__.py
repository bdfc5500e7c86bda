"""What the service tells of itself to those who operate it.

`metrics` names every metric, and whoever has something to count imports it; `operations` measures
an operation as its caller sees it; `exposition` shows them at `/metrics`. `tracing` makes the spans
of a trace. Nothing is imported here, so that an adapter that counts does not load what only a
process needs.
"""
