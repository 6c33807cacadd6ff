"""Reading of training data: files, their forms, their splits, and what is wrong with them."""

from core.datasets.dataset import (
    DataFile,
    Dataset,
    open_dataset,
    read_checked,
    read_numbered,
    read_samples,
)
from core.datasets.forms import SampleForm
from core.datasets.sample import Message, Role, Sample
from core.datasets.validate import DataReport, validate

__all__ = [
    "DataFile",
    "DataReport",
    "Dataset",
    "Message",
    "Role",
    "Sample",
    "SampleForm",
    "open_dataset",
    "read_checked",
    "read_numbered",
    "read_samples",
    "validate",
]
