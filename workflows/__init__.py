"""Cart workflows, the saga engine that runs them, and the gateway that starts them."""
