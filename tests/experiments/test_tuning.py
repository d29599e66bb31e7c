"""Tuning: the declared points, what they are judged on, the choice, and where a task finds it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmark.core import method_files
from benchmark.core.client import federation_data
from benchmark.core.errors import BenchmarkError
from benchmark.core.storage.checksummed_json import dump_checksummed, load_checksummed
from benchmark.core.tasks import task as tasks
from benchmark.core.version import PROTOCOL
from benchmark.experiments import tuning
from benchmark.experiments.cell import Cell
from benchmark.experiments.tuning import Point, Tuning, grid
from benchmark.records import tuned as records_tuned
from benchmark.records.tuned import load_task
from helpers.handmade_records import make, result

TASK = "digits-shards"  # learning rate 0.1, validation 0.1, 30 rounds


@pytest.mark.parametrize("name", tasks.names())
def test_every_method_has_the_same_number_of_points_that_it_can_run(name: str) -> None:
    task = tasks.load(name)
    for method in method_files.names():
        if method_files.why_not_applicable(method, task) is None:
            points = grid(method, task)
            assert len(points) == tuning.POINTS and points[0] == {}
            assert len({tuning.spelled(point) for point in points}) == tuning.POINTS
            for point in points:
                assert Cell(name, method, tuning.SEED, point).prepare()
    assert tuning.SEED not in task.seeds


def test_points_are_steps_of_the_rate_and_of_the_first_number_with_a_symbol() -> None:
    task = tasks.load(TASK)
    rates = [{"train.lr": 0.0333}, {"train.lr": 0.3}]
    assert grid("fedntd", task) == [{}, *rates, {"beta": 0.1}, {"beta": 0.333}, {"beta": 3.0}]
    # beta is 0.7 of at most 1: steps of 0.3, the distance to 1
    assert grid("fedavgm", task) == [{}, *rates, {"beta": 0.97}, {"beta": 0.9}, {"beta": 0.1}]
    assert grid("fedavg", task) == [{}, *rates, {"train.lr": 0.01}, {"train.lr": 0.05}, {"train.lr": 0.2}]
    set_ = task.model_copy(update={"methods": {"fedntd": {"beta": 2.0, "train.lr": 0.3}}})
    assert grid("fedntd", set_)[1:4] == [{"train.lr": 0.1}, {"train.lr": 0.9}, {"beta": 0.2}]


@pytest.mark.parametrize(("beta", "points"), [(0.4, [0.04, 0.133, 1.0]), (0.6, [0.96, 0.867, 0.0])])
def test_no_point_leaves_the_range(beta: float, points: list[float]) -> None:
    """Three times 0.4 is 1.2, beyond 1; three times 0.4, the distance of 0.6 to 1, is more than there is to 0."""
    task = tasks.load(TASK).model_copy(update={"methods": {"fedavgm": {"beta": beta}}})
    assert grid("fedavgm", task)[3:] == [{"beta": value} for value in points]


def test_models_are_judged_on_held_out_training_images() -> None:
    task = tuning.shortened(tasks.load(TASK))
    assert (task.rounds, task.judge, task.evaluate_every) == (7, "validation", 1)
    made = federation_data.load_federation_data(task, tuning.SEED)
    assert made.validation is not None and made.test.images is made.private.images
    assert list(made.test.rows) == list(made.validation.rows)
    assert not set(made.test.rows) & {row for part in made.parts for row in part}
    assert tuning.shortened(tasks.load("digits-personal")).evaluate_every == 2  # of 10 rounds: the adapted models count
    without = tasks.load("digits-unsup")
    assert not without.validation and tuning.shortened(without).validation == tuning.VALIDATION


def test_the_first_of_the_best_points_is_chosen_and_divergence_is_worst() -> None:
    points = [Point(settings={"a": i}, score=score, seconds=1) for i, score in enumerate((None, 0.0, 0.4, 0.4))]
    assert tuning._best(points) == {"a": 2}
    assert tuning._best(points[:1]) == {"a": 0}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one tuning in them, interrupted once."""
    results = tmp_path_factory.mktemp("results")
    job, rounds = Tuning(TASK, "fedavg"), 0

    def stop(event: dict[str, object]) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 16:  # in the third point
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(results, observer=stop)
    assert not job.path(results).exists()
    seen: list[tuple[int, int]] = []
    job.run(results, observer=lambda event: seen.append((event["round"], event["rounds"])))
    assert seen == [(round_, 42) for round_ in range(15, 43)]  # the two points before are not run again
    return results


def test_a_tuning_resumes_and_leaves_its_record_alone(tuned: Path) -> None:
    made = tuning.read(Tuning(TASK, "fedavg").path(tuned))
    assert [point.settings for point in made.points] == grid("fedavg", tasks.load(TASK))
    scores = [point.score for point in made.points]
    assert made.chosen == made.points[scores.index(max(scores, key=lambda score: score or 0))].settings
    assert [path.name for path in (tuned / TASK / "tuning").iterdir()] == ["fedavg.json"]
    assert Tuning(TASK, "fedavg").run(tuned, observer=lambda event: pytest.fail("ran again")) == made


def test_a_task_has_what_was_chosen_and_its_hash_stays(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tasks.load(TASK)
    path = tuned / TASK / "tuning" / "fedntd.json"
    content = load_checksummed((tuned / TASK / "tuning" / "fedavg.json").read_bytes())
    path.write_text(dump_checksummed(content | {"algorithm": "fedntd", "chosen": {"train.lr": 0.05, "beta": 3.0}}))
    monkeypatch.setattr(records_tuned, "RESULTS", tuned)
    task, ready = load_task(TASK), Cell(TASK, "fedntd").prepare()
    assert task.settings("fedntd") == {"train.lr": 0.05, "beta": 3.0} and task.sha256 == before.sha256
    assert ready.task.train.optimiser.lr == 0.05 and ready.settings == {"beta": 3.0, "tau": 1.0, "train.lr": 0.05}
    with pytest.raises(BenchmarkError, match=r"chosen is beta=3, train.lr=0.05, but the best point is"):
        tuning.read(path)
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="not the record of a tuning"):
        load_task(TASK)
    path.unlink()


def test_no_damage_to_a_tuning_goes_unnoticed(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty flipped bits, forty cuts, and the file of another method, whether a task or a board asks."""
    path, draw = tuned / TASK / "tuning" / "fedavg.json", random.Random(0)
    whole = path.read_bytes()
    monkeypatch.setattr(records_tuned, "RESULTS", tuned)
    damages = [whole[: draw.randrange(len(whole))] for _ in range(40)]
    for _ in range(40):
        place, bit = draw.randrange(len(whole)), draw.randrange(8)
        damages.append(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    for data in damages:
        path.write_bytes(data)
        for use in (lambda: load_task(TASK), lambda: tuning.read(path)):
            with pytest.raises(BenchmarkError, match=r"a tuning: it(s bytes have changed| is truncated)"):
                use()
    path.write_text(dump_checksummed(load_checksummed(whole) | {"algorithm": "fedntd"}))
    with pytest.raises(BenchmarkError, match="it belongs to fedntd on"):
        load_task(TASK)
    path.write_bytes(whole)
    assert load_task(TASK).tuned["fedavg"] == tuning.read(path).chosen


def test_a_tuning_stands_for_its_task_and_method_alone(tuned: Path) -> None:
    task, made = tasks.load(TASK), tuning.read(Tuning(TASK, "fedavg").path(tuned))
    assert tuning.stale(made, task, made.algorithm_sha256) == ""
    assert tuning.stale(made, task, "ab" * 32) == "its method has changed"
    assert tuning.stale(made, task.model_copy(update={"rounds": 31}), made.algorithm_sha256) == "its task has changed"
    moved = task.model_copy(update={"methods": {"fedavg": {"train.lr": 0.3}}})
    assert tuning.stale(made, moved, made.algorithm_sha256) == "its task gives the method other values"


def test_an_old_tuning_is_done_again_on_a_seed_of_no_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.load(TASK).model_copy(update={"methods": {"fedavg": {"train.lr": 0.3}}})
    cells: list[Cell] = []

    def point(one: Cell, *rest: object) -> Point:
        cells.append(one)
        return Point(settings=one.settings, score=0.5, seconds=1)

    monkeypatch.setattr(tuning, "_point", point)
    monkeypatch.setattr(tasks, "load", lambda name: task)
    job = Tuning(TASK, "fedavg")
    made = job.run(tmp_path)
    assert made.given == {"train.lr": 0.3} and [one.seed for one in cells] == [tuning.SEED] * tuning.POINTS
    assert job.run(tmp_path) == made and len(cells) == tuning.POINTS
    moved = task.model_copy(update={"rounds": 31})
    monkeypatch.setattr(tasks, "load", lambda name: moved)
    assert job.run(tmp_path).task_sha256 == moved.sha256 and len(cells) == 2 * tuning.POINTS


def test_a_point_is_judged_on_its_last_rounds_or_on_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make("fedavg", 0, result=result(0.5) | {"accuracy_last5": 0.3})
    monkeypatch.setattr(tuning.running, "run", lambda *given, **more: made)
    for at_end, score in ((False, 0.3), (True, 0.5)):
        assert tuning._point(Cell(TASK, "fedavg"), tmp_path, at_end, 1, lambda event: None).score == score
    probed = tuning.shortened(tasks.load("fmnist-unsup"))
    assert probed.evaluate_every == probed.rounds > 1  # a probe costs like training


def test_what_was_chosen_before_is_no_part_of_a_tuning(tuned: Path) -> None:
    task, made = tasks.load(TASK), tuning.read(Tuning(TASK, "fedavg").path(tuned))
    assert tuning.shortened(task.model_copy(update={"tuned": {"fedavg": {"train.lr": 0.3}}})).tuned == {}
    old = made.model_copy(update={"protocol": PROTOCOL - 1})
    assert tuning.stale(old, task, made.algorithm_sha256) == f"protocol {PROTOCOL - 1}, now {PROTOCOL}"


def test_the_learning_rate_is_a_setting_like_any_other() -> None:
    assert Cell(TASK, "fedavg", settings={"train.lr": "0.5"}).prepare().task.train.optimiser.lr == 0.5
    assert Cell(TASK, "fedavg", settings={"train.lr": "0.5"}).departures == ["train.lr set to 0.5"]
    for wrong in ("fast", "-1", "nan", "0"):
        with pytest.raises(BenchmarkError, match=f"train.lr is {wrong}; choose a finite number above 0"):
            Cell(TASK, "fedavg", settings={"train.lr": wrong}).prepare()
