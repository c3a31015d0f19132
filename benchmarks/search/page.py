"""Write `docs/explanation/search.md` from the recordings.

python benchmarks/search/page.py [--recordings FOLDER] [--docs FOLDER]
"""

import argparse
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
from curves import GATHERED, Recording, read
from pages import DOCS, render, write_pages
from replay import CORES, LEAST_ERROR, LIMITS, Task, table_of, tasks_of
from rules import RULES
from suite import CHECK

TEMPLATE = Path(__file__).with_name("page.md.jinja")
RULE = "estimated"
"""The name of the rule that the search has, whose documentation is on the page."""


def page(recordings: Sequence[Recording]) -> str:
    """Return the page."""
    tasks, some = tasks_of(recordings), [one for one in recordings if not one.failure]
    sides: dict[bool, list[Task]] = {side: [x for x in tasks if (x.table in CHECK) is side] for side in (False, True)}
    shares = sorted({one.share for one in some}, reverse=True)
    seeds = len({one.seed for one in some})
    return render(
        TEMPLATE,
        rule=inspect.getdoc(RULES[RULE]),
        recordings=recordings,
        failures=len(recordings) - len(some),
        candidates=len({one.candidate for one in recordings}),
        tables=len({one.table for one in recordings}),
        shares=listed("all" if share == 1 else f"1/{round(1 / share)}" for share in shares),
        seeds=f"{seeds} seed{'s' * (seeds > 1)}",
        seconds=f"{max(one.limit for one in recordings):g}",
        inputs=between(one.inputs for one in some),
        outputs=between(one.outputs for one in some),
        rows=between(one.rows for one in some if one.share == 1),
        choose=len({task.table for task in sides[False]}),
        check=len({task.table for task in sides[True]}),
        least=f"{LEAST_ERROR:g}",
        head=["rule", *(f"{limit:g} s" for limit in LIMITS)],
        chosen=table_of(sides[False], LIMITS),
        checked=table_of(sides[True], LIMITS),
        cores=CORES,
        processor=recordings[0].processor,
    )


def listed(words: Iterable[str]) -> str:
    """Return words as a list in a sentence."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def between(numbers: Iterable[int]) -> str:
    """Return the smallest and the largest number."""
    ordered = sorted(numbers)
    return f"{ordered[0]} to {ordered[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=GATHERED, help="a file or a folder of recordings")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder below which the page is written")
    options = parser.parse_args()
    write_pages({"explanation/search.md": page(list(read(options.recordings)))}, options.docs)


if __name__ == "__main__":
    main()
