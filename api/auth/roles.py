"""What a token's claims say about administration; imports nothing, so that the CLI stays quick."""

ADMIN = "admin"  # in the claim `roles`
ALL_STORES = "*"  # in the claim `store_ids`
