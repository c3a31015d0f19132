"""Two optimisers, one after the other."""

from runge.optimizers.optimizer import Method, Optimizer, Phase
from runge.validation import Count, checked


@checked
class InTurn(Optimizer):
    """One method first, and then another: one that goes far, say, and then one that goes deep.

    With residual stages each of them begins anew.

    Attributes:
        first: the method of the first steps.
        then: that of all others.
        switch_at: how many steps the first one takes, >= 1.
    """

    first: Method
    then: Method
    switch_at: Count

    def phases(self, steps: int) -> list[Phase]:
        """Both, or the first alone where there are no more steps."""
        count = min(self.switch_at, steps)
        then = Phase(count, steps - count, self.then)
        return [Phase(0, count, self.first), *([then] if then.steps else [])]
