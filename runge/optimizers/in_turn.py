"""Two optimisation methods, one after the other."""

from runge.optimizers.optimizer import Method, Optimizer, Phase
from runge.validation import Count, checked

__all__ = ["InTurn"]


@checked
class InTurn(Optimizer):
    """A sequence of two methods, such as one that is robust far from a minimum and then one that converges fast.

    Each residual stage starts again with the first method.

    Attributes:
        first: the method of the first steps.
        then: the method of the remaining steps.
        switch_at: the number of steps of the first method, >= 1.

    Example:
        >>> from runge.optimizers import SGD
        >>> fast, slow = (SGD(lr=lr, lr_schedule="constant", clip_norm=None, momentum=0.9) for lr in (0.1, 0.01))
        >>> [(phase.first, phase.steps) for phase in InTurn(first=fast, then=slow, switch_at=100).phases(1000)]
        [(0, 100), (100, 900)]
    """

    first: Method
    then: Method
    switch_at: Count

    def phases(self, steps: int) -> list[Phase]:
        """Return both phases, or only the first if it takes all steps."""
        count = min(self.switch_at, steps)
        then = Phase(count, steps - count, self.then)
        return [Phase(0, count, self.first), *([then] if then.steps else [])]
