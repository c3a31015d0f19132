"""How far to trust a fit and its labels: mathematics on arrays."""
