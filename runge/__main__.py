"""The command `python -m runge VERB`, the same as `runge VERB`."""

from runge.commands.cli import main

if __name__ == "__main__":
    main()
