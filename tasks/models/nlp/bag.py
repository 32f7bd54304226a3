"""A bag of token embeddings: no order and no depth, but cheap and strong on topics of texts.

After fastText (Joulin et al. 2016, arXiv 1607.01759) with two properties of tf-idf: every token has a trained weight, which
starts at its inverse frequency by Zipf's law, and the weights of a text have unit length. The embeddings may start from naive
Bayes (after Wang and Manning 2012, "Baselines and Bigrams").

Legend: B batch, L tokens, D width, K classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANK_OFFSET = 10.0
"""Added to a token's rank before the logarithm, so that the initial weight of the most frequent tokens is small but not 0."""
NORM_EPSILON = 1e-3
"""Keeps the norm of an empty text positive; graph simplification rounds smaller values to 0."""


class Bag(nn.Module):
    """Token ids (B, L), 0 for padding, in descending order of frequency, to logits (B, K). Ids beyond the table count as 0."""

    def __init__(self, *, tokens: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "width": width}
        if min(tokens - 1, classes - 1, width) < 1:
            raise UserError(
                f"tokens={tokens}, classes={classes}, width={width}: a bag needs 2 tokens, 2 classes and a width of 1"
            )
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.weight = nn.Embedding(tokens, 1, padding_idx=0)
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.01 / math.sqrt(width))[0] = 0
            self.weight.weight[:, 0] = (torch.arange(tokens) + RANK_OFFSET).log()
            self.weight.weight[0] = 0

    def initialize_weights(self, tokens_NL: NDArray[np.int32], classes_N: NDArray[np.int64], share: float) -> None:
        """Initialise with `share` times the centred log frequencies of each token per class.

        With fewer dimensions than classes, their projection on the directions in which the classes differ most.
        """
        tokens, classes = self.fields["tokens"], self.fields["classes"]
        count_KV = np.stack([np.bincount(tokens_NL[classes_N == k].ravel(), minlength=tokens)[:tokens] for k in range(classes)])
        log_KV = np.log(count_KV[:, 1:] + 1.0)
        log_KV -= np.log(np.exp(log_KV).sum(1, keepdims=True))
        log_KV -= log_KV.mean(0)
        self.start_from_linear(share * np.pad(log_KV, ((0, 0), (1, 0))), np.zeros(classes))

    def token_weights(self) -> NDArray[np.float32]:
        """The weight of each token (V,), 0 for padding."""
        weights: NDArray[np.float32] = self.weight.weight[:, 0].detach().numpy()
        return weights

    def start_from_linear(self, weights_KV: NDArray[Any], bias_K: NDArray[Any]) -> None:
        """Initialise with a linear model of the tokens.

        With fewer dimensions than classes, with its projection on the directions in which the classes differ most.
        """
        width = min(self.fields["classes"], self.fields["width"])
        spread_KK = np.linalg.eigh(weights_KV @ weights_KV.T)[1]
        directions_KD = spread_KK[:, ::-1][:, :width]
        with torch.no_grad():
            self.embedding.weight[1:, :width] = torch.from_numpy(weights_KV[:, 1:].T @ directions_KD).float()
            self.head.weight[:, :width] = torch.from_numpy(directions_KD.copy()).float()
            self.head.bias.copy_(torch.from_numpy(bias_K))

    def start_from_bag(self, larger: Bag) -> None:
        """Initialise with the most frequent tokens of a larger bag of the same classes."""
        kept = self.fields["tokens"]
        with torch.no_grad():
            self.weight.weight.copy_(larger.weight.weight[:kept])
            weights_VK = larger.embedding.weight[:kept] @ larger.head.weight.T
            self.start_from_linear(weights_VK.T.double().numpy(), larger.head.bias.double().numpy())

    def forward(self, tokens_BL: Tensor) -> Tensor:
        """Logits (B, K)."""
        if not torch.compiler.is_exporting():
            tokens_BL = tokens_BL[:, : max(1, int((tokens_BL != 0).any(0).sum()))]
        tokens_BL = torch.where(tokens_BL < self.fields["tokens"], tokens_BL, 0)
        w_BL = self.weight(tokens_BL).squeeze(2)
        w_BL = w_BL / (w_BL.square().sum(1, keepdim=True) + NORM_EPSILON).sqrt()
        if torch.compiler.is_exporting():  # the same sum as one matrix product
            x_BD = (w_BL.unsqueeze(1) @ self.embedding(tokens_BL)).squeeze(1)
        else:
            x_BD = functional.embedding_bag(
                tokens_BL,
                self.embedding.weight,
                mode="sum",
                per_sample_weights=w_BL.to(self.embedding.weight.dtype),
                padding_idx=0,
            )
        logits_BK: Tensor = self.head(x_BD)
        return logits_BK

    def groups(self) -> dict[str, ChannelGroup]:
        """The tokens, the most frequent first. The width is not pruned, because it is already small."""

        return {
            "tokens": ChannelGroup(
                self.fields["tokens"], (("embedding.weight", 0), ("weight.weight", 0)), (), resize_field("tokens"), ranked=True
            )
        }
