"""Kafka: publishing, consuming, reading topics, and dead letters."""
