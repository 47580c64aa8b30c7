"""Several processes that train one run: how they talk, and how they share out batches, preferences and parameters."""
