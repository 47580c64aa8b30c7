"""Data as samples: tensors in memory or items that load, their batches and splits; tables, images, files and caches.

What must not live here: tasks, losses, or anything that knows a problem by name.
"""

from moframework.data.dataset import (
    NPZ,
    SPLITS,
    Batch,
    Dataset,
    DataSource,
    Split,
    TensorData,
    batches,
    check_fractions,
    check_split,
    gathered,
    loaded_items,
    random_split,
)

__all__ = [
    "NPZ",
    "SPLITS",
    "Batch",
    "DataSource",
    "Dataset",
    "Split",
    "TensorData",
    "batches",
    "check_fractions",
    "check_split",
    "gathered",
    "loaded_items",
    "random_split",
]
