"""Levenberg-Marquardt: the method, its linear systems, what it eliminates, and subsets of the points."""
