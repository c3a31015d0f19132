"""The search of `search=best`: its candidates and trials, the rule that picks the next trials, and the answer."""
