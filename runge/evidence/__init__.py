"""Run the experiments behind `docs/evidence.md` again and write the page: `python -m runge.evidence`."""
