"""The steps of workflows as Temporal activities. A class groups the activities on one system.

An activity does one thing and is idempotent by the saga. It raises domain errors as typed
`ApplicationError`s (`activities.errors`).
"""
