"""Values of a token's claims for admins. Imports nothing, so that the CLI starts fast."""

ADMIN = "admin"  # in the claim `roles`
ALL_STORES = "*"  # in the claim `store_ids`
