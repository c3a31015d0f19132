"""The data of a run: a function sampled for training, validation and test, or the rows of a table."""

from runge.data.sampled import Data, Dataset, SampleWeight, make_dataset, sample, sample_weights, training_points
from runge.data.table import Rows, Split, Table, read

__all__ = ["Data", "Dataset", "Rows", "SampleWeight", "Split", "Table", "make_dataset", "read", "sample"]
__all__ += ["sample_weights", "training_points"]
