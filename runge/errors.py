"""The errors whose message is all that a user needs."""


class ConfigurationError(ValueError):
    """A mistake in the configuration; the message names the key, the value and what is allowed."""


class RunError(RuntimeError):
    """A run that ended without a result; the message says why, and what to do."""
