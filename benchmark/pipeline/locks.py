"""Lock files of DVC, written without DVC: that what lies on disk is what the stages make.

`dvc commit` does the same at a second per stage, since it reads and writes a whole lock file for each; `dvc status`
confirms what is written here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from benchmark.core.storage.atomic_files import write_atomic

Stage = dict[str, Any]


class LockWriter:
    """Writes lock files; remembers hashes, so one writer serves one state of the files.

    Args:
        root: The repository.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, Stage] = {}
        self.parameters: dict[str, Any] = {}
        ignored = (
            (root / ".dvcignore").read_text(encoding="utf-8").split("\n") if (root / ".dvcignore").exists() else []
        )
        self.ignored = [line for line in ignored if line and not line.startswith(("#", "/"))]

    def write(self, pipeline: Path, leave_out: Collection[str] = ()) -> None:
        """Write the lock file beside a pipeline file.

        Args:
            pipeline: A dvc.yaml.
            leave_out: Stages that get no entry, so that DVC runs them.
        """
        content = read_yaml(pipeline)
        variables: dict[str, Any] = {}
        for name in content.get("vars", []):
            variables |= read_yaml(pipeline.parent / name)
        stages = {
            name: self._entry(stage) for name, stage in expanded(content["stages"], variables) if name not in leave_out
        }
        text = yaml_text({"schema": "2.0", "stages": stages})
        path = pipeline.with_name("dvc.lock")
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomic(path, text, sync=False)

    def _entry(self, stage: Stage) -> Stage:
        entry: Stage = {"cmd": stage["cmd"]}
        for kind, sections in (("deps", ["deps"]), ("outs", ["outs", "metrics"])):
            listed = [one for section in sections for one in stage.get(section, [])]
            names = sorted(next(iter(one)) if isinstance(one, dict) else one for one in listed)
            if names:
                entry[kind] = [{"path": name, **self.digest(name)} for name in names]
        if params := self._values(stage.get("params", [])):
            entry["params"] = params
        return {key: entry[key] for key in ("cmd", "deps", "params", "outs") if key in entry}

    def _values(self, params: Iterable[str | Mapping[str, list[str]]]) -> dict[str, dict[str, Any]]:
        """Values of parameters by file, as they are now."""
        files: dict[str, list[str]] = {}
        for one in params:
            for file, names in ({"params.yaml": [one]} if isinstance(one, str) else one).items():
                files.setdefault(file, []).extend(names)
        return {
            file: {name: self._value(file, name) for name in sorted(names)} for file, names in sorted(files.items())
        }

    def _value(self, file: str, name: str) -> Any:
        if file not in self.parameters:
            path = self.root / file
            self.parameters[file] = json.loads(path.read_bytes()) if path.suffix == ".json" else read_yaml(path)
        value = self.parameters[file]
        for part in name.split("."):
            value = value[part]
        return value

    def digest(self, name: str) -> Stage:
        """Hash, size and, of a folder, number of files, as DVC computes them."""
        if name not in self.hashes:
            path = self.root / name
            self.hashes[name] = self._folder(path) if path.is_dir() else _file(path)
        return self.hashes[name]

    def _folder(self, path: Path) -> Stage:
        files = {file.relative_to(path).as_posix(): _file(file) for file in self._files(path)}
        rows = [{"md5": files[name]["md5"], "relpath": name} for name in sorted(files)]
        digest = hashlib.md5(json.dumps(rows, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        sizes = sum(facts["size"] for facts in files.values())
        return {"hash": "md5", "md5": f"{digest}.dir", "size": sizes, "nfiles": len(files)}

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in folder.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in self.ignored):
                continue
            if path.is_dir():
                yield from self._files(path)
            else:
                yield path


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, by libyaml where it is there."""
    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def yaml_text(content: Any) -> str:
    """The same for writing; long lines are not folded."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False, width=1000))


def _file(path: Path) -> Stage:
    data = path.read_bytes()
    return {"hash": "md5", "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(), "size": len(data)}


def expanded(stages: Mapping[str, Stage], variables: Mapping[str, Any]) -> Iterator[tuple[str, Stage]]:
    """Stages by name, those with `foreach` once for each item."""
    for name, stage in stages.items():
        if "foreach" not in stage:
            yield name, stage
            continue
        items = stage["foreach"]
        for item in variables[items[2:-1]] if isinstance(items, str) else items:
            yield f"{name}@{item}", json.loads(json.dumps(stage["do"]).replace("${item}", str(item)))
