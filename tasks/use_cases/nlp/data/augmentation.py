"""Augmentation of texts by noise that keeps their labels: more train rows, and a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pandas as pd
from pydantic import Field

from tasks.core.settings import Augment, Share, settings
from tasks.text import normalization

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PREVIEW_ROWS_PER_CLASS, PREVIEW_ROWS, PREVIEW_VARIANTS = 2, 24, 3


@settings
class TextAugment(Augment):
    """Noise that leaves the label what it is, as further train rows; each share is of a text's words."""

    copies: Annotated[int, Field(ge=0, le=16)] = 0
    """Noisy variants of each train row."""
    drop: Share = 0.1
    """Words that are dropped."""
    swap: Share = 0.05
    """Words that are swapped with the next."""
    spelling: Share = 0.03
    """Words with one typing error."""
    mask: Share = 0.1
    """Words that are masked, in one span."""


def augment_rows(noise: TextAugment, rows: DataFrame, keys: Series, seed: int) -> DataFrame:
    """Noisy copies of rows, without unchanged ones; `keys` (N,) identify the rows in any partition."""
    made = [rows.assign(text=add_noise(noise, rows["text"], keys, seed, copy)) for copy in range(1, noise.copies + 1)]
    varied = [copy[copy["text"] != rows["text"]] for copy in made]
    return pd.concat(varied, ignore_index=True) if varied else rows.head(0)


def preview_rows(rows: DataFrame) -> DataFrame:
    """A few rows of each class for the preview."""
    each_class = rows.groupby("label", sort=True).head(PREVIEW_ROWS_PER_CLASS)
    return each_class.sort_values("label", kind="stable").head(PREVIEW_ROWS).reset_index(drop=True)


def preview_augmentation(noise: TextAugment, originals: DataFrame, keys: Series, seed: int) -> DataFrame:
    """Rows and noisy variants of them: `text`, `label`, `original` and `variant` (0 = original)."""
    plain = originals[["text", "label"]].assign(original=range(len(originals)), variant=0)
    copies = range(1, PREVIEW_VARIANTS + 1 if noise.copies else 1)
    made = [plain.assign(text=add_noise(noise, originals["text"], keys, seed, copy), variant=copy) for copy in copies]
    return pd.concat([plain, *made], ignore_index=True).sort_values(["original", "variant"], kind="stable", ignore_index=True)


def add_noise(noise: TextAugment, texts: Series, keys: Series, seed: int, copy: int) -> list[str]:
    """The texts with noise, which depends on key, copy and seed only."""
    shares = {"drop": noise.drop, "swap": noise.swap, "spelling": noise.spelling, "mask": noise.mask}
    return [normalization.add_noise(one, f"{key} {copy}", seed, **shares) for one, key in zip(texts, keys, strict=True)]
