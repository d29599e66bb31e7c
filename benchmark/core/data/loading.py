"""Loading of any dataset: one of the suite by its name, one of the user's own by the path of its file."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.data import named_datasets, user_datasets
from benchmark.core.data.dataset import Dataset
from benchmark.core.data.manifest import DatasetInfo, dataset_info
from benchmark.core.tasks.yaml_file import is_yaml


def load(name: str, verify: bool = True) -> Dataset:
    """Load a dataset.

    Args:
        name: The dataset, or the path of a dataset file.
        verify: Whether to hash all cached bytes; otherwise only presence and size of the files are checked.

    Raises:
        BenchmarkError: If the dataset is unknown, missing or damaged.
    """
    return user_datasets.load(Path(name)) if is_yaml(name) else named_datasets.load(name, verify)


def info_of(name: str) -> DatasetInfo:
    """What a dataset must be, by its name or the path of a dataset file; BenchmarkError if that cannot be said."""
    return user_datasets.info(Path(name)) if is_yaml(name) else dataset_info(name)
