"""The few lines, in a model card, by which an export is loaded without moframework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["loading_code"]

_PT2 = """\
import torch

network = torch.export.load({file!r}).module()
outputs = network({inputs})
print({{name: tuple(value.shape) for name, value in outputs.items()}})
"""
_ONNX = """\
import numpy
import onnxruntime

session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
values = session.run(None, {{{inputs}}})
print({{output.name: value.shape for output, value in zip(session.get_outputs(), values)}})
"""
_FIXED = """\
from safetensors.torch import load_model

network = Network()  # your code, of the structure that the key `network` of the card's JSON shows
load_model(network.eval(), {file!r})
"""
_JOINED = """\
from safetensors.torch import load_file

network = Network()  # your code, of the structure that the key `network` of the card's JSON shows under (network)
state = load_file({file!r})
joined = state.pop("joined_preference")  # the preference, which every sample is read with
network.eval().load_state_dict(state)
# Then, for the entry x of the inputs that λ joins; of images, `joined` is enlarged first:
#     joined = torch.nn.functional.interpolate(joined, size=x.shape[-2:])
#     x = torch.cat([x, joined.expand(len(x), *joined.shape[1:])], dim=1)
"""
_SUM = """\
from safetensors.torch import load_file

network = Network()  # your code, of the structure that the key `network` of the card's JSON shows
stored, preference = load_file({file!r}), {preference}
own = {{key.removeprefix({first!r}) for key in stored if key.startswith({first!r})}}
state = {{name: sum(weight * stored[f"{{task}}/{{name}}"] for task, weight in preference.items()) for name in own}}
state |= {{name: value for name, value in stored.items() if not name.startswith({prefixes!r})}}
network.eval().load_state_dict(state{strict})
"""
_PEFT = """\
from peft import PeftModel
from safetensors.torch import load_file

network = Network()  # your code, of the structure that the key `network` of the card's JSON shows
network.load_state_dict(load_file("base.safetensors"){strict})
model = PeftModel.from_pretrained(network.eval(), {first!r}, adapter_name={first!r})
{others}model.base_model.set_adapter({tasks!r}, inference_mode=True)  # all at once
for module in model.modules():
    for task, weight in {preference}.items():
        if hasattr(module, "set_scale"):
            module.set_scale(task, weight)  # λ
"""


def loading_code(card: Mapping[str, Any], what: Any) -> str:
    """The lines, for somebody who is in the folder of the files.

    Args:
        card: its plain data.
        what: the `Description`.
    """
    tasks, m = card["tasks"], len(card["tasks"])
    preference = {task: round(1 / m, 4) for task in tasks}
    strict = ", strict=False" if card.get("tied") else ""
    shared = {"file": card["file"], "preference": preference, "strict": strict}
    if what.form in ("pt2", "onnx"):
        made = _zeros(card, "torch.zeros" if what.form == "pt2" else "numpy.zeros", m)
        if what.form == "pt2":
            return _PT2.format(inputs=", ".join(f"{name}={value}" for name, value in made.items()), **shared)
        return _ONNX.format(inputs=", ".join(f"{name!r}: {value}" for name, value in made.items()), **shared)
    if what.form == "peft":
        others = "".join(f"model.load_adapter({task!r}, adapter_name={task!r})\n" for task in tasks[1:])
        return _PEFT.format(first=tasks[0], others=others, tasks=tasks, **shared)
    if what.preference is None:
        prefixes = tuple(f"{task}/" for task in tasks)
        return _SUM.format(first=prefixes[0], prefixes=prefixes, **shared)
    return (_JOINED if card.get("joined") else _FIXED).format(**shared)


def _zeros(card: Mapping[str, Any], make: str, m: int) -> dict[str, str]:
    """Inputs of two samples, as code."""
    package = make.partition(".")[0]
    found = {}
    for name, one in card["inputs"].items():
        sizes = [2 if size == "batch" else 4 if size is None else size for size in one["shape"]]
        dtype = "bool_" if package == "numpy" and one["dtype"] == "bool" else one["dtype"]
        found[name] = f"{make}({_tuple(sizes)}, dtype={package}.{dtype})"
        if name == "preference":
            row = [round(1 / m, 4)] * m
            values = [row, row] if len(sizes) == 2 else row
            made = "torch.tensor" if package == "torch" else "numpy.array"
            found[name] = f"{made}({values}, dtype={package}.float32)"
    return found


def _tuple(sizes: list[int]) -> str:
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
