"""A small transformer for texts of any length."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from moframework.backbones.base import Backbone, Heads, linear_heads
from moframework.config import config, option
from moframework.config.options import OptionError
from moframework.errors import SpecError
from moframework.inputs.form import InputForm

__all__ = ["TextTransformer"]


@config
class TextTransformer(Backbone):
    """Token ids and their mask, through layers of attention, to the mean over tokens and a linear head for each output.

    Reads inputs {"input_ids": (b, n) integers in [0, vocabulary), "attention_mask": (b, n)}, as tokenizers and
    `collate: {name: pad, entries: [input_ids], mask: attention_mask}` make them: n is the longest of each batch, at
    most `length`. What is masked changes nothing. Layers normalize first (Xiong et al., ICML 2020, arXiv 2002.04745).

    Wider and deeper than in the problem `docstrings`::

        problem: {name: docstrings, backbone: {name: text_transformer, vocabulary: 4096, width: 64, depth: 4}}
        solver: palora
    """

    takes_trees = True

    vocabulary: int = option(2048, ge=2, le=10_000_000, help="number of token ids")
    length: int = option(512, ge=1, le=1_000_000, help="tokens of the longest text")
    width: int = option(32, ge=1, le=16_384, help="of the features of a token")
    depth: int = option(2, ge=0, le=200, help="number of layers")
    heads: int = option(4, ge=1, le=256, help="attention heads of a layer; they divide the width")
    dropout: float = option(0.0, ge=0, lt=1, help="share of features that training leaves out")
    checkpoint: bool = option(
        False, help="make the activations of each layer again in the backward pass, rather than keep them"
    )

    def __attrs_post_init__(self) -> None:
        if self.width % self.heads:
            raise OptionError(f"heads must divide the width, but {self.heads} does not divide {self.width}", "heads")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        """The network, freshly initialized."""
        form = InputForm.of(input_shape)
        if set(form.entries) != {"input_ids", "attention_mask"}:
            raise SpecError(
                f"backbone text_transformer reads input_ids and attention_mask, but inputs are {form}; a collate "
                "function may add the mask: collate: {name: pad, entries: [input_ids], mask: attention_mask}"
            )
        return _Transformer(self, linear_heads(self.width, (), outputs))


class _Transformer(nn.Module):
    def __init__(self, options: TextTransformer, heads: Heads) -> None:
        super().__init__()
        self.checkpoint = options.checkpoint
        self.tokens = nn.Embedding(options.vocabulary, options.width)
        self.positions = nn.Embedding(options.length, options.width)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=options.width**-0.5)
        self.dropout = nn.Dropout(options.dropout)
        self.layers = nn.ModuleList(_Layer(options.width, options.heads, options.dropout) for _ in range(options.depth))
        self.norm = nn.LayerNorm(options.width)
        self.heads = heads

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """{key: (b, size)} of token ids and their mask, both (b, n)."""
        mask = attention_mask.to(torch.bool)
        x = self.tokens(input_ids) + self.positions(torch.arange(input_ids.shape[1], device=input_ids.device))
        x = self.dropout(x)
        for layer in self.layers:
            x = checkpoint(layer, x, mask, use_reentrant=False) if self.checkpoint and self.training else layer(x, mask)
        weight = mask.unsqueeze(-1).to(x.dtype)
        # A text without tokens has the features zero, rather than none.
        mean = (self.norm(x) * weight).sum(1) / weight.sum(1).clamp(min=1)
        outputs: dict[str, Tensor] = self.heads(mean)
        return outputs


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.count = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.back = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Features (b, n, width) of tokens; those outside the mask (b, n) are looked at by no token."""
        parts = self.project(self.before_attention(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.count, -1)).transpose(1, 2) for part in parts)
        allowed = mask[:, None, None, :] | ~mask.any(dim=1)[:, None, None, None]  # a row must look somewhere
        seen: Tensor = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        x = x + self.dropout(self.back(seen.transpose(1, 2).flatten(-2)))
        mixed: Tensor = self.narrow(functional.gelu(self.widen(self.before_mixing(x))))
        result: Tensor = x + self.dropout(mixed)
        return result
