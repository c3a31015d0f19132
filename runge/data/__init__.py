"""The data of a run: the rows of a table, or a function that is sampled. Reading a table needs no torch."""
