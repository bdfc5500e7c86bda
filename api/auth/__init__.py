"""Authentication and roles: bearer tokens (`tokens`) and their claims (`claims`), the issuer's keys
(`jwks`, `download`, `keys`), values of roles (`roles`). Imports nothing, so that the CLI is quick.
"""
