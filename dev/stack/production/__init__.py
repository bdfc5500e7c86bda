"""Servers as production has them: Temporal on PostgreSQL, and Apache Kafka, without containers.

In place of the wheels' stand-ins (`dev.stack.servers`), for tests and the bench. MongoDB and
Redis are the wheels' here too: those are the real ones.
"""

ENVIRONMENT = {"KAFKA_IDEMPOTENCE": "true"}
"""What the service is told of these servers beside their ports."""
