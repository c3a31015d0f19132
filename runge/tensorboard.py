"""TensorBoard: scalars, pictures and the table of hyperparameters, each written in one go."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]: generated

from runge.directories import flatten


def write_scalars(logger: TensorBoardLogger, figures: Mapping[str, float], step: int) -> None:
    """Add scalars at a step, all in one event: a quarter of the time of one `add_scalar` each."""
    _write(logger, [Summary.Value(tag=tag, simple_value=figure) for tag, figure in figures.items()], step)


def write_pictures(logger: TensorBoardLogger, pictures: Mapping[str, bytes], step: int) -> None:
    """Add PNG images as they are; `add_image` would take pixels and encode them once more."""
    images = {tag: Summary.Image(encoded_image_string=content, colorspace=3) for tag, content in pictures.items()}
    _write(logger, [Summary.Value(tag=tag, image=image) for tag, image in images.items()], step)


def write_hyperparameters(
    logger: TensorBoardLogger, configuration: Mapping[str, Any], metrics: Mapping[str, float | int | None], step: int
) -> None:
    """Add the run's row of the HPARAMS table: its configuration, and its test errors as they are at a step."""
    tested = {key: value for key, value in metrics.items() if key.startswith("test/") and value is not None}
    logger.log_hyperparams(flatten(configuration), tested, step)


def _write(logger: TensorBoardLogger, values: list[Summary.Value], step: int) -> None:
    logger.experiment._get_file_writer().add_summary(Summary(value=values), step)
