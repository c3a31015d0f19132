"""What parts of your own derive from or are made with: `from runge.extend import Target`.

Complete examples are on the page "Add your own parts" of the documentation. Penalties and metrics are plain functions,
and callbacks and loggers are Lightning's.
"""

from runge.balance import Balance as Balance
from runge.balance import Look as Look
from runge.configuration.validation import Count as Count
from runge.configuration.validation import Natural as Natural
from runge.configuration.validation import Positive as Positive
from runge.configuration.validation import checked as checked
from runge.optimizers import Optimizer as Optimizer
from runge.optimizers import Problem as Problem
from runge.resampling import Periodic as Periodic
from runge.sampling import Sampling as Sampling
from runge.schedules import Schedule as Schedule
from runge.sobolev.activations import Activation as Activation
from runge.sobolev.points import Points as Points
from runge.targets import Target as Target

__all__ = ["Activation", "Balance", "Count", "Look", "Natural", "Optimizer", "Periodic", "Points", "Positive"]
__all__ += ["Problem", "Sampling", "Schedule", "Target", "checked"]
