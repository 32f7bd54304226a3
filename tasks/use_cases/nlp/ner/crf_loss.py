"""How unlikely the right tags of a text are, when each tag is scored behind each other: what a tagger learns to bring down."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.use_cases.nlp.ner.entity_metrics import PADDING_TAG


def negative_log_likelihood(scores_BLKK: Tensor, tags_BL: Tensor) -> Tensor:
    """Mean negative log-likelihood per word, in nats. `scores_BLKK[b, l, j, k]`: tag k on word l behind tag j.

    Before the first word stands tag 0; `tags_BL` is `PADDING_TAG` behind the end.
    """
    there_BL = tags_BL != PADDING_TAG
    tags_BL = tags_BL.clamp(min=0)
    every_BK = scores_BLKK[:, 0, 0]
    right_B = every_BK.gather(1, tags_BL[:, :1]).squeeze(1)
    rows = torch.arange(len(tags_BL), device=tags_BL.device)
    for place in range(1, int(there_BL.any(0).sum())):
        onward_BK = (every_BK.unsqueeze(2) + scores_BLKK[:, place]).logsumexp(1)
        inside_B = there_BL[:, place]
        every_BK = torch.where(inside_B.unsqueeze(1), onward_BK, every_BK)
        step_B = scores_BLKK[rows, place, tags_BL[:, place - 1], tags_BL[:, place]]
        right_B = right_B + torch.where(inside_B, step_B, 0.0)
    return (every_BK.logsumexp(1) - right_B).sum() / there_BL.sum()
