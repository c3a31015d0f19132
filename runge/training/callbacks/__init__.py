"""Callbacks of Lightning that act on the blocks of steps of a fit.

A block of `SobolevRegression` calls these methods of the trainer's callbacks that have them, each in the order of the
callbacks:

1. `at_block_start(module, steps)` returns factors, (K, M), each in [0, 1], by which lambda_d is multiplied at these K
   steps, as `DerivativeLoss` does. Without such a callback lambda_d is constant.
2. `after_step()` is called after each step of the optimiser, or after a few that it takes at once. If it returns
   "pause", as `Save` does when it is time, the block is left, and the next `training_step` takes the rest of it. If it
   returns "end", as `TimeLimit` does, the block and the fit end with the present step.
3. `at_block_end(module)` is called after the validation, unless the block was left; `module.figures` then has the
   errors of each member, (M,).

Lightning's own hook `on_validation_end` follows, in which a user's callbacks act, and then `Save`. `train` of
`runge.training.train` gives them their order.
"""
