"""The folds of a cross-validation as runs of a sweep."""

from omegaconf import DictConfig, OmegaConf

from runge.configuration import build, section
from runge.data import Data, Table, read


def folds(config: DictConfig) -> list[str]:
    """Return the overrides that make a run those of its folds, one each, from its composed configuration.

    There are none if it has no `data.folds`, or says by `data.fold` which fold it leaves out. The rows of a table are
    read, because few rows have fewer folds.

    Raises:
        ConfigurationError: the table cannot be read, or there are too few rows or points.
    """
    data = config.get("data") or {}
    if data.get("folds") is None or data.get("fold") is not None:
        return []
    content = section("data", OmegaConf.to_container(data, resolve=True))
    of_table = "_target_" in content
    number = read(build("data", content, Table)).folds if of_table else build("data", content, Data).parts
    return [f"data.fold={fold}" for fold in range(number)]
