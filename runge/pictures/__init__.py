"""The pictures of a run: functions from the content of its files to plain Matplotlib figures."""
