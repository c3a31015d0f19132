"""Compare runs: a table, one HTML file to look around in, and one picture. `python -m runge.compare DIR [DIR ...]`."""
