"""The documents about events, made from the models: `python -m dev.event_docs`.

`asyncapi.py` makes docs/asyncapi.json, `page.py` docs/events.md, and `compatibility.py` says what a
new version of the first would break. The examples stand in `catalog.py`.
"""
