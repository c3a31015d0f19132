"""A file of named columns: its numbers, the roles of its columns, and what is wrong with its labels. No torch."""
