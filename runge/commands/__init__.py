"""The command `runge` and its verbs."""
