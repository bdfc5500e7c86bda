"""Kafka: publishing (`publisher`), consuming (`consumer`), reading of topics, and dead letters."""
