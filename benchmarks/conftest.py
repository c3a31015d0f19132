"""Fixtures of the tests beside the benchmarks, which are those of the package's own tests."""

from pathlib import Path

from tests.conftest import _frozen, _kernels, _seeded, fresh_seeds, refusal, shared

__all__ = ["_frozen", "_kernels", "_seeded", "fresh_seeds", "refusal", "shared"]

# Doctests are collected from each module, and a benchmark imports packages that only its own page needs.
collect_ignore = [
    str(path) for path in Path(__file__).parent.rglob("*.py") if not path.name.startswith(("test_", "conftest"))
]
