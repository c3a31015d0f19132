"""The search of `search=best`: its candidates and trials, the rule that says which are next, and the answer."""
