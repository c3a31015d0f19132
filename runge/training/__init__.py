"""Train a stack of members with Lightning, and write what each of them leaves."""
