"""The configuration: the types of keys, the objects made of them, their form in a shell, and errors."""
