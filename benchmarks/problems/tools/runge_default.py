"""runge by default: one run of `data=table`."""

from tools.runge_best import Best


class Default(Best):
    """The run with the default settings, which takes 15 % of the rows for its validation, and here none for a test."""

    def __init__(self, seed: int = 0) -> None:
        self.arguments = "search=null", "data.split.test=0", f"seed={seed}", "trainer.progress_bar=false"
