"""A Transformer encoder of the kind of BERT, whose weights are pretrained, with a linear head on the mean of its outputs.

The layers are those of J. Devlin et al. 2019, "BERT", arXiv 1810.04805; the mean of the tokens, scaled to unit length, is the
text's embedding, as in N. Reimers and I. Gurevych 2019, "Sentence-BERT", arXiv 1908.10084.

Legend: B batch, L tokens, D width, N heads, A width of a head, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError

BERT_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "gather": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm2": "output.LayerNorm",
}
"""The names of a block's layers in transformers' BertModel."""
MASKED_SCORE = -1e4
"""Added to the attention score of padding; it still fits into half precision."""
NORM_EPSILON = 1e-6
"""Keeps the length of an embedding positive."""


TOGETHER = 8
"""Texts of similar length that are computed together, so that few of a batch's tokens are padding."""


class Block(nn.Module):
    """Attention, then a feed-forward network, each with a residual connection and a normalization after it, (B, L, D)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, epsilon: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.query, self.key, self.value, self.gather = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_BLD: Tensor, mask_B11L: Tensor) -> Tensor:
        q_BNLA, k_BNLA, v_BNLA = (
            layer(x_BLD).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        weight_BNLL = (q_BNLA @ k_BNLA.mT / math.sqrt(q_BNLA.shape[3]) + mask_B11L.to(q_BNLA.dtype)).softmax(3)
        mixed_BLD = (weight_BNLL.to(v_BNLA.dtype) @ v_BNLA).transpose(1, 2).flatten(2)
        x_BLD = self.norm1(x_BLD + self.dropout(self.gather(mixed_BLD)))
        out_BLD: Tensor = self.norm2(x_BLD + self.dropout(self.narrow(functional.gelu(self.widen(x_BLD)))))
        return out_BLD


class Body(nn.Module):
    """Token ids (B, L), 0 for padding, to the embeddings of the texts (B, D), of length `scale`."""

    def __init__(
        self,
        *,
        tokens: int,
        width: int,
        heads: int,
        hidden: Sequence[int],
        positions: int,
        dropout: float,
        epsilon: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.places = nn.Parameter(torch.zeros(positions, width))
        self.norm = nn.LayerNorm(width, epsilon)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, units, dropout, epsilon) for units in hidden)
        nn.init.normal_(self.places, std=0.02)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Embeddings (B, D). Texts of similar length are computed together."""
        tokens_BL = tokens_BL[:, : len(self.places)]
        if torch.compiler.is_exporting():
            return self._embed(tokens_BL)
        count_B = (tokens_BL != 0).sum(1)
        order_B = count_B.argsort(stable=True)
        parts = [self._embed(tokens_BL[rows, : max(1, int(count_B[rows[-1]]))]) for rows in order_B.split(TOGETHER)]
        return torch.cat(parts)[order_B.argsort()]

    def _embed(self, tokens_BL: Tensor) -> Tensor:
        present_BL = tokens_BL != 0
        token_BL = torch.where(tokens_BL < self.embedding.num_embeddings, tokens_BL, 0)
        x_BLD = self.dropout(self.norm(self.embedding(token_BL) + self.places[: tokens_BL.shape[1]]))
        mask_B11L = torch.where(present_BL, 0.0, MASKED_SCORE)[:, None, None]
        for block in self.blocks:
            x_BLD = block(x_BLD, mask_B11L)
        present_BL1 = present_BL.unsqueeze(2)
        mean_BD = (x_BLD.float() * present_BL1).sum(1) / present_BL1.sum(1).clamp(min=1)
        scaled_BD: Tensor = self.scale * mean_BD / (mean_BD.square().sum(1, keepdim=True) + NORM_EPSILON).sqrt()
        return scaled_BD


class TextEncoder(nn.Module):
    """Token ids (B, L), 0 for padding, to logits (B, K). Texts are truncated to `positions` tokens.

    `hidden` holds the width of the feed-forward network of each block. `scale` is the length of the embedding that the head gets.
    """

    def __init__(
        self,
        *,
        tokens: int,
        classes: int,
        width: int,
        heads: int,
        hidden: Sequence[int],
        positions: int,
        dropout: float = 0.0,
        epsilon: float = 1e-12,
        scale: float = 10.0,
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "width": width, "heads": heads}
        self.fields |= {"hidden": list(hidden), "positions": positions, "dropout": dropout, "epsilon": epsilon, "scale": scale}
        if not hidden or min(tokens - 1, classes - 1, width, heads, positions, *hidden) < 1 or width % heads:
            raise UserError(f"{self.fields}: expected 2 tokens, 2 classes, blocks, positive widths and a width that heads divide")
        self.body = Body(
            tokens=tokens,
            width=width,
            heads=heads,
            hidden=hidden,
            positions=positions,
            dropout=dropout,
            epsilon=epsilon,
            scale=scale,
        )
        self.head = nn.Linear(width, classes)

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits_BK: Tensor = self.head(self.body(tokens_BL))
        return logits_BK

    def layers(self) -> list[nn.Module]:
        """The modules whose composition is the network, from the tokens to the logits; the last one is linear."""
        return [self.body, self.head]

    def freeze(self, trained_blocks: int) -> None:
        """Let only the last blocks and the head be trained.

        The embeddings always stay as they are: most tokens of a language are in no train row.
        """
        self.requires_grad_(False)
        for module in [*self.body.blocks[max(0, len(self.body.blocks) - trained_blocks) :], self.head]:
            module.requires_grad_(True)

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights with the names of transformers' BertModel, but no head.

        Raises `UserError` for the first tensor that is missing or of another shape.
        """
        tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
        sources = {"embedding.weight": "embeddings.word_embeddings.weight", "places": "embeddings.position_embeddings.weight"}
        for part in ("weight", "bias"):
            sources[f"norm.{part}"] = f"embeddings.LayerNorm.{part}"
            for number in range(len(self.body.blocks)):
                for own, source in BERT_NAMES.items():
                    sources[f"blocks.{number}.{own}.{part}"] = f"encoder.layer.{number}.{source}.{part}"
        state = self.body.state_dict()
        for name, source in sources.items():
            if source not in tensors or tensors[source].shape != state[name].shape:
                actual = f"of shape {tuple(tensors[source].shape)}" if source in tensors else "missing"
                expected = tuple(state[name].shape)
                raise UserError(f"these are no weights of a text encoder: {source} is {actual}, {expected} is expected")
            state[name] = tensors[source].float()
        kind = tensors.get("embeddings.token_type_embeddings.weight")
        if kind is not None:  # a text alone is always of the first kind
            state["places"] = state["places"] + kind[0].float()
        self.body.load_state_dict(state)

    def groups(self) -> dict[str, ChannelGroup]:
        """The feed-forward width of each block."""
        return {f"hidden.{number}": _hidden(number, size) for number, size in enumerate(self.fields["hidden"])}


def _hidden(block: int, size: int) -> ChannelGroup:
    at = f"body.blocks.{block}"
    producers = ((f"{at}.widen.weight", 0), (f"{at}.widen.bias", 0))
    return ChannelGroup(size, producers, ((f"{at}.narrow.weight", 1, 1),), resize_field("hidden", block))
