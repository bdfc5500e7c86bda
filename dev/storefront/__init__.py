"""The storefront's panel in `cart run`: a look into each saga, and buttons that break things."""
