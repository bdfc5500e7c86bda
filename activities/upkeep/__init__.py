"""Steps of the workflows that schedules start, under the names of `workflows.upkeep`.

`repair` has the steps of one cart's repair (`workflows.repair_cart`).
"""
