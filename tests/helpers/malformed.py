"""Malformed input of every kind, drawn from a seed: changed bytes, changed trees, command lines with a mistake."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmark.core import method_files
from benchmark.core.errors import BenchmarkError
from benchmark.core.tasks import task as tasks

Attempt = tuple[Any, Callable[[], Any]]  # the input, and what takes it
SECONDS = 20  # of work on one input: more is a hang
WORDS = (
    "",
    " ",
    "\0",
    "-",
    "--",
    "-1",
    "0",
    "1",
    "1e999",
    "nan",
    "inf",
    "9" * 400,
    "0x10",
    "null",
    "true",
    "[]",
    "{}",
    "[",
    "{",
    "}",
    ":",
    ",",
    "'",
    '"',
    "\\",
    "/",
    "..",
    "../../etc",
    "a" * 300,
    "é",
    "\ud800",
    "\u202e",
    "\x1b[2J",
    "%s",
    "{0}",
    "$HOME",
    "*",
    "&a",
    "*a",
    "!!python/object:os.system",
    "<<",
    "---",
    "\t",
    "\r\n",
    "\ufeff",
    "fedavg",
    "digits",
)


@contextmanager
def _limited() -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s of work")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def refuse(attempts: Iterator[Attempt], count: int) -> int:
    """Try until so many inputs were refused, each in one line; anything but a BenchmarkError fails. Returns the rest.

    Inputs that still make sense after the change are taken, and do not count.
    """
    refused = taken = 0
    while refused < count:
        given, use = next(attempts)
        try:
            with _limited():
                use()
            taken += 1
        except BenchmarkError as error:
            assert str(error).strip() and "\n" not in str(error), given
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} on {given!r}") from error
        assert taken < 20 * count + 1000, "hardly anything is refused"
    return taken


def bytes_of(whole: bytes, draw: random.Random) -> bytes:
    """The same bytes with one to four changes: flipped, cut, doubled, replaced by a word, exchanged."""
    data = bytearray(whole)
    for _ in range(draw.randrange(1, 5)):
        a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
        b = min(b, a + draw.choice((1, 4, 16, 256)))
        match draw.randrange(6):
            case 0 if data:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            case 1:
                del data[a:b]
            case 2:
                data[a:a] = data[a:b]
            case 3:
                data[a:b] = draw.choice(WORDS).encode(errors="surrogatepass")
            case 4:
                data[a:b] = draw.randbytes(b - a)
            case 5:
                del data[draw.randrange(len(data) + 1) :]
    return bytes(data)


def junk(draw: random.Random, depth: int = 2) -> Any:
    """Any value that JSON and YAML know, and some that they should not."""
    match draw.randrange(9 if depth else 6):
        case 0:
            return draw.choice(WORDS)
        case 1:
            return draw.choice((0, 1, -1, 2**31, 2**63, -(2**64), 10**30, 3))
        case 2:
            return draw.choice((0.0, -0.0, 0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")))
        case 3:
            return draw.choice((None, True, False))
        case 4:
            return "".join(chr(draw.choice((draw.randrange(32, 127), draw.randrange(0x3000)))) for _ in range(5))
        case 5:
            return draw.choice(([], {}, "", [[]], {"": None}))
        case 6:
            return [junk(draw, depth - 1) for _ in range(draw.randrange(4))]
        case 7:
            return {draw.choice(WORDS): junk(draw, depth - 1) for _ in range(draw.randrange(4))}
    return {str(draw.randrange(3)): junk(draw, depth - 1)}


def tree_of(whole: Any, draw: random.Random) -> Any:
    """The same nested dicts and lists with one or two entries changed, dropped, renamed, doubled or put elsewhere."""
    content = json.loads(json.dumps(whole))
    for _ in range(draw.randrange(1, 3)):
        nodes = [content]
        while draw.random() < 0.75:
            inner = nodes[-1].values() if isinstance(nodes[-1], dict) else nodes[-1]
            deeper = [node for node in inner if isinstance(node, dict | list) and node]
            if not deeper:
                break
            nodes.append(draw.choice(deeper))
        node = nodes[-1]
        place = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        match draw.randrange(5):
            case 0 | 1:
                node[place] = junk(draw)
            case 2:
                del node[place]
            case 3 if isinstance(node, dict):
                node[draw.choice(WORDS)] = node.pop(place)
            case 3:
                node.append(node[place])
            case 4:
                node[place] = json.loads(json.dumps(draw.choice(nodes)))
        if not content:
            break
    return content


def name(draw: random.Random, known: list[str]) -> str:
    """A name that is none: a known one with a change, or anything."""
    while True:
        text = draw.choice((draw.choice(WORDS), str(junk(draw, 0)), _typo(draw.choice(known), draw)))
        if text.strip(", \t\r\n") and text not in known and not text.startswith("-"):
            return text


def _typo(word: str, draw: random.Random) -> str:
    place = draw.randrange(len(word))
    letter = draw.choice("aeiou_-./ ,Z9é")
    shorter, longer = word[:place] + word[place + 1 :], word[:place] + letter + word[place:]
    return draw.choice((shorter, longer, word + word, word.upper()))


def command_line(draw: random.Random, out: str) -> list[str]:
    """Words with at least one mistake that no command may pass over; `out` takes what must never be written."""
    methods, known = method_files.names(), tasks.names()
    method, task = draw.choice(methods), draw.choice(known)
    wrong = draw.choice(WORDS[:20])
    run = ["run", method, "--task", task, "--out", out]
    lines = [
        ["run", name(draw, methods), "--task", task, "--out", out],
        ["run", method, "--task", name(draw, known), "--out", out],
        [*run, "--seed", draw.choice(("-1", "x", "", "nan", "1.5", "1e3"))],
        [*run, "--rounds", draw.choice(("0", "-5", "x", "", "2.5", "inf"))],
        [*run, "--workers", draw.choice(("0", "-1", "x", "1.5"))],
        [*run, "--precision", name(draw, ["fp32", "bf16"])],
        [*run, "--backend", name(draw, ["loop", "stacked"])],
        [*run, "--device", name(draw, ["cpu"])],
        [*run, "--set", f"{name(draw, ['beta', 'mu'])}_={wrong}"],
        [*run, "--set", draw.choice(("=", "=1", "x", "", "é"))],
        [*run, f"--{name(draw, ['task'])}"],
        ["check", name(draw, methods)],
        ["profile", name(draw, methods), "--task", task],
        ["split", name(draw, known), "--seed", "0"],
        ["split", task, "--seed", draw.choice(("-1", "x", ""))],
        ["golden", name(draw, known)],
        ["list", name(draw, ["tasks", "methods", "nets", "datasets"])],
        ["board", "--tasks", name(draw, known)],
        ["campaign", "--dry-run", "--tier", name(draw, ["quick", "lite", "paper"])],
        ["campaign", "--dry-run", "--tasks", name(draw, known)],
        ["bench", "--methods", name(draw, methods)],
        ["bench", "--seeds", draw.choice(("x", "1;2", "one", "0x1", "1.5", "é"))],
        ["data", "get", name(draw, ["digits"])],
        ["data", "pack", name(draw, ["digits"]), out],
        [name(draw, ["run", "bench"]), method],
        ["data", name(draw, ["get"])],
    ]
    return draw.choice(lines)
