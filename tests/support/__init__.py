"""What tests share: a shop on the running stack, and waiting for a condition."""
