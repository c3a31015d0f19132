"""From a command line to trained runs: composition, checks, planning, and the processes or jobs that train."""
