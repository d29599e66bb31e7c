"""Task files: every fault named with its path, what the hash covers, and that the shipped ones load and fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core import method_files
from benchmark.core.data.loading import info_of
from benchmark.core.errors import BenchmarkError
from benchmark.core.models import build
from benchmark.core.tasks import task as tasks
from benchmark.core.tasks import yaml_file

TEXT = """
track: global
tier: quick
dataset: digits
split: {kind: shards, shards: 2}
clients: 20
cohort: 5
rounds: 40
networks: [mlp]
train:
  batch: 10
  optimiser: {name: sgd, lr: 0.05}
"""


def fault(text: str) -> str:
    """The one sentence that a text earns."""
    with pytest.raises(BenchmarkError) as caught:
        tasks.parse(text, "mine.yaml", "mine")
    sentence = str(caught.value)
    assert sentence.startswith("mine.yaml: ") and caught.value.user and caught.value.hint and "\n" not in sentence
    return sentence


def changed(**fields: Any) -> str:
    """The text with other fields; None leaves one out."""
    content = {**yaml.safe_load(TEXT), **fields}
    return yaml.safe_dump({name: value for name, value in content.items() if value is not None})


def test_defaults_are_those_of_the_format() -> None:
    task = tasks.parse(TEXT, "mine.yaml", "mine")
    assert (task.name, task.train.epochs, task.evaluate_every, task.seeds) == ("mine", 1, 1, (0, 1, 2))
    assert task.train.optimiser.momentum == 0 and task.augment.crop == 0 and task.public is None


@pytest.mark.parametrize(
    ("split", "defaults"),
    [
        ({"kind": "shards", "shards": 2}, {"draws": "keyed"}),
        ({"kind": "dirichlet", "alpha": 0.1}, {"minimum": 10, "capped": True}),
        ({"kind": "dirichlet_sampled", "alpha": 0.1, "most": 9}, {"minimum": 10}),
        ({"kind": "labels_removed", "per_client": 9, "targets": 2}, {"keep": 5}),
    ],
)  # fmt: skip
def test_defaults_of_splits_stay_as_tasks_rely_on_them(split: dict[str, Any], defaults: dict[str, Any]) -> None:
    # A hash leaves defaults out, so that it would not tell of another one.
    assert tasks.parse(changed(split=split), "mine.yaml", "mine").split.model_dump() == split | defaults


def test_all_faults_are_named_at_once() -> None:
    train = {"batch": 0, "optimiser": {"name": "sdg", "lr": "fast", "momentun": 0.9}}
    sentence = fault(changed(clients=2.5, rounds=None, train=train, trak="global", augment={"flip": "yes"}))
    for words in (
        "clients: Input should be a valid integer, got 2.5", "rounds: Field required", "train.batch: ",
        "train.optimiser.name: Input should be 'sgd' or 'adam', got 'sdg'", "train.optimiser.lr: ",
        "unknown field train.optimiser.momentun, did you mean momentum?", "unknown field trak, did you mean track?",
        "augment.flip: ",
    ):  # fmt: skip
        assert words in sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(cohort=21), "cohort 21 is larger than clients 20"),
        (changed(networks=["mlp"] * 21), "21 networks for 20 clients"),
        (changed(networks=[]), "networks: "),
        (changed(split={"kind": "shard"}), "split: "),
        (changed(split={"kind": "dirichlet", "alpha": 0}), "split.dirichlet.alpha: "),
        (changed(split={"kind": "dirichlet", "alpha": float("inf")}), "split.dirichlet.alpha: "),
        (changed(train={"batch": 1, "optimiser": {"lr": float("nan")}}), "train.optimiser.lr: "),
        (
            changed(train={"batch": 1, "optimiser": {"lr": 0.1, "decay": 0.9, "schedule": "cosine"}}),
            "train.optimiser: Value error, `decay` belongs to the schedule exponential",
        ),
        (changed(augment={"crop": 4, "resized_crop": 0.2}), "`crop` and `resized_crop` exclude each other"),
        (changed(validation=1.0), "validation: "),
        (changed(targets=[0.5, 1.5]), "targets.1: "),
        (changed(seeds=[-1]), "seeds.0: "),
        (changed(probe={"epochs": 1}), "`probe:` belongs to the track unsupervised"),
        (changed(track="unsupervised"), "`probe:` belongs to the track unsupervised"),
        (
            changed(track="unsupervised", probe={}, train={"batch": 1, "steps": 1, "optimiser": {"lr": 0.1}}),
            "`batch: 1` has no halves",
        ),
        (changed(name="../mine"), "a task is named by its file"),
        (changed(clients=True), "clients: "),
        (TEXT + "rounds: 50\n", "broken YAML line 13: the field rounds occurs twice"),
        (TEXT + "public: {size: 3, size: 4}\n", "line 13: the field size occurs twice"),
        (TEXT + "note: [1, 2\n", "broken YAML line 14"),
        (TEXT + "note: &a x\nmethods: *a\n", "line 14: aliases have no place in a task"),
        (TEXT + "note: !!python/object:os.system x\n", "broken YAML line 13"),
        (TEXT + "note: \x00\n", "broken YAML"),
        ("", "holds `field: value` lines"),
        ("- 1\n", "holds `field: value` lines"),
        ("1: 2\n", "holds `field: value` lines"),
        ("[" * 3000, "unreadable YAML: RecursionError"),
        ("rounds: !!int ''\n", "unreadable YAML: IndexError"),
        ("rounds: " + "9" * 5000 + "\n", "unreadable YAML: ValueError"),
        (changed(rounds=None) + "rounds: -0x" + "f" * 5000 + "\n", "rounds: "),
    ],
)
def test_each_mistake_has_its_sentence(text: str, words: str) -> None:
    assert words in fault(text)


def test_a_nest_of_lists_is_shown_in_short() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert len(fault(changed(rounds=deep))) < 400


def test_many_faults_are_counted() -> None:
    sentence = fault(changed(targets=[2.0] * 30))
    assert sentence.count("targets.") == yaml_file.MOST_FAULTS and f"and {30 - yaml_file.MOST_FAULTS} more" in sentence


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6,
)  # fmt: skip


@given(st.sampled_from([*yaml.safe_load(TEXT), "augment", "public", "probe", "methods", "seeds"]), ANY)
def test_whatever_stands_in_a_field_gives_a_task_or_a_sentence(field: str, value: Any) -> None:
    try:
        tasks.parse(changed(**{field: value}), "mine.yaml", "mine")
    except BenchmarkError as error:
        assert error.user and "\n" not in str(error)


@given(st.text(max_size=40) | st.text("{}[]:,-&*!|>'\"%@`#\n ab1", max_size=40))
def test_whatever_stands_in_a_file_gives_a_sentence(text: str) -> None:
    fault(text)


def test_the_hash_covers_numbers_and_no_prose() -> None:
    task = tasks.parse(TEXT, "mine.yaml", "mine")
    for same in ({"note": "x"}, {"seeds": [5]}, {"targets": [0.5]}, {"methods": {"fedntd": {"beta": 2}}}):
        assert tasks.parse(changed(**same), "mine.yaml", "mine").sha256 == task.sha256
    spelled = {
        "evaluate_every": 1,
        "evaluate_last": 1,
        "protocol": 1,
        "validation": 0.0,
        "precision": "fp32",
        "augment": {"crop": 0},
    }
    assert tasks.parse(changed(**spelled), "mine.yaml", "mine").sha256 == task.sha256  # defaults written out
    others = [
        tasks.parse(changed(**other), "mine.yaml", "mine")
        for other in (
            {"rounds": 41}, {"cohort": 6}, {"networks": ["cnn_lite"]}, {"split": {"kind": "shards", "shards": 3}},
            {"augment": {"flip": True}}, {"precision": "bf16"}, {"public": {"size": 3}}, {"draws": "published"},
            {"train": {"batch": 10, "optimiser": {"name": "sgd", "lr": 0.06}}}, {"evaluate_every": 2},
            {"evaluate_last": 2}, {"protocol": 2}, {"augment": {"resized_crop": 0.2}}, {"augment": {"jitter": 0.5}},
            {"train": {"batch": 10, "optimiser": {"name": "sgd", "lr": 0.05, "schedule": "cosine"}}},
        )
    ]  # fmt: skip
    others.append(tasks.parse(TEXT, "mine.yaml", "other"))
    assert len({task.sha256, *(other.sha256 for other in others)}) == len(others) + 1


def test_an_unknown_task_has_a_nearest_name() -> None:
    with pytest.raises(BenchmarkError, match=r"unknown task digit-shards; did you mean digits-shards\?"):
        tasks.load("digit-shards")
    for name in ("", "x" * 5000, "nothing/like/it", "a\0b", "zzz.yaml"):
        with pytest.raises(BenchmarkError, match="unknown task"):
            tasks.load(name)


def test_a_task_may_be_a_file_of_one_s_own(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(TEXT)
    assert tasks.load(str(tmp_path / "own.yaml")) == tasks.parse(TEXT, "", "own")
    (tmp_path / "odd.yaml").write_bytes(b"\xff\xfe\x00rounds: 1")
    with pytest.raises(BenchmarkError, match=r"odd\.yaml: "):
        tasks.load(str(tmp_path / "odd.yaml"))


@pytest.mark.parametrize("name", tasks.names())
def test_a_shipped_task_loads_and_fits(name: str) -> None:
    task = tasks.load(name)
    known = info_of(task.located(task.dataset))
    for extra in (task.public, task.unlabelled):
        assert extra is None or extra.dataset is None or info_of(task.located(extra.dataset)).shape == known.shape
    assert task.evaluate_every <= task.rounds and len(task.seeds) >= (3 if task.tier != "paper" else 1)
    assert list(task.targets) == sorted(task.targets)
    for arch in dict.fromkeys(task.networks):
        height, width, channels = known.shape
        assert build.build(arch, (channels, height, width), len(known.classes))
    for method, settings in task.methods.items():
        if method in method_files.names():
            assert method_files.make(method, settings) and method_files.why_not_applicable(method, task) is None


def test_names_are_file_stems() -> None:
    assert {"digits-shards", "digits-mixed", "cifar10-shards"} <= set(tasks.names())
    assert all(tasks.load(name).name == name for name in tasks.names())


@pytest.mark.parametrize("text", ["1e-2", "1E-2", "+1e-2", "1.e-2", ".1e-1", "0.01", "1.0e-2"])
def test_a_number_may_have_an_exponent_however_it_is_written(text: str) -> None:
    task = tasks.parse(TEXT.replace("lr: 0.05", f"lr: {text}"), "file", "mine")
    assert TEXT.count("lr: 0.05") == 1 and task.train.optimiser.lr == 0.01


@pytest.mark.parametrize("text", ["1e-1", "'1e-1'", '"0.1"', "0.1"])
def test_a_setting_is_the_number_that_a_record_will_hold(text: str) -> None:
    task = tasks.parse(f"{TEXT}methods: {{fedprox: {{mu: {text}}}}}\n", "file", "mine")
    assert task.settings("fedprox") == {"mu": 0.1}


def test_words_that_only_look_like_numbers_stay_words() -> None:
    words = {"a": "1e", "b": "e5", "c": "1e5x", "d": "v1e5"}
    assert yaml_file.parse_yaml("".join(f"{name}: {word}\n" for name, word in words.items()), "file") == words
