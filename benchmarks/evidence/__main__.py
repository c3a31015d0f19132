"""Run the command of this folder."""

import sys
from pathlib import Path

from command import main

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # of `pages`
    main()
