"""A trained function, and what may be asked of it: errors, intervals, sensitivity, and where to compute next."""
