"""How far to trust a fit: mathematics on arrays."""
