"""Data as samples: tensors in memory or items that load, their batches and splits; tables, images, files and caches.

What must not live here: tasks, losses, or anything that knows a problem by name.
"""

from moframework.data.collate import Collate, Collated, collate_of
from moframework.data.dataset import Batch, Dataset, DataSource, Epochs, Origins, TensorData, where
from moframework.data.input_form import input_form
from moframework.data.loader import arranged, batches, gathered, loaded_items
from moframework.data.npz import NPZ
from moframework.data.ordering import epoch_order, epoch_size, sample_rows
from moframework.data.splitting import SPLITS, Split, check_fractions, check_split, random_split

__all__ = [
    "NPZ",
    "SPLITS",
    "Batch",
    "Collate",
    "Collated",
    "DataSource",
    "Dataset",
    "Epochs",
    "Origins",
    "Split",
    "TensorData",
    "arranged",
    "batches",
    "check_fractions",
    "check_split",
    "collate_of",
    "epoch_order",
    "epoch_size",
    "gathered",
    "input_form",
    "loaded_items",
    "random_split",
    "sample_rows",
    "where",
]
