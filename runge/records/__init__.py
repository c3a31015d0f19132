"""The files of a run: their names, how they are written and how they are read back."""
