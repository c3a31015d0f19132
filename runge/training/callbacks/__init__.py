"""Callbacks of Lightning that act on the blocks of steps of a fit, and the order in which they do.

A block of `SobolevRegression` calls these methods of the trainer's callbacks that have them, each in the order of the
callbacks:

1. `at_block_start(module, steps)` returns factors, (K, M), each in [0, 1], by which lambda_d is multiplied at these K
   steps, as `DerivativeLoss` does. Without such a callback lambda_d is constant.
2. `after_step()` is called after each step of the optimiser, or after a few that it takes at once. If it returns
   "pause", as `Save` does when it is time, the block is left, and the next `training_step` takes the rest of it. If it
   returns "end", as `TimeLimit` does, the block and the fit end with the present step.
3. `at_block_end(module)` is called after the validation, unless the block was left; `module.figures` then has the
   errors of each member, (M,). `DerivativeLoss` may switch lambda_d on for the next block. `Resample` comes before
   `History`, which records the shares of points that it adds, and before `Balancing`, which looks at the points as they
   are then. `StopEarly` comes after these, because they may give an optimiser that is at rest new work. Those that show
   the training come last, and the one that fills `trainer.callback_metrics` is the last of these.

Lightning's own hook `on_validation_end` follows, in which a user's callbacks act, and then `Save`.
"""
