"""The data of a run, for training, validation and test: a function that is sampled, or the rows of a table."""

from runge.data.rows import channel_weights, row_points
from runge.data.sampled import (
    Data,
    Dataset,
    SampleWeight,
    labelled,
    make_dataset,
    sample,
    sample_weights,
    training_points,
)

__all__ = ["Data", "Dataset", "SampleWeight", "channel_weights", "labelled", "make_dataset", "row_points", "sample"]
__all__ += ["sample_weights", "training_points"]
