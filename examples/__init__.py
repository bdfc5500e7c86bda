"""Programs beside the cart service, each in one file."""
