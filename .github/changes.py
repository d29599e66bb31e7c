"""Print what a pull request asks to be judged: its methods, and whether records or code of the suite change.

    python changes.py BASE HEAD

Runs in a checkout that holds both commits, and executes nothing of them. Prints `methods=a,b`, `records=true` and
`code=true` (or false) for a workflow's outputs. A path that cannot be judged is one line on stderr and exit code 1.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys

METHOD = re.compile(r"algorithms/(_?[a-z][a-z0-9_]*|__init__)\.py")
RESULTS = re.compile(r"(results/|docs/|LEADERBOARD\.md$|CLAIMS\.md$)")
LINK = "120000"


def git(*words: str) -> str:
    """Output of a git command."""
    done = subprocess.run(["git", *words], check=True, capture_output=True)
    return done.stdout.decode(errors="surrogateescape")


def imports(source: str) -> set[str]:
    """Stems of the method files that a method file imports; a file that does not parse imports none."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return set()
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    inner = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "algorithms"
        for alias in node.names
    }
    return inner | {module.split(".")[1] for module in modules if module.startswith("algorithms.")}


def main(base: str, head: str) -> int:
    """Print the outputs, or what is refused."""
    # Without renames a moved file is a removed and an added one, so that its new name is judged.
    changed = git("diff", "--name-only", "-z", "--no-renames", f"{base}...{head}").split("\0")[:-1]
    entries = [entry.split("\t", 1) for entry in git("ls-tree", "-r", "-z", head).split("\0")[:-1]]
    links = {path for facts, path in entries if facts.startswith(LINK)}
    files = {path for _, path in entries}
    refused = [path for path in changed if path.startswith("algorithms/") and not METHOD.fullmatch(path)]
    for path in refused:
        print(
            f"{path!r}: algorithms/ holds Python files named a-z, 0-9 and _ alone, no data and no folders",
            file=sys.stderr,
        )
    for path in links.intersection(changed):
        print(f"{path!r}: is a link; commit the file itself", file=sys.stderr)
    if refused or links.intersection(changed):
        return 1
    sources = {match[1]: git("show", f"{head}:{path}") for path in files if (match := METHOD.fullmatch(path))}
    touched = {match[1] for path in changed if (match := METHOD.fullmatch(path))}
    while more := {name for name, source in sources.items() if imports(source) & touched} - touched:
        touched |= more
    methods = sorted(name for name in touched & sources.keys() if not name.startswith("_"))
    others = [path for path in changed if not METHOD.fullmatch(path) and not RESULTS.match(path)]
    print(f"methods={','.join(methods)}")
    print(f"records={str(any(map(RESULTS.match, changed))).lower()}")
    print(f"code={str(any(not path.startswith('tests/') for path in others)).lower()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
