"""Checks of the labels of a table: columns of derivatives, and rows, that contradict the values."""
