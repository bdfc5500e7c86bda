"""The reference Inventory Service: implements the documented contracts for development.

Those of the inventory and, in the same process, of the product service.

An installation uses its own service and sets `INVENTORY_SERVICE_URL`. `python -m inventory` starts
the reference service.
"""
