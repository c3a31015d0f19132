"""What may be configured: the types of keys, the objects made of them, how they are typed, and what is wrong."""
