"""The pipeline through DVC itself, in a clone whose `fedrepro` writes records by hand instead of training."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmark.core.tasks.task import names
from benchmark.core.version import ENGINE, PROTOCOL
from benchmark.pipeline import listing
from benchmark.pipeline import stages as pipeline
from helpers.handmade_records import TASK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b")
STUB = """#!{python}
import sys
sys.path[:0] = [{tests!r}]
import json
from pathlib import Path
from helpers.handmade_records import make, write
method, seed = sys.argv[2], int(sys.argv[-1])
facts = json.loads(Path("results/methods", f"{{method}}.json").read_text())
split = json.loads(Path("results/{task}/split.json").read_text())[str(seed)]["sha256"]
made = make(method, seed, settings={{name: field["default"] for name, field in facts["fields"].items()}})
hashes = made.hashes.model_copy(update={{"algorithm": facts["sha256"], "split": split}})
write(Path("results"), made.model_copy(update={{"hashes": hashes}}))
"""
OWN = re.compile(
    r"algorithms/NAME\.py|results/methods/NAME\.json|results/[^/]*/NAME/.*".replace("NAME", "(first|second)")
)
GENERATED = re.compile(
    r"LEADERBOARD\.md|CLAIMS\.md|docs/(boards|papers|pictures)/.*|results/(tables|metrics|curves)/.*|dvc\.lock"
)
REBUILD = "from benchmark.pipeline.stages import *; rebuild(Path('.'))"
SETUP = """
from benchmark.core.storage.checksummed_json import dump_checksummed
from benchmark.pipeline.stages import *
write_methods(RESULTS), write_datasets(RESULTS)
(RESULTS / {task!r}).mkdir()
write_protocol(RESULTS, {task!r})
(RESULTS / {task!r} / "split.json").write_text(dump_checksummed({{"task": {task!r}, "0": {{"sha256": "ab" * 32}}}}))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two methods, two tasks and two cells, as it is after `fedrepro rebuild` and `dvc repro`."""
    root = tmp_path_factory.mktemp("pipeline") / "suite"
    for name in ("benchmark", "algorithms"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", "dvc.yaml", "params.yaml", "results/claims.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for path in (root / "algorithms").glob("[a-z]*.py"):
        if path.stem not in ("fedavg", "fedntd"):
            path.unlink()
    for path in (root / "benchmark" / "tasks").glob("*.yaml"):
        if path.stem not in (TASK, "cifar10-shards"):
            path.unlink()
    path = root / "benchmark" / "tasks" / f"{TASK}.yaml"
    content = yaml.safe_load(path.read_text())
    content["methods"] |= {"fedntd": {"tau": 3.0}}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    program = root / ".bin" / "fedrepro"
    program.parent.mkdir()
    program.write_text(STUB.format(python=sys.executable, tests=str(ROOT / "tests"), task=TASK))
    program.chmod(0o755)
    (root / ".gitignore").write_text("__pycache__/\n")
    _git(root, "init", "-q")
    _run(root, "python", "-c", SETUP.format(task=TASK))
    for method in ("fedavg", "fedntd"):
        _run(root, "fedrepro", "run", method, "--task", TASK, "--seed", "0")
    _run(root, "python", "-c", REBUILD)
    assert _repro(root) == {"report"}  # DVC agrees with every lock file
    _git(root, "add", "-A")
    _git(root, *AUTHOR, "commit", "-qm", "suite")
    return root


def _run(root: Path, *command: str) -> str:
    path = os.pathsep.join([str(root / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _git(root: Path, *arguments: str) -> str:
    return _run(root, "git", *arguments)


def _repro(root: Path, *targets: str) -> set[str]:
    """Names of the stages that ran, without their pipeline's path."""
    lines = _run(root, "dvc", "repro", *targets).splitlines()
    return {line.split("'")[1].split(":")[-1] for line in lines if line.startswith("Running stage")}


def test_a_fresh_clone_is_up_to_date_without_data(clone: Path, tmp_path: Path) -> None:
    _run(tmp_path, "git", "clone", "-q", str(clone), "suite")
    root = tmp_path / "suite"
    assert _repro(root) == {"report"}  # the page is in no git, and needs records alone
    assert _git(root, "status", "--short") == ""
    assert (root / "report.html").exists() and _repro(root) == set()


def test_metrics_of_two_revisions(clone: Path, tmp_path: Path) -> None:
    _run(tmp_path, "git", "clone", "-q", str(clone), "suite")
    root = tmp_path / "suite"
    path = root / "results" / "metrics" / TASK / "fedntd.json"
    path.write_text(path.read_text().replace('"accuracy": 50.0', '"accuracy": 51.0'))
    changed = {path.relative_to(root).as_posix(): {"accuracy": {"old": 50.0, "new": 51.0, "diff": 1.0}}}
    assert json.loads(_run(root, "dvc", "metrics", "diff", "--json")) == changed


def _submitted(root: Path, name: str, parent: str) -> set[str]:
    """A branch with a method, its record and what follows; returns the files that differ from the branch before."""
    _git(root, "checkout", "-q", "-b", name)
    text = (ROOT / "algorithms" / f"{parent}.py").read_text()
    (root / "algorithms" / f"{name}.py").write_text(text)
    _run(root, "python", "-c", "from benchmark.pipeline.stages import *; write_methods(RESULTS)")
    _run(root, "fedrepro", "run", name, "--task", TASK, "--seed", "0")
    _run(root, "python", "-c", REBUILD)
    _git(root, "add", "-A")
    _git(root, *AUTHOR, "commit", "-qm", name)
    return set(_git(root, "diff", "--name-only", "HEAD~1").split())


def test_two_submissions_conflict_in_generated_files_alone(clone: Path, tmp_path: Path) -> None:
    _run(tmp_path, "git", "clone", "-q", str(clone), "suite")
    root = tmp_path / "suite"
    base = _git(root, "branch", "--show-current").strip()
    for name, parent in (("first", "fedprox"), ("second", "fednova")):  # neighbours in every sorted list
        _git(root, "checkout", "-q", base)
        changed = _submitted(root, name, parent)
        own = {path for path in changed if OWN.fullmatch(path)}
        assert f"results/{TASK}/{name}/dvc.lock" in own
        assert {path for path in changed - own if not GENERATED.fullmatch(path)} == set()
    done = subprocess.run(["git", *AUTHOR, "merge", "-q", "first"], cwd=root, capture_output=True, check=False)
    conflicts = _git(root, "diff", "--name-only", "--diff-filter=U").split()
    assert done.returncode == 1 and {path for path in conflicts if not GENERATED.fullmatch(path)} == set()
    _run(root, "python", "-c", REBUILD)
    _git(root, "add", "-A")
    _git(root, *AUTHOR, "commit", "-qm", "both")
    board = (root / "results" / "tables" / f"{TASK}.csv").read_text()
    assert sorted(line.split(",")[0] for line in board.splitlines()[1:]) == ["fedavg", "fedntd", "first", "second"]
    assert _repro(root) == {"report"}  # whose entry is all that DVC adds
    assert _git(root, "status", "--short") == " M dvc.lock\n"


def test_prose_reruns_no_cell_and_code_only_its_own(clone: Path) -> None:
    path = clone / "algorithms" / "fedntd.py"
    source = path.read_text()
    path.write_text("# a remark\n" + source.replace('"""FedNTD:', '"""FedNTD, in other words:', 1))
    assert _repro(clone) - {"board", "report"} == {"methods"}  # the report shows a method's source
    path.write_text(source.replace("hyper(1.0", "hyper(1.5", 1))
    assert path.read_text() != source
    assert _repro(clone) - {"board", "report"} == {"methods", "cell@0", f"table@{TASK}"}


def test_tuned_values_rerun_one_method_and_open_cells_stay_open(clone: Path) -> None:
    path = clone / "benchmark" / "tasks" / f"{TASK}.yaml"
    content = yaml.safe_load(path.read_text())
    content["methods"] |= {"fedntd": {"tau": 2.0}, "feddf": {}}
    path.write_text(yaml.safe_dump(content | {"note": "prose"}, sort_keys=False))
    ran = _repro(clone)
    assert [name for name in ran if name.startswith("cell")] == ["cell@0"]  # FedNTD's: FedAvg's depends on no value
    assert "split" not in ran
    assert not list((clone / "results" / "cifar10-shards").glob("*/*.json"))


def test_a_record_is_a_cell_and_a_task_without_records_has_no_pipeline(clone: Path) -> None:
    files = (clone / "results" / TASK).glob("*/dvc.yaml")
    seeds = {path.parent.name: yaml.safe_load(path.read_text())["stages"]["cell"]["foreach"] for path in files}
    assert seeds == {"fedavg": [0], "fedntd": [0]}
    assert yaml.safe_load((clone / "results" / "tasks.yaml").read_text()) == {"tasks": [TASK]}
    assert not (clone / "results" / "cifar10-shards").exists()


def test_the_picture_names_every_kind_of_stage(clone: Path) -> None:
    picture = _run(clone, "dvc", "dag", "--collapse-foreach-matrix", "--md", "board")
    inner = [f"results/{TASK}/dvc.yaml:protocol", f"results/{TASK}/dvc.yaml:split"]
    inner += [f"results/{TASK}/{method}/dvc.yaml:cell" for method in ("fedavg", "fedntd")]
    for stage in ("datasets", "methods", "table", "board", *inner):
        assert f'"{stage}"' in picture


def test_params_are_the_versions_in_the_code() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == {"engine": ENGINE, "protocol": PROTOCOL}


def test_listing_a_task_repeats_itself(tmp_path: Path) -> None:
    for name in names():
        assert listing.listing(tmp_path, name) == listing.listing(tmp_path, name)


def test_an_unknown_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.main(["nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no stage nonsense") and error.count("\n") == 1
