"""Lightning callbacks, each of which applies a rule that knows nothing of Lightning to the module in training."""
