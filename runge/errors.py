"""The errors whose message is all that a user needs."""


class ConfigurationError(ValueError):
    """A mistake in the configuration; the message names the key, the value and what is allowed."""


class RunError(RuntimeError):
    """A run that ended without a result; the message says why, and what to do."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory left, of the machine or of its GPU."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "alloc" in str(error).lower())


def describe(error: BaseException) -> str:
    """What there is to say of an error in the table of runs."""
    if isinstance(error, ConfigurationError | RunError):
        return str(error)
    if is_out_of_memory(error):
        return "there was no memory left"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
