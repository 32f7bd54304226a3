"""News count from the close by which they were published, never before; the model that scores them must be a sentiment model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import onnx_export
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.text import tokenization
from tasks.use_cases.finance import news_sentiment
from tasks.use_cases.finance.use_case import Finance

GLAD, SAD = "good great gain", "bad awful loss"


def scorer(folder: Any, classes: Any = ("negative", "positive")) -> Any:
    """A model that answers `positive` for glad words, as a use case of texts ships it."""
    state = tokenization.fit_vocabulary([GLAD, SAD] * 4, "words", 100, 1, 8)
    torch.manual_seed(0)
    network = registry.build_network("nlp", "bag", {"tokens": tokenization.vocabulary_size(state), "classes": 2, "width": 2})
    numbers = tokenization.encode([GLAD, SAD], state)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(torch.from_numpy(numbers)), torch.tensor([1, 0])).backward()
        optimizer.step()
    folder.mkdir(exist_ok=True)
    content = onnx_export.to_onnx(network.eval(), numbers, {"classes": list(classes), "vocabulary": state}, "nlp")
    (folder / "model.onnx").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def sentiment_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return scorer(tmp_path_factory.mktemp("sentiment"))


def table(path: Any, *rows: Any) -> Any:
    lines = ["Symbol,created_at,text", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def bars_with_news(path: Any, sentiment_model: Any, *days: Any) -> Any:
    rows = pd.DataFrame({"ticker": "ONE", "date": pd.to_datetime(list(days))})
    (block,) = news_sentiment.join_sentiment(iter([rows]), path, sentiment_model)
    return block


def test_a_text_counts_from_the_close_by_which_it_was_there(tmp_path: Path, sentiment_model: Any) -> None:
    path = table(tmp_path / "news.csv", ("ONE", "2020-01-07 19:59:00", GLAD), ("ONE", "2020-01-07 20:00:00", SAD))
    bars = bars_with_news(path, sentiment_model, "2020-01-06", "2020-01-07", "2020-01-08", "2020-01-13")
    np.testing.assert_allclose(bars["buzz"], np.log1p([0, 1, 2, 0]))
    assert bars["mood"].iloc[1] > 0.5
    assert abs(bars["mood"].iloc[2]) < 0.3
    assert bars["mood"].iloc[[0, 3]].tolist() == [0.0, 0.0]


def test_a_text_with_a_date_alone_counts_the_day_after_and_one_of_a_weekend_on_monday(
    tmp_path: Path, sentiment_model: Any
) -> None:
    path = table(tmp_path / "news.csv", ("ONE", "2020-01-07", GLAD), ("TWO", "2020-01-07", SAD))
    assert bars_with_news(path, sentiment_model, "2020-01-07", "2020-01-08")["buzz"].gt(0).tolist() == [False, True]
    path = table(tmp_path / "weekend.csv", ("ONE", "2020-01-11 10:00:00", GLAD))
    assert bars_with_news(path, sentiment_model, "2020-01-10", "2020-01-13")["buzz"].gt(0).tolist() == [False, True]


def test_texts_to_come_change_nothing(tmp_path: Path, sentiment_model: Any) -> None:
    early, late = ("ONE", "2020-01-07 10:00:00", GLAD), ("ONE", "2020-01-08 21:00:00", SAD)
    before = bars_with_news(table(tmp_path / "a.csv", early), sentiment_model, "2020-01-07", "2020-01-08")
    after = bars_with_news(table(tmp_path / "b.csv", early, late), sentiment_model, "2020-01-07", "2020-01-08")
    pd.testing.assert_frame_equal(before, after)


def test_a_model_without_sentiment_is_refused_in_one_line(tmp_path: Path, sentiment_model: Any) -> None:
    path = table(tmp_path / "news.csv", ("ONE", "2020-01-07", GLAD))
    with pytest.raises(UserError, match=r"holds no model\.onnx; name the release folder"):
        bars_with_news(path, tmp_path, "2020-01-07")
    with pytest.raises(UserError, match=r"has the classes world, sports; a sentiment model needs negative and positive"):
        bars_with_news(path, scorer(tmp_path / "other", ("world", "sports")), "2020-01-07")
    with pytest.raises(UserError, match=r"row 2: created_at is 'soon'; expected YYYY-MM-DD"):
        bars_with_news(table(tmp_path / "soon.csv", ("ONE", "soon", GLAD)), sentiment_model, "2020-01-07")
    (tmp_path / "odd.csv").write_text("time,words\n2020-01-07,good\n")
    with pytest.raises(UserError, match=r"no column for ticker, text; it has time, words: name the ticker column one of"):
        bars_with_news(tmp_path / "odd.csv", sentiment_model, "2020-01-07")
    with pytest.raises(UserError, match="news and scorer go together"):
        registry.build("use_cases", "finance", {"fetch": {"news": "news.csv"}})


def test_the_use_case_reads_prices_and_news_together(tmp_path: Path, sentiment_model: Any) -> None:
    lines = ["date,open,high,low,close,volume", *(f"2020-01-0{day},10,11,9,10.5,100" for day in (7, 8)), ""]
    (tmp_path / "ONE.csv").write_text("\n".join(lines))
    path = table(tmp_path / "news.csv", ("ONE", "2020-01-07 19:59:00", GLAD))
    case = Finance(fetch={"path": str(tmp_path / "ONE.csv"), "news": str(path), "scorer": str(sentiment_model)})
    cleaned = case.clean_partition(pd.concat(list(case.load()), ignore_index=True))
    assert cleaned["fault"].tolist() == ["", ""]
    assert cleaned["mood"].gt(0.5).tolist() == [True, True]
