"""Authentication and roles: bearer tokens (`tokens`), the issuer's keys (`jwks`), names of roles
(`roles`). Imports nothing, so that the CLI stays quick.
"""
