"""The steps of sagas as Temporal activities: one class for each adapter, do and undo side by side.

An activity does one thing, is idempotent by the run, and turns a domain error into a typed
`ApplicationError` (`activities.errors`).
"""
