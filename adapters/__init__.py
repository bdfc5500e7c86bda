"""Clients of external systems. No module here imports Temporal or FastAPI.

MongoDB, Redis and Kafka have a package each, and the Inventory Service has a module. The other
modules are shared by them.
"""

import logs  # noqa: F401 (configures structlog, also in processes that do not log, as the CLI)
