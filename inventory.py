"""`python -m inventory`: runs the reference inventory, `dev.inventory_service`."""

from dev.inventory_service.__main__ import main

if __name__ == "__main__":
    main()
