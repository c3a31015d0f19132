"""The data of a run: a function sampled for training, validation and test."""

from runge.data.sampled import Data, Dataset, SampleWeight, make_dataset, sample, sample_weights, training_points

__all__ = ["Data", "Dataset", "SampleWeight", "make_dataset", "sample", "sample_weights", "training_points"]
