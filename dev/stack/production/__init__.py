"""The servers of production without containers: Temporal on PostgreSQL, and Apache Kafka.

Tests and the bench use them in place of the dev server and Tansu. MongoDB and Redis come from the
wheels as in `dev.stack.servers`.
"""

ENVIRONMENT = {"KAFKA_IDEMPOTENCE": "true"}
"""Settings of the service for these servers, in addition to the ports."""
