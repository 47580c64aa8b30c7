"""Trained models as files that are used without moframework: plain networks, or networks with λ as an input.

`exporting` does it: `targets` says which form a path asks for, `networks` what is exported, `program`, `onnx_file`,
`tensors` and `adapters` write a form each and read it back, `verifying` compares, `card` and `answering` tell what it
is and how it is used, `staging` puts files in their place. What must not live here: training, data, problems, and how
a run is laid out.
"""

from moframework.export.exporting import Exported, export_model
from moframework.export.facts import Facts

__all__ = ["Exported", "Facts", "export_model"]
