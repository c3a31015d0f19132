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
from runge.data.splitting import Split
from runge.data.table import Rows, Table, read

__all__ = ["Data", "Dataset", "Rows", "SampleWeight", "Split", "Table", "channel_weights", "labelled", "make_dataset"]
__all__ += ["read", "row_points", "sample", "sample_weights", "training_points"]
