"""Run the command of this folder."""

from command import main

if __name__ == "__main__":
    main()
