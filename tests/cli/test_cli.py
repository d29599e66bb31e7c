"""The command line from outside: what it prints, how it fails, with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import invoke, jobs
from benchmark.core.backends.ray_backend import RayBackend
from benchmark.core.errors import BenchmarkError, explain
from benchmark.experiments import cluster_executors
from benchmark.experiments.cell import Cell
from benchmark.experiments.progress import Outcome
from benchmark.paths import OWN, SHIPPED
from helpers.handmade_records import make, write

TASK = "digits-shards"


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a user's mistake leaves on stderr; nothing on stdout, exit code 2."""
    assert invoke(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fedrepro: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rn fedavg", "did you mean 'run'"),
        ("run fedavgg --task digits-shards", "unknown method fedavgg; did you mean fedavg?"),
        ("run fedavg --task digits-shard", "unknown task digits-shard; did you mean digits-shards?"),
        ("run fedavg", "missing option '--task'"),
        ("run fedavg --task digits-shards --round 2", "--rounds"),
        ("run fedavg --task digits-shards --seed -1", "'--seed'"),
        ("run fedavg --task digits-shards --rounds 0 --out x", "'--rounds'"),
        ("run fedavg --task digits-shards --workers 0", "'--workers'"),
        ("run fedavg --task digits-shards --precision fp16", "'fp16' is not one of 'fp32', 'bf16'"),
        ("run fedavg --task digits-shards --rounds 3", "rounds 3 instead of 30); add --out folder"),
        ("run fedavg --task digits-shards --rounds 3 --out results", "rounds 3 instead of 30); add --out folder"),
        ("run fedavg --task digits-shards --ray auto --backend stacked", "--backend stacked keeps to this machine"),
        ("run fedntd --task digits-shards --set beta=2", "beta set to 2); add --out folder"),
        ("run fedntd --task digits-shards --precision bf16", "precision bf16 instead of fp32); add --out folder"),
        ("run fedntd --task digits-shards --out x --set bata=2", "no field bata; did you mean beta?"),
        ("run fedntd --task digits-shards --out x --set beta=-1", "fedntd.beta is -1.0, but must be at least 0"),
        ("run fedntd --task digits-shards --out x --set beta=two", "fedntd.beta: "),
        ("run fedntd --task digits-shards --out x --set beta", "--set beta is not name=value"),
        ("list planets", "'planets' is not one of 'tasks', 'methods', 'nets', 'datasets'"),
        ("data get cifar11", "unknown dataset 'cifar11'; did you mean cifar10?"),
        ("data get svhn", "get it: fedrepro data get svhn --download"),
        ("golden nowhere.npz", "nowhere.npz: no such file"),
        ("bench --methods fedavgg", "unknown method fedavgg; did you mean fedavg?"),
        ("bench --seeds one", "--seeds one is not a list of numbers"),
        ("campaign --dry-run --tasks digits", "unknown task digits; did you mean digits-"),
        ("campaign --dry-run --tier huge", "unknown tier huge"),
        ("board --tasks digit-shards", "unknown task digit-shards; did you mean digits-shards?"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], words: str, expected: str
) -> None:
    assert expected in fails(capsys, *words.split()).lower()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("rounds: 30", "rounds: [40"), "broken YAML line "),
        (("rounds: 30", "rounds: forty"), "rounds: "),
        (("rounds: 30", "roundz: 40"), "unknown field roundz, did you mean rounds?"),
        (("clients: 20", "clients: 0"), "clients: "),
        (("dataset: digits", "dataset: digit"), "unknown dataset 'digit'; did you mean digits?"),
        (("clients: 20", "clients: 2000"), "sample"),
        (("networks: [mlp]", "networks: [mpl]"), "unknown network 'mpl'; did you mean 'mlp'?"),
    ],
)
def test_a_broken_task_file_is_named_with_its_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    given = (Path(__file__).parents[2] / "benchmark" / "tasks" / f"{TASK}.yaml").read_text()
    assert change[0] in given
    path = tmp_path / "mine.yaml"
    path.write_text(given.replace(*change))
    words = ("run", "fedavg", "--task", str(path), "--out", str(tmp_path / "out"), "--workers", "1", "--json")
    assert expected in fails(capsys, *words)
    assert not list(tmp_path.rglob("*.json"))


def test_files_of_one_s_own_require_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    method = Path(__file__).parents[2] / "algorithms" / "fedavg.py"
    own = shutil.copy(method, tmp_path / "mine.py")
    assert "mine.py is a file of your own" in fails(capsys, "run", str(own), "--task", TASK)
    task = Path(__file__).parents[2] / "benchmark" / "tasks" / f"{TASK}.yaml"
    same = shutil.copy(task, tmp_path / f"{TASK}.yaml")
    assert f"{TASK}.yaml is a file of your own" in fails(capsys, "run", "fedavg", "--task", str(same))


def run_json(capsys: pytest.CaptureFixture[str], out: Path, *more: str) -> list[dict[str, object]]:
    """Lines of a run of three rounds in this process."""
    words = ["run", "fedntd", "--task", TASK, "--rounds", "3", "--workers", "1", "--out", str(out), "--json", *more]
    assert invoke(words) == 0
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    return [json.loads(line) for line in stdout.splitlines()]


def test_json_is_a_line_per_round_and_the_record_last(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    *rounds, record = run_json(capsys, tmp_path, "--set", "beta=0.5")
    assert [line["round"] for line in rounds] == [1, 2, 3]
    # The task judges every second round, and the last one is always judged.
    assert ["accuracy" in line for line in rounds] == [False, True, True]
    # Five clients send the mlp of 8 x 8 digits: each round moves the same bytes, and both ways alike.
    ups = [line["bytes_up"] for line in rounds]
    assert ups == [ups[0] * i for i in (1, 2, 3)] and ups == [line["bytes_down"] for line in rounds]  # type: ignore[operator]
    assert record["departures"] == ["beta set to 0.5", "rounds 3 instead of 30"]
    assert record == json.loads((tmp_path / TASK / "fedntd" / "0.json").read_text())
    assert record["result_sha256"]
    # Again: nothing is run, the same record is printed.
    assert run_json(capsys, tmp_path, "--set", "beta=0.5") == [record]


def test_for_people_a_run_is_a_line_and_where_its_record_lies(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["run", "fedavg", "--task", TASK, "--rounds", "1", "--workers", "1", "--out", str(tmp_path)]
    assert invoke(words) == 0
    line, record = capsys.readouterr().out.splitlines()
    assert line.startswith(f"[1/1] {TASK} fedavg seed 0: accuracy ") and " MB up, " in line
    assert str(tmp_path / TASK / "fedavg" / "0.json") in record and "result_sha256: " in record
    assert invoke(words) == 0
    assert capsys.readouterr().out.startswith("done before; nothing was run\n")


def test_a_damaged_record_is_no_user_s_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / TASK / "fedavg" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert invoke(["run", "fedavg", "--task", TASK, "--out", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"fedrepro: {path}: not a record") and "delete it to run the cell again" in message
    assert path.read_text() == "{"


def test_what_nobody_expected_is_one_line_too_and_a_traceback_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[dict[str, object]]:
        raise ZeroDivisionError("of\nall things")

    monkeypatch.setattr("benchmark.core.data.status.status", broken)
    assert invoke(["data", "status"]) == 1
    line = "fedrepro: ZeroDivisionError: of all things; run again with --debug for the traceback\n"
    assert capsys.readouterr().err == line
    with pytest.raises(ZeroDivisionError):
        invoke(["data", "status"], debug=True)


def test_options_of_every_command_stand_before_it_or_after_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(OWN, "")
    (tmp_path / "mine.py").write_text((SHIPPED / "fedavg.py").read_text())
    folder, command = f"--algorithms={tmp_path}", ["cite", "mine"]
    assert "unknown method mine" in fails(capsys, *command)
    for words in ([folder, *command], [*command, folder], [*command, "--algorithms", str(tmp_path)]):
        os.environ[OWN] = ""
        assert invoke(words) == 0 and "McMahan" in capsys.readouterr().out
    assert "no such folder" in fails(capsys, *command, f"--algorithms={tmp_path / 'none'}")
    monkeypatch.setattr("benchmark.submission.scaffold.cite", lambda name: 1 / 0)
    for words in (["--debug", *command], [*command, "--debug"]):
        with pytest.raises(ZeroDivisionError):
            invoke(words)
    assert invoke(command) == 1  # it holds for one command line


@pytest.mark.slow
def test_the_package_is_a_program_and_logs_on_request(tmp_path: Path) -> None:
    words = ["run", "fedavg", "--task", TASK, "--rounds", "1", "--workers", "1", "--out", str(tmp_path)]
    for more, logged in (([], False), (["-v"], True)):
        program = [sys.executable, "-m", "fedrepro", *words, *more]
        done = subprocess.run(program, capture_output=True, text=True, cwd=SHIPPED.parent, check=True)
        assert ("valid, nothing to run" in done.stderr) == logged
    assert "done before; nothing was run" in done.stdout


@pytest.mark.parametrize(
    ("module", "extra", "words"),
    [
        ("flwr", "flower", f"flower fd --task {TASK}"),
        ("altair", "report", "report --results records --out report.html"),
        ("torch.utils.tensorboard", "tensorboard", f"export records/{TASK}/fedavg/0.json --tensorboard boards"),
    ],
)
def test_a_missing_extra_is_named_with_what_installs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    module: str, extra: str, words: str,
) -> None:  # fmt: skip
    write(tmp_path / "records", make("fedavg", 0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    assert f"install it: pip install 'fedrepro[{extra}]'" in fails(capsys, *words.split())
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_clusters_name_the_extra_that_they_lack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting: Any = None  # of a cell; nobody looks at it
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(BenchmarkError, match=r"Ray is not installed; install it: pip install 'fedrepro\[ray\]'"):
        cluster_executors.RayExecutor(tmp_path, "auto")
    with pytest.raises(BenchmarkError, match="Ray is not installed"):
        RayBackend(setting, "cell", "auto", lambda client: 1)
    with pytest.raises(BenchmarkError, match=r"submitit is not installed; install it: pip install 'fedrepro\[slurm\]'"):
        cluster_executors.SlurmExecutor(tmp_path, {}, 1)


def test_a_full_disk_is_named() -> None:
    line, code = explain(OSError(28, "No space left on device", "records/0.json"))
    assert line == "records/0.json: the disk is full; free some space, then repeat the command" and code == 1


@pytest.mark.parametrize("what", ["tasks", "methods", "nets", "datasets"])
def test_lists_are_json_on_request(capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert invoke(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = [next(iter(row.values())) for row in rows]
    expected = {"tasks": TASK, "methods": "fedntd", "nets": "mlp", "datasets": "digits"}
    assert expected[what] in names


def test_data_status_says_how_to_get_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["data", "status", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["digits"]["state"] in ("available", "cached")
    assert rows["svhn"]["state"] == "missing" and rows["svhn"]["command"] == "fedrepro data get svhn --download"


def test_a_packed_mirror_serves_as_a_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert invoke(["data", "pack", "digits", str(tmp_path)]) == 0
    monkeypatch.setenv("FEDREPRO_MIRROR", str(tmp_path))
    assert invoke(["data", "status", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert next(row for row in rows if row["name"] == "digits")["sources"] == ["embedded", "mirror"]


def test_split_shows_two_classes_per_client(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["split", TASK, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert len(table["clients"]) == 20
    assert all(1 <= sum(count > 0 for count in client["counts"]) <= 2 for client in table["clients"])


def test_board_and_claims_are_json_on_request(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert invoke(["run", "fedavg", "--task", TASK, "--rounds", "1", "--workers", "1", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert invoke(["board", "--results", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)[TASK]
    assert row["method"] == "fedavg" and not row["comparable"] and "rounds 1 instead of 30" in row["remarks"]
    assert invoke(["claims", "--results", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_diverged_run_ends_with_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["run", "fedavg", "--task", TASK, "--rounds", "1", "--set", "train.lr=1e30", "--workers", "1"]
    for _ in range(2):  # the second one finds the record
        assert invoke([*words, "--out", str(tmp_path)]) == 1
    assert "diverged" in capsys.readouterr().out


def test_a_failed_cell_fails_its_campaign() -> None:
    cell = Cell(TASK, "fedavg")
    jobs.fail_if_any([Outcome(cell, make("fedavg", 0, accuracy=None), 1.0)])  # a diverged cell is done
    with pytest.raises(BenchmarkError, match="1 of 1 cells failed") as caught:
        jobs.fail_if_any([Outcome(cell, None, 1.0, "out of memory")])
    assert not caught.value.user


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_the_same_command_resumes(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from benchmark.cli import main; main()"]
    words = ["run", "fedavg", "--task", TASK, "--rounds", "2000", "--out", str(tmp_path), "--json", "--workers", "1"]
    process = subprocess.Popen(
        [*program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and json.loads(process.stdout.readline())["round"] == 1
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate()
    assert stderr.strip() == "fedrepro: interrupted: the same command resumes" and process.returncode == 1
    assert not list(tmp_path.rglob("0.json"))
