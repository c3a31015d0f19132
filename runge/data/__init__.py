"""The data of a run, for training, validation and test: a function that is sampled, or the rows of a table."""

from runge.data.channels import batch_size, channel_weights, relevance, row_points
from runge.data.rows import Rows, Split, read
from runge.data.sampled import Data, Dataset, SampleWeight, labelled, sample, sample_weights, training_points
from runge.tables.table import Table

__all__ = ["Data", "Dataset", "Rows", "SampleWeight", "Split", "Table", "batch_size", "channel_weights", "labelled"]
__all__ += ["read", "relevance", "row_points", "sample", "sample_weights", "training_points"]
