"""From what is typed to the settings of runs, and back: what uses Hydra apart from the command and the plugin."""
