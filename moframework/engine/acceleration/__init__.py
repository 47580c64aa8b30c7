"""Accelerations: each a plug that can be taken out. What must not live here: anything that changes a result."""
