"""The policies of a sweep: which runs come next."""
