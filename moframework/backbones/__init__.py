"""Networks: from an input shape and the outputs wanted to an unmodified `nn.Module`.

What lives here: the interface, and one file for each family of networks. What must not: anything about preferences,
low-rank weights, losses or data; a backbone does not know that it will be trained for a Pareto front.
"""

from moframework.backbones.base import Backbone

__all__ = ["Backbone"]
