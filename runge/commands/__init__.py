"""What one types: the command `runge`, and its verbs."""
