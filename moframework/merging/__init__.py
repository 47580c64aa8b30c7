"""Fronts from checkpoints: networks that were trained on one task each, merged at every preference.

`members` reads and compares them, `heads` finds what belongs to one task alone, `kernels` are the merges' arithmetic,
each merge is a file, and `space` is θ(λ) as a weight space; `start` puts members into a model. What must not live here:
training.
"""

from moframework.merging.base import Merge
from moframework.merging.lines import LiNeS
from moframework.merging.members import Members, MembersPath, read_members
from moframework.merging.space import Merged

__all__ = ["LiNeS", "Members", "MembersPath", "Merge", "Merged", "read_members"]
