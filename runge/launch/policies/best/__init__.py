"""The race of `search=best`: its candidates, its rounds, and the answer that it leaves."""
