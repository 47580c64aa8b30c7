"""What a network reads: one tensor, or a tree of tensors.

`trees` walks them, `form` says what a problem's inputs look like before there are any, `calling` gives them to a
network. What must not live here: data sets, batches, anything that knows where inputs come from.
"""

from moframework.inputs.calling import HowToCall, arguments_of, called, resolved_call
from moframework.inputs.form import Entry, InputForm, Node
from moframework.inputs.trees import Tree, mapped, named_leaves, tensor_leaves

__all__ = [
    "Entry",
    "HowToCall",
    "InputForm",
    "Node",
    "Tree",
    "arguments_of",
    "called",
    "mapped",
    "named_leaves",
    "resolved_call",
    "tensor_leaves",
]
