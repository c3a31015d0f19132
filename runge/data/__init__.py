"""The data of a run, for training, validation and test: a function that is sampled, or the rows of a table."""

from runge.data.rows import batch_size, channel_weights, relevance, row_points
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

__all__ = ["Data", "Dataset", "Rows", "SampleWeight", "Split", "Table", "batch_size", "channel_weights", "labelled"]
__all__ += ["make_dataset", "read", "relevance", "row_points", "sample", "sample_weights", "training_points"]
