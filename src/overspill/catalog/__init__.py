"""What the world outside offers: dated, sourced rows of providers, models and prices, and a typed loader for them."""
