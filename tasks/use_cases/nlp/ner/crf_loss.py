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
    rows = torch.arange(len(tags_BL), device=tags_BL.device)
    for position in range(1, int(present_BL.any(0).sum())):
        next_BK = (total_BK.unsqueeze(2) + scores_BLKK[:, position]).logsumexp(1)
        inside_B = present_BL[:, position]
        total_BK = torch.where(inside_B.unsqueeze(1), next_BK, total_BK)
        step_B = scores_BLKK[rows, position, tags_BL[:, position - 1], tags_BL[:, position]]
        score_B = score_B + torch.where(inside_B, step_B, 0.0)
    return (total_BK.logsumexp(1) - score_B).sum() / present_BL.sum()
