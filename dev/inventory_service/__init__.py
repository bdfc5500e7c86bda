"""The reference Inventory Service: a stand-in that implements the documented inventory contract.

It exists so that the whole system runs and can be tested; an installation replaces it by its own
service and points `INVENTORY_SERVICE_URL` there. `python -m inventory` starts it.
"""
