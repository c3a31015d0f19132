"""A callback that switches on lambda_d, the weight of the derivatives' error, during the training."""

import logging
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.records.metrics import SWITCHED_ON_STEP, key
from runge.schedules import NEVER, Plateau, Schedule, TwoStage, factors, members_by_schedule, observe

log = logging.getLogger(__name__)


class DerivativeLoss(pl.Callback):
    """A callback that trains with MSE_f alone at first, and switches on lambda_d at a step or when MSE_f is flat.

    Before each block it returns the factor of lambda_d at each of its steps. After each validation it looks at
    MSE_f. It works in any Trainer with a `SobolevRegression`; in `python train.py`, `schedule=` selects its rule. In a
    configuration of your own that makes callbacks by Hydra's `instantiate`, it is

    .. code-block:: yaml

        callbacks:
          - _target_: runge.schedules.derivative_loss.DerivativeLoss
            schedule:
              _target_: runge.schedules.TwoStage
              patience: 3
              latest_step: 2000

    The step of the switch is in the log and, as `switched_on_step`, in the Trainer's loggers; of a stack of several
    networks, once lambda_d is on for all of them, the median. `module.switched_on` has that of each.

    Args:
        schedule: the rule, or one per member; None: `TwoStage`, after a quarter of the steps at the latest.
    """

    def __init__(self, schedule: Schedule | Sequence[Schedule] | None = None) -> None:
        self.schedule, self._state = schedule, dict[str, Any]()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget the fit before this one; a checkpoint is loaded after this."""
        self._state = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin at step 0, or continue from the state of the checkpoint."""
        schedule = self.schedule or TwoStage(latest_step=round(0.25 * pl_module.max_steps))
        schedules = [schedule] * len(pl_module.lambda_d) if isinstance(schedule, Schedule) else list(schedule)
        self._members = members_by_schedule(schedules)
        switched_on = torch.tensor([schedule.first_switch() for schedule in schedules])
        start = {"switched_on": switched_on, "plateau": torch.stack(Plateau.start(len(schedules)), dim=1)}
        self._state = {name: state.to(pl_module.device) for name, state in (start | self._state).items()}

    def at_block_start(self, module: Any, steps: Tensor) -> Tensor:
        """Return the factors of lambda_d, (K, M), at the steps of this block, or of the rest of it, (K,)."""
        self._first = int(steps[0])
        return factors(self._members, steps, self._state["switched_on"])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Report the switch, if these steps are the first ones with lambda_d for all members."""
        switched_on = pl_module.switched_on[pl_module.lambda_d > 0]
        if not (len(switched_on) and self._first <= (last := int(switched_on.max())) < NEVER):
            return
        if last and len(pl_module.lambda_d) == 1:  # each member of a stack has its own step, and perhaps its own log
            log.info("lambda_d on from step %d", last)
        for logger in trainer.loggers:
            logger.log_metrics({SWITCHED_ON_STEP: float(switched_on.median())}, step=last)

    def at_block_end(self, module: Any) -> None:
        """Switch lambda_d on after this step for members whose validation MSE_f has stopped improving."""
        plateau, switched_on = Plateau(*self._state["plateau"].unbind(1)), self._state["switched_on"]
        mse_f = module.figures[key("val", "mse_f")]
        plateau, switched_on = observe(self._members, plateau, switched_on, mse_f, int(module.step))
        self._state = {"switched_on": switched_on, "plateau": torch.stack(plateau, dim=1)}

    def state_dict(self) -> dict[str, Any]:
        """Return the step of each member's switch, (M,), and the state of its MSE_f, (M, 3)."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self._state = {name: state.clone() for name, state in state_dict.items()}
