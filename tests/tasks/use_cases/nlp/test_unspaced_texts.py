"""Texts of scripts without blanks between words: Chinese, Japanese and Thai."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from tasks.core.settings import Training
from tasks.text import character_ngrams, tokenization
from tasks.training import trainer
from tasks.use_cases.nlp.use_case import Nlp

WORDS = {
    "运动": ["足球", "球员", "决赛", "教练", "比分", "冠军队", "进球", "主场", "联赛", "射门"],
    "财经": ["股票", "银行", "利率", "上市", "股东", "决算", "市场", "涨幅", "债券", "分红"],
    "科技": ["手机", "芯片", "软件", "数据", "机器人", "网络", "电池", "算法", "员工", "教程"],
}
"""Words of topics; some of their characters (决 教 员 分 市 机 数) are in words of several topics."""
COMMON = [*"在的了和", "今天", "昨天", "我们", "他们", "表示", "报道", "北京", "上海", "公司"]
COMMON += ["一个", "进行", "可能", "已经", "认为"]


def chinese(count: int, seed: int) -> pd.DataFrame:
    """Texts of which two words are of the topic, one is of another, and the rest says nothing."""
    generator = np.random.default_rng(seed)
    rows, topics = [], list(WORDS)
    for number in range(count):
        topic, other = topics[number % 3], topics[(number + 1 + number // 3 % 2) % 3]
        words = [*generator.choice(WORDS[topic], 2), generator.choice(WORDS[other]), *generator.choice(COMMON, 9)]
        rows.append({"text": "".join(generator.permutation(words)) + "。", "label": topic})
    return pd.DataFrame(rows)


def fitted_accuracy(nlp: Nlp, train: pd.DataFrame, test: pd.DataFrame) -> float:
    state = nlp.fit_preprocessing(train)
    inputs, targets = nlp.encode(train, state)
    torch.manual_seed(0)
    training = Training(epochs=10, batch_size=32, learning_rate=0.02, weight_decay=1.0, precision="fp32")
    fitted = trainer.fit(
        nlp.build_model(state),
        inputs,
        targets,
        objective=lambda net, x, y: nlp.problem.loss(net(x), y, training),
        training=training,
    )
    test_inputs, test_targets = nlp.encode(test, state)
    return float((trainer.predict(fitted.network, test_inputs).argmax(1) == test_targets).mean())


def test_a_bag_of_chinese_texts_is_at_least_as_good_as_character_tf_idf() -> None:
    train, test = chinese(900, 0), chinese(600, 1)
    nlp = Nlp()
    assert nlp.fit_preprocessing(train)["vocabulary"]["kind"] == "characters"
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    reference = LogisticRegression(C=10, max_iter=1000).fit(vectorizer.fit_transform(train["text"]), train["label"])
    expected = reference.score(vectorizer.transform(test["text"]), test["label"])
    accuracy = fitted_accuracy(nlp, train, test)
    assert expected > 0.8
    assert accuracy >= expected - 0.005


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [
        ("今天天气很好", True),
        ("今日は天気がいいです", True),
        ("วันนี้อากาศดี", True),
        ("The weather is fine 今天", False),
        ("12345", False),
        ("我用 Python 写代码的时候听音乐", True),
    ],
)
def test_the_script_decides_whether_characters_are_the_tokens(text: str, unspaced: bool) -> None:
    assert character_ngrams.is_unspaced([text]) is unspaced


def test_the_tokens_are_the_character_ngrams_of_the_text_and_none_spans_a_blank() -> None:
    codes, rows = character_ngrams.codes(["天 Ab", "", "b"])

    def code(ngram: str) -> int:
        return sum(ord(character) << 21 * place for place, character in enumerate(reversed(ngram)))

    assert codes.tolist() == [code("天"), code("a"), code("ab"), code("b"), code("b")]
    assert rows.tolist() == [0, 0, 0, 0, 2]


def test_texts_in_english_keep_their_words() -> None:
    rows = pd.DataFrame({"text": ["the cat sleeps", "the dog runs"] * 3, "label": ["cat", "dog"] * 3})
    assert Nlp().fit_preprocessing(rows)["vocabulary"]["kind"] == "grams"


def test_thai_texts_are_told_apart_and_a_smaller_vocabulary_keeps_the_frequent_ngrams() -> None:
    words = {"สัตว์": ["แมว", "สุนัข", "ช้าง"], "อาหาร": ["ข้าว", "แกง", "ผลไม้"]}
    generator = np.random.default_rng(0)
    rows: Any = [
        {"text": "วันนี้เราพูดถึง" + "".join(generator.choice(words[label], 2)) + "กัน", "label": label}
        for label in words
        for _ in range(60)
    ]
    table = pd.DataFrame(rows)
    assert fitted_accuracy(Nlp(), table.iloc[::2], table.iloc[1::2]) == 1.0
    vocabulary = Nlp().fit_preprocessing(table)["vocabulary"]
    smaller = tokenization.truncate_vocabulary(vocabulary, 11)
    assert smaller["count"] == 10
    whole = tokenization.encode(table["text"].to_list(), vocabulary)
    few = tokenization.encode(table["text"].to_list(), smaller)
    assert sorted(few[0][few[0] > 0]) == sorted(whole[0][(whole[0] > 0) & (whole[0] <= 10)])
