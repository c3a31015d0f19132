"""The policy of `search=best`: its candidates, how they are compared, and the answer."""
