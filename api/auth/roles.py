"""Values of a token's claims for admins. Imports nothing, so that the CLI starts fast."""

ALL_STORES = "*"  # among the stores of an admin
