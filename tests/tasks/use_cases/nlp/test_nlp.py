"""The text use case: cleaning, vocabularies, augmentation, models and label errors."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.splits import stratified_split
from tasks.text import normalization, tokenization
from tasks.use_cases.nlp.data.augmentation import TextAugment
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.settings import TextClean, TextModel
from tasks.use_cases.nlp.topics import label_errors, text_baselines
from tasks.use_cases.nlp.use_case import Nlp
from tests.support.text_rows import ANIMALS, animals, clean_text


@pytest.mark.parametrize(
    ("raw", "repaired", "fix"),
    [
        ("America #39;s top  quot;nuts, quot; he said", 'America\'s top "nuts," he said', "entities"),
        ("worth  #36;10 million", "worth $10 million", "entities"),
        ("AT&amp;T and R&amp;amp;D", "AT&T and R&D", "entities"),
        ("a lot #151; of it", "a lot— of it", "entities"),
        ('&lt;A HREF="http://a.b/c?d"&gt;GOOG.OQ&lt;/A&gt; rose', "GOOG.OQ rose", "entities; markup; spaces"),
        ("the end &lt;b&gt;...&lt;/b&gt;", "the end ...", "entities; markup; spaces"),
        ("a second\\team of rocketeers", "a second team of rocketeers", "backslashes"),
        ("fined \\$1.35 Million", "fined $1.35 Million", "backslashes"),
        ("one\ttwo  three ", "one two three", "spaces"),
        ("cafÃ© dâ€™Ã©tÃ©", "café d’été", "encoding"),
        ("cafe\u0301 noir", "café noir", "composition"),
        ("in\u200bvisible\x07", "invisible", "control-characters"),
    ],
)
def test_damaged_text_is_repaired_and_the_repair_is_named(raw: Any, repaired: Any, fix: Any) -> None:
    verdict = clean_text(raw)
    assert (verdict["text"], verdict["fix"], verdict["fault"]) == (repaired, fix, "")


@pytest.mark.parametrize(
    "raw", ["(Reuters) - Oil rose", "I am <#> inches", "3 < 4 and 5 > 2", "ranked #64; x", "Ça va à Zürich", "東京都"]
)
def test_what_was_meant_stays_as_it_is(raw: Any) -> None:
    assert clean_text(raw)["text"] == raw
    assert clean_text(raw)["fix"] == ""


def test_mending_twice_changes_nothing_more() -> None:
    for raw in ("&amp;lt;b&amp;gt; #39;x", "\\\\$ a", "Ã\u0083Â©"):
        once, _ = normalization.repair(raw)
        assert normalization.repair(once) == (once, [])


@pytest.mark.parametrize(
    ("raw", "label", "fault"),
    [
        ("", "a", "empty"),
        (" \t&nbsp;", "a", "empty"),
        ("!!! 12", "a", "too-short"),
        ("lost \ufffd here", "a", "wrong-encoding"),
        ("word " * 5000, "a", "too-long"),
        ("fine text", "", "empty-label"),
        ("fine text", "x" * 101, "impossible-label"),
    ],
)
def test_what_cannot_be_used_says_why(raw: Any, label: Any, fault: Any) -> None:
    assert clean_text(raw, label)["fault"].partition(":")[0] == fault


def test_a_label_the_data_set_does_not_have_is_refused() -> None:
    verdict = clean_text("Oil rose", "7", Nlp(fetch=TextFetch(dataset="ag_news")))
    assert verdict["fault"] == "impossible-label: '7', there is World, Sports, Business, Sci/Tech"


def test_a_short_test_text_is_scored_where_a_short_train_text_is_left_out() -> None:
    rows = pd.DataFrame({"text": ["?!", "?!", ""], "label": "a", "subset": ["train", "test", "test"], "truth": ""})
    verdicts = Nlp(fetch=TextFetch(path="mine")).clean_partition(rows)
    assert verdicts["fault"].str.partition(":")[0].to_list() == ["too-short", "", "empty"]
    assert verdicts["fix"].str.partition(":")[0].to_list() == ["", "seen too-short", ""]
    strict = Nlp(fetch=TextFetch(path="mine"), clean=TextClean(official_test="unique")).clean_partition(rows)
    assert strict["fault"].str.partition(":")[0].to_list() == ["too-short", "too-short", "empty"]


def test_near_duplicates_share_a_split_and_a_leak_is_quarantined() -> None:
    more = ["Tin slid", "Zinc rested", "Iron soared", "Wheat sank", "Corn slept", "Rice flew"]  # so that no class is rare
    rows = pd.DataFrame(
        {
            "text": ["Oil  rose!", "oil rose", "Gold fell", "Gold fell", *more],
            "label": ["a", "a", "b", "c", *"aaabbb"],
            "subset": ["train", "test", "train", "train", *["train", "validation", "test"] * 2],
            "truth": "",
        }
    )
    nlp = Nlp(fetch=TextFetch(path="mine"))
    light = nlp.clean_partition(rows).assign(key=[*"1233456789"], file="f", row=range(10), part=0)
    outcome = deduplicate_and_split(nlp, light)
    assert outcome["verdict"].to_list()[:4] == ["quarantined", "kept", "kept", "duplicate"]
    assert outcome["reason"].to_list()[0] == "leak: looks like f:1 of test"
    assert outcome["reason"].to_list()[3] == "duplicate of f:2, which is labelled 'b'"


def test_long_texts_are_read_to_their_usual_end_unless_a_length_is_set() -> None:
    texts = [" ".join(f"w{place % 40}" for place in range(400)) for _ in range(20)] + ["w1 w2 w3"] * 5
    assert tokenization.fit_vocabulary(texts, "grams", 500, 2, 0)["length"] == 800
    assert tokenization.fit_vocabulary(texts, "grams", 500, 2, 256)["length"] == 256
    assert tokenization.fit_vocabulary(texts[20:], "grams", 500, 2, 0)["length"] == 8


def test_the_share_of_texts_that_are_cut_is_written_down() -> None:
    case = Nlp(fetch=TextFetch(path="x"), model=TextModel(length=8))
    rows = animals(40)
    state = case.fit_preprocessing(rows)
    inputs, _ = case.encode(rows, state)
    assert case.input_notes(inputs, state) == [
        "100.0% of the train texts have 8 tokens or more; what follows is not read (model.length)."
    ]
    assert case.input_notes(inputs * 0, state) == []


@pytest.mark.parametrize("kind", ["grams", "letters", "words", "subwords"])
def test_a_vocabulary_is_plain_json_and_the_same_each_time(kind: Any) -> None:
    texts = animals()["text"].to_list()
    vocabulary = tokenization.fit_vocabulary(texts, kind, 500, 2, 64)
    assert json.loads(json.dumps(vocabulary)) == vocabulary == tokenization.fit_vocabulary(texts, kind, 500, 2, 64)
    numbers = tokenization.encode(texts, vocabulary)
    assert numbers.dtype == np.int32
    assert numbers.shape == (len(texts), vocabulary["length"])
    assert 0 < numbers.max() < tokenization.vocabulary_size(vocabulary)
    assert ((numbers != 0).cumprod(1) == (numbers != 0)).all(), "zeros stand behind the end only"


@pytest.mark.parametrize("kind", ["grams", "letters", "words", "subwords"])
def test_a_text_has_the_same_numbers_alone_and_among_others(kind: Any) -> None:
    texts = [*animals()["text"], "", "unheard of"]
    vocabulary = tokenization.fit_vocabulary(texts, kind, 500, 2, 64)
    together = tokenization.encode(texts, vocabulary)
    assert all(np.array_equal(tokenization.encode([one], vocabulary)[0], row) for one, row in zip(texts, together, strict=True))


@pytest.mark.parametrize("kind", ["grams", "letters", "words"])
def test_a_shorter_vocabulary_forgets_the_rarest(kind: Any) -> None:
    texts = animals()["text"].to_list()
    vocabulary = tokenization.fit_vocabulary(texts, kind, 500, 2, 64)
    shorter = tokenization.truncate_vocabulary(vocabulary, 20)
    assert tokenization.vocabulary_size(shorter) == 20
    whole, left = tokenization.encode(texts, vocabulary), tokenization.encode(texts, shorter)
    unknown = 1 if kind == "words" else 0
    assert [n for n in np.where(whole < 20, whole, unknown)[0] if n] == [n for n in left[0] if n]


def test_pairs_of_neighbours_are_grams_of_their_own() -> None:
    vocabulary = tokenization.fit_vocabulary(["new york", "york new", "new york"], "grams", 500, 2, 64)
    onward, turned = tokenization.encode(["new york", "york new"], vocabulary)
    assert set(turned[turned > 0]) < set(onward[onward > 0])


def test_words_that_share_letters_share_runs_of_them() -> None:
    vocabulary = tokenization.fit_vocabulary(["wonderful", "wonderfully", "wonderful"], "letters", 500, 1, 64)
    whole_word, strange, other = (set(row[row > 0]) for row in tokenization.encode(["wonderful", "wonder", "brisk"], vocabulary))
    assert len(whole_word & strange) >= 5
    assert not other


def test_a_vocabulary_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="lower model"):
        tokenization.fit_vocabulary(["one", "two"], "words", 100, 2, 64)


def test_noise_is_the_same_for_a_row_wherever_it_stands_and_keeps_its_label() -> None:
    nlp, rows = Nlp(augment=TextAugment(copies=2)), animals()
    whole = nlp.augment_rows(rows, seed=3)
    halves = pd.concat(
        [
            nlp.augment_rows(half, seed=3)
            for half in (rows.iloc[:70].reset_index(drop=True), rows.iloc[70:].reset_index(drop=True))
        ]
    )
    assert sorted(whole["text"]) == sorted(halves["text"])
    assert set(nlp.augment_rows(rows, seed=4)["text"]) != set(whole["text"])
    assert (whole["label"] == np.where(whole["text"].str.contains("cat|purr|sofa|sleep"), "cat", whole["label"])).all()
    assert 300 < len(whole) <= 400


def test_without_copies_there_are_no_variants() -> None:
    assert Nlp().augment_rows(animals(), seed=3).empty


@pytest.mark.parametrize("seed", range(20))
def test_noise_leaves_at_least_one_word(seed: Any) -> None:
    assert normalization.add_noise("only four words here", "key", seed, drop=1.0, swap=1.0, spelling=1.0, mask=1.0).split()


def test_the_share_of_words_dropped_is_the_one_that_is_set() -> None:
    long = " ".join(f"word{n}" for n in range(2000))
    assert len(normalization.add_noise(long, "key", 0, drop=0.3, swap=0, spelling=0, mask=0).split()) == pytest.approx(
        1400, abs=80
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_a_bag_that_begins_with_naive_bayes_tells_texts_apart_before_any_step(classes: Any) -> None:
    import torch

    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 300)
    texts = [f"the sign{label} of it{n % 7}" for n, label in enumerate(labels)]
    rows = pd.DataFrame({"text": texts, "label": [f"c{label}" for label in labels]})
    for tokens in ("grams", "letters"):
        for width in (0, 2):
            nlp = Nlp(model=TextModel(head_start=0.3, tokens=tokens, width=width))
            state = nlp.fit_preprocessing(rows)
            inputs, targets = nlp.encode(rows, state)
            network = nlp.build_model(state)
            nlp.initialize_weights(network, inputs, targets)
            assert not network.embedding.weight[0].any()
            predicted = network.eval()(torch.from_numpy(inputs)).argmax(1).numpy()
            assert (predicted == targets).mean() > (0.95 if width == 0 else 1.2 / classes)


def test_weights_are_initialized_only_if_head_start_is_set() -> None:
    import torch

    rows = animals()
    nlp = Nlp()
    state = nlp.fit_preprocessing(rows)
    network = nlp.build_model(state)
    before = network.embedding.weight.clone()
    nlp.initialize_weights(network, *nlp.encode(rows, state))
    assert torch.equal(network.embedding.weight, before)


def test_short_texts_of_ones_own_are_read_by_letters_from_a_head_start_and_long_ones_by_words() -> None:
    rows, own = animals(40), Nlp(fetch=TextFetch(path="mine"))
    assert own.fit_preprocessing(rows)["vocabulary"]["kind"] == "letters"
    assert Nlp().fit_preprocessing(rows)["vocabulary"]["kind"] == "grams"
    assert own.fit_preprocessing(rows.assign(text=rows["text"] * 20))["vocabulary"]["kind"] == "grams"
    explicit = Nlp(fetch=TextFetch(path="mine"), model=TextModel(tokens="words", head_start=0))
    assert explicit.fit_preprocessing(rows)["vocabulary"]["kind"] == "words"
    for case, starts in ((own, True), (explicit, False)):
        state = case.fit_preprocessing(rows)
        network = case.build_model(state)
        before = network.embedding.weight.clone()
        case.initialize_weights(network, *case.encode(rows, state))
        assert bool((network.embedding.weight != before).any()) == starts


def test_a_student_is_a_bag_with_fewer_tokens_and_no_idle_width() -> None:
    rows = animals(2000)
    rows["text"] += [f" extra{n % 700} more{n % 900}" for n in range(2000)]
    nlp = Nlp()
    state = nlp.fit_preprocessing(rows)
    dense, student = nlp.build_model(state), nlp.build_student(state, 0.5)
    assert student.fields["width"] == len(state["classes"])
    assert student.fields["tokens"] < dense.fields["tokens"]
    inputs, _ = nlp.encode(rows.head(3), state)
    import torch

    assert student(torch.from_numpy(inputs)).shape == (3, 2)
    other = Nlp(model=TextModel(architecture="text_lstm"))
    assert type(other.build_student(other.fit_preprocessing(rows), 0.5)).__name__ == "Bag"


def test_building_a_student_of_topics_draws_random_numbers_for_the_student_alone() -> None:
    import torch

    rows = animals(400)
    nlp = Nlp()
    state = nlp.fit_preprocessing(rows)
    torch.manual_seed(3)
    student: Any = nlp.build_student(state, 0.5)
    torch.manual_seed(3)
    alone = registry.build_network("nlp", "bag", student.fields)
    assert all(torch.equal(weight, alone.state_dict()[name]) for name, weight in student.state_dict().items())


def test_a_class_never_seen_in_training_is_refused() -> None:
    nlp = Nlp()
    state = nlp.fit_preprocessing(animals())
    with pytest.raises(UserError, match="knows no class 'cow'; it knows cat, dog"):
        nlp.encode(animals().assign(label="cow"), state)


def test_the_linear_baselines_answer_in_the_order_of_the_classes() -> None:
    rows = animals()
    models = text_baselines.fit_linear_models(rows["text"].to_list(), rows["label"].to_list())
    assert len(models) == 2
    for model in models.values():
        assert model.scores([one for one, _ in ANIMALS], ["dog", "cat"]).argmax(1).tolist() == [1, 0]


def test_wrong_labels_are_suspected() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    label = np.where(rng.random(400) < 0.1, 1 - truth, truth)
    sure = np.clip(0.9 + 0.05 * rng.standard_normal(400), 0.6, 0.99)
    p = np.stack([np.where(truth == 0, sure, 1 - sure), np.where(truth == 1, sure, 1 - sure)], axis=1)
    names = np.array(["a", "b"], dtype=object)
    predictions = pd.DataFrame({"label": names[label], "truth": names[truth], "predicted": names[truth]})
    report = label_errors.find_label_errors(predictions.assign(classes=[["a", "b"]] * 400, probabilities=list(p)))
    assert report["precision"] > 0.95
    assert report["recall"] > 0.5
    assert report["accuracy_against_truth"] == 1.0
    assert report["rows"][0]["label"] != report["rows"][0]["seems"]


def test_the_module_imports_without_torch() -> None:
    code = "import tasks.use_cases.nlp.use_case, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[4])


def test_each_class_has_its_share_of_every_split() -> None:
    labels = pd.Series(["a"] * 900 + ["b"] * 100)
    keys = pd.Series([str(number) for number in range(1000)])
    assigned = stratified_split(keys, labels, 0.15, 0.15)
    counts = pd.crosstab(labels, assigned)
    assert counts.loc["a", ["test", "validation", "train"]].to_list() == [135, 135, 630]
    assert counts.loc["b", ["test", "validation", "train"]].to_list() == [15, 15, 70]
    assert (stratified_split(keys[::-1], labels[::-1], 0.15, 0.15).sort_index() == assigned).all()


def test_the_exported_vocabulary_is_as_large_as_the_embedding() -> None:
    nlp, rows = Nlp(), animals()
    state = nlp.fit_preprocessing(rows)
    small = nlp._build("bag", state, {"tokens": 20})
    assert tokenization.vocabulary_size(nlp.export_state(state, small)["vocabulary"]) == 20
    assert nlp.export_state(state, nlp.build_model(state)) == state
