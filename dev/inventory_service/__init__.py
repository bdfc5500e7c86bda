"""The reference Inventory Service: implements the documented inventory contract for development.

An installation uses its own service and sets `INVENTORY_SERVICE_URL`. `python -m inventory` starts
the reference service.
"""
