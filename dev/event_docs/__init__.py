"""The documents about events, generated from the models: `python -m dev.event_docs`.

`asyncapi.py` generates docs/asyncapi.json, `page.py` docs/events.md. `compatibility.py` finds
breaking changes between two versions of the former. `catalog.py` lists the events with examples.
"""
