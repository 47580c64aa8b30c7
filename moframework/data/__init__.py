"""Data as samples: tensors in memory or items that load, their batches and splits; tables, images, files and caches.

What must not live here: tasks, losses, or anything that knows a problem by name.
"""

from moframework.data.dataset import Batch, Dataset, DataSource, TensorData
from moframework.data.loader import arranged, batches, gathered, loaded_items
from moframework.data.npz import NPZ
from moframework.data.splitting import SPLITS, Split, check_fractions, check_split, random_split

__all__ = [
    "NPZ",
    "SPLITS",
    "Batch",
    "DataSource",
    "Dataset",
    "Split",
    "TensorData",
    "arranged",
    "batches",
    "check_fractions",
    "check_split",
    "gathered",
    "loaded_items",
    "random_split",
]
