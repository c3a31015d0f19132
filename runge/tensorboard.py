"""TensorBoard: scalars, pictures and the table of hyperparameters, each written in one go."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]: generated


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
    logger.log_hyperparams(hyperparameters(configuration), tested, step)


def hyperparameters(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | int | str]:
    """A configuration as flat pairs; classes by their name, null left out.

    Example:
        >>> hyperparameters({"seed": 0, "target": {"_target_": "runge.targets.Runge", "domain": [-1.0, 1.0]}})
        {'seed': 0, 'target': 'Runge', 'target.domain': '[-1.0, 1.0]'}
    """
    flat: dict[str, bool | float | int | str] = {}
    for name, value in configuration.items():
        key = f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Mapping):
            flat |= hyperparameters(value, key)
        elif name == "_target_":
            flat[prefix] = str(value).rpartition(".")[2]
        elif value is not None:
            flat[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat


def _write(logger: TensorBoardLogger, values: list[Summary.Value], step: int) -> None:
    logger.experiment._get_file_writer().add_summary(Summary(value=values), step)
