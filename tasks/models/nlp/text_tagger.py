"""A tagger that scores, for each word, every pair of tags, for a linear-chain CRF.

The scores are those of a conditional random field (Lafferty et al. 2001; Lample et al. 2016, arXiv 1603.01360): the emission
of a word plus the transition between tags. The first tag stands before the first word. The emission is the sum of two parts,
as in a wide and deep network (Cheng et al. 2016, arXiv 1606.07792): weights of the features of a word and of its neighbours,
as a CRF has them, and a bidirectional recurrent network over feature embeddings and a convolution of characters (Ma and Hovy
2016, arXiv 1603.01354).

Legend: B batch, L words, F features of a word, C characters of a word, W different words, D width, H hidden, K tags, V entries
of a table, N channels of the convolution, R the three places that a table is read for (after, at, and before an entry's own).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.core.compression import ChannelGroup, resize_field
from tasks.core.errors import UserError
from tasks.models.nlp._recurrent_layers import RecurrentLayer, reversed_positions

PLACES = 3
"""The places that a table is read for: before, at, and after."""


class TextTagger(nn.Module):
    """Ids (B, L, F + C), 0 for padding, to scores (B, L, K, K), 0 at padding. Ids beyond a table are read as 1, unknown.

    The first `features` ids of a word are features, the others its characters; 0 `features` means that there are no characters.
    In training a share `unknown` of the features are read as unknown, so that words never seen are less of a surprise.
    """

    def __init__(
        self,
        *,
        tokens: int,
        classes: int,
        width: int = 64,
        hidden: int = 64,
        dropout: float = 0.4,
        features: int = 0,
        characters: int = 0,
        filters: int = 48,
        neighbours: bool = False,
        unknown: float = 0.0,
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"tokens": tokens, "classes": classes, "width": width, "hidden": hidden}
        self.fields |= {"dropout": dropout, "features": features, "characters": characters, "filters": filters}
        self.fields |= {"neighbours": neighbours, "unknown": unknown}
        if min(tokens - 2, classes - 1, width, hidden, filters) < 1 or not (0 <= dropout < 1 and 0 <= unknown < 1):
            raise UserError(f"{self.fields}: expected 3 tokens, 2 tags, positive widths and dropout below 1")
        if bool(features) != bool(characters):
            raise UserError(f"features={features}, characters={characters}: expected both or neither")
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        if characters:
            self.characters_VRN = nn.Parameter(torch.empty(characters, PLACES, filters).normal_(std=0.2))
            self.characters_bias_N = nn.Parameter(torch.zeros(filters))
            self.spelling = nn.Linear(filters, width)
        if neighbours:
            self.weights_VRK = nn.Parameter(torch.zeros(tokens, PLACES, classes))
        self.onward, self.backward_reader = RecurrentLayer(width, hidden, "lstm"), RecurrentLayer(width, hidden, "lstm")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, classes)
        self.follows = nn.Parameter(torch.zeros(classes, classes))
        with torch.no_grad():
            self.embedding.weight.normal_(std=0.3)[0] = 0

    def forward(self, ids_BLF: Tensor) -> Tensor:
        """Scores (B, L, K, K) of tag k (last dimension) after tag j."""
        length = ids_BLF.shape[1]
        if not torch.compiler.is_exporting():
            ids_BLF = ids_BLF[:, : max(1, int((ids_BLF[:, :, 0] != 0).any(0).sum()))]
        present_BL = ids_BLF[:, :, 0] != 0
        features_BLF = ids_BLF[:, :, : self.fields["features"] or None]
        token_BLF = torch.where(features_BLF < self.fields["tokens"], features_BLF, 1)
        if self.training and self.fields["unknown"]:
            hidden_BLF = torch.rand(token_BLF.shape, device=token_BLF.device) < self.fields["unknown"]
            token_BLF = torch.where(hidden_BLF & (token_BLF != 0), 1, token_BLF)
        x_BLD = self.embedding(token_BLF).sum(2)
        if self.fields["characters"]:
            x_BLD = x_BLD + self._spelling(ids_BLF[:, :, self.fields["features"] :])
        tags_BLK = self._deep(self.dropout(x_BLD), present_BL)
        if self.fields["neighbours"]:
            rows_BLFE = functional.embedding(token_BLF, self.weights_VRK.flatten(1))
            rows_BLE = torch.where(present_BL.unsqueeze(2), rows_BLFE.sum(2), 0.0)
            tags_BLK = tags_BLK + sum_of_places(rows_BLE)
        scores_BLKK: Tensor = torch.where(present_BL[:, :, None, None], tags_BLK.unsqueeze(2) + self.follows, 0.0)
        if scores_BLKK.shape[1] < length:
            scores_BLKK = functional.pad(scores_BLKK, (0, 0, 0, 0, 0, length - scores_BLKK.shape[1]))
        return scores_BLKK

    def _spelling(self, characters_BLC: Tensor) -> Tensor:
        """What the characters of each word say, (B, L, D): the largest values of a convolution over three characters each.

        A convolution of embeddings is linear in both, so that their product is one table for each of the three places. Equal
        words are computed once.
        """
        ids_WC, place_W = characters_BLC.flatten(0, 1), None
        if not torch.compiler.is_exporting():
            ids_WC, place_W = torch.unique(ids_WC, dim=0, return_inverse=True)
        ids_WC = torch.where(ids_WC < self.fields["characters"], ids_WC, 1)
        values_WCN = sum_of_places(functional.embedding(ids_WC, self.characters_VRN.flatten(1)))
        read_WD: Tensor = self.spelling(self.dropout((values_WCN.amax(1) + self.characters_bias_N).relu()))
        if place_W is not None:
            read_WD = read_WD[place_W]
        read_BLD: Tensor = read_WD.unflatten(0, characters_BLC.shape[:2])
        return read_BLD

    def _deep(self, x_BLD: Tensor, present_BL: Tensor) -> Tensor:
        """The part (B, L, K) of the emissions that reads the whole sentence in both directions."""
        back_BL1 = reversed_positions(present_BL).unsqueeze(2)
        onward_BLH = self.onward(x_BLD)
        back_BLH = self.backward_reader(x_BLD.gather(1, back_BL1.expand_as(x_BLD)))
        back_BLH = back_BLH.gather(1, back_BL1.expand_as(back_BLH))
        tags_BLK: Tensor = self.head(self.dropout(torch.stack((onward_BLH, back_BLH), dim=3).flatten(2)))
        return tags_BLK

    def groups(self) -> dict[str, ChannelGroup]:
        """The width of the embeddings, the states, equally many in each direction, and the channels of the convolution."""
        readers = ("onward", "backward_reader")
        reads = tuple((f"{reader}.read_HGD", 2, 1) for reader in readers)
        carried = tuple((f"{reader}.{name}", 0) for reader in readers for name in ("read_HGD", "recall_HGH", "bias_HG"))
        recalls = tuple((f"{reader}.recall_HGH", 2, 1) for reader in readers)
        embeddings: tuple[tuple[str, int], ...] = (("embedding.weight", 1),)
        groups: dict[str, ChannelGroup] = {}
        if self.fields["characters"]:
            embeddings += (("spelling.weight", 0), ("spelling.bias", 0))
            convolved = (("characters_VRN", 2), ("characters_bias_N", 0))
            groups["filters"] = ChannelGroup(
                self.fields["filters"], convolved, (("spelling.weight", 1, 1),), resize_field("filters")
            )
        return {
            "width": ChannelGroup(self.fields["width"], embeddings, reads, resize_field("width")),
            "hidden": ChannelGroup(self.fields["hidden"], carried, (*recalls, ("head.weight", 1, 2)), resize_field("hidden")),
            **groups,
        }


def sum_of_places(rows_ALE: Tensor) -> Tensor:
    """The sum of what the entries before, at and after each place say of it: (A, L, N) from rows (A, L, 3 N).

    Of a row the first third is said of the place after it, the second of its own, the last of the place before it.
    """
    after_ALN, own_ALN, before_ALN = rows_ALE.chunk(PLACES, 2)
    return own_ALN + functional.pad(after_ALN[:, :-1], (0, 0, 1, 0)) + functional.pad(before_ALN[:, 1:], (0, 0, 0, 1))
