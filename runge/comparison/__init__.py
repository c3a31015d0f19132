"""Compare runs: a table, a self-contained HTML report and a picture."""
