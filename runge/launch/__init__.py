"""From a command line to trained runs: composing, checking, planning, and processes or jobs that train."""
