"""The negative log-likelihood of a linear-chain CRF."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.use_cases.nlp.ner.entity_metrics import PADDING_TAG


def negative_log_likelihood(scores_BLKK: Tensor, tags_BL: Tensor) -> Tensor:
    """Mean negative log-likelihood per word, in nats. `scores_BLKK[b, l, j, k]`: the score of tag k on word l after tag j.

    The tag before the first word is 0; `tags_BL` is `PADDING_TAG` after the last word.
    """
    present_BL = tags_BL != PADDING_TAG
    tags_BL = tags_BL.clamp(min=0)
    total_BK = scores_BLKK[:, 0, 0]
    score_B = total_BK.gather(1, tags_BL[:, :1]).squeeze(1)
    longest = int(present_BL.any(0).sum())
    steps = scores_BLKK[:, :longest].unbind(1)  # once: each slice of its own would have a gradient as large as all scores
    for step_BKK, inside_B1 in zip(steps[1:], present_BL[:, 1:longest].unsqueeze(2).unbind(1), strict=True):
        total_BK = torch.where(inside_B1, (total_BK.unsqueeze(2) + step_BKK).logsumexp(1), total_BK)
    pair_BL = tags_BL[:, : longest - 1] * scores_BLKK.shape[3] + tags_BL[:, 1:longest]
    step_BL = scores_BLKK[:, 1:longest].flatten(2).gather(2, pair_BL.unsqueeze(2)).squeeze(2)
    score_B = score_B + torch.where(present_BL[:, 1:longest], step_BL, 0.0).sum(1)
    return (total_BK.logsumexp(1) - score_B).sum() / present_BL.sum()
