"""Redo the experiments behind `docs/evidence.md`, and write it. `python -m runge.evidence [--quick] [CLAIM ...]`."""
