"""TensorBoard: scalars, pictures and the table of hyperparameters, each written in one go."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]: generated
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils.tensorboard.summary import hparams

from runge.configuration import known_settings
from runge.directories import flatten
from runge.metrics import keys


def write_scalars(logger: TensorBoardLogger, figures: Mapping[str, float], step: int) -> None:
    """Add scalars at a step, all in one event: a quarter of the time of one `add_scalar` each."""
    _write(logger, [Summary.Value(tag=tag, simple_value=figure) for tag, figure in figures.items()], step)


def write_pictures(logger: TensorBoardLogger, pictures: Mapping[str, bytes], step: int) -> None:
    """Add PNG images as they are; `add_image` would take pixels and encode them once more."""
    images = {tag: Summary.Image(encoded_image_string=content, colorspace=3) for tag, content in pictures.items()}
    _write(logger, [Summary.Value(tag=tag, image=image) for tag, image in images.items()], step)


def write_hyperparameters(
    logger: TensorBoardLogger,
    name: str,
    configuration: Mapping[str, Any],
    metrics: Mapping[str, float | int | None] | None,
    step: int,
) -> None:
    """Add the run's row of the HPARAMS table.

    Args:
        logger: the run's logger.
        name: what the run is called there; another one for each run.
        configuration: the run's configuration.
        metrics: final figures, of which those on the test set are shown; None: the run did not finish.
        step: the number of steps taken.
    """
    settings = _without_null(flatten(configuration))
    tested = {key: value for key, value in (metrics or {}).items() if key.startswith("test/") and value is not None}
    write_scalars(logger, tested, step)
    _, start, end = hparams(settings, tested)
    # TensorBoard takes the columns from whichever run it meets first: each names them all, also those of other options.
    regions = dict.fromkeys(keys("test", ("left", "middle", "right", "peak")), 0.0)
    columns, *_ = hparams(_without_null(known_settings()) | settings, tested | regions)
    # torch leaves the name empty, for which the table shows the path, and takes every run for finished.
    with _content(start) as content:
        content.session_start_info.group_name = name
    if metrics is None:
        with _content(end) as content:
            content.session_end_info.status = STATUS_FAILURE
    for summary in (start, end) if metrics is None else (columns, start, end):
        logger.experiment._get_file_writer().add_summary(summary)


def _without_null(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: "null" if value is None else value for key, value in settings.items()}


@contextmanager
def _content(summary: Summary) -> Iterator[HParamsPluginData]:
    """What a summary of the HPARAMS plugin says, to be changed."""
    (value,) = summary.value
    content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    yield content
    value.metadata.plugin_data.content = content.SerializeToString()


def _write(logger: TensorBoardLogger, values: list[Summary.Value], step: int) -> None:
    logger.experiment._get_file_writer().add_summary(Summary(value=values), step)
