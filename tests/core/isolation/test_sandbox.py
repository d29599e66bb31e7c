"""What a sandboxed process cannot do, whatever its code does to Python: the kernel says so, by the name of the call."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.isolation import landlock, seccomp
from benchmark.core.isolation.limits import Limits
from benchmark.core.isolation.process import SandboxedProcess
from helpers.sandbox_probes import NUMBERS, Probe

TESTS = Path(__file__).parents[2]
X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of system calls are those of x86-64")


@pytest.fixture(scope="module")
def process() -> Iterator[SandboxedProcess]:
    """A process like that of a client, which may also read the tests."""
    with SandboxedProcess(Probe, Limits(seconds=120), (TESTS,)) as sandboxed:
        yield sandboxed


@pytest.fixture
def victim() -> Iterator[Path]:
    """A file that the process can read; its attributes must stay what they are."""
    path = TESTS / "helpers" / "sandbox_probes.py"
    before = path.stat()
    yield path
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns) == (
        before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns,
    )  # fmt: skip


def test_this_system_enforces_everything(process: SandboxedProcess) -> None:
    assert process.call("descriptors", 1).facts["gaps"] == []
    assert landlock.version() >= 6


# how uploads could travel besides messages: times, permission bits, owners and extended attributes of files
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "utime": ((1.0, 2.0),),
    "chmod": (0o777,),
    "chown": (1, 1),
    "setxattr": ("user.note", b"1"),
    "removexattr": ("user.note",),
    "truncate": (1,),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("how", ["by path", "by descriptor"])
def test_no_attribute_of_a_file_can_be_written(name: str, how: str, process: SandboxedProcess, victim: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"PermissionError: \[Errno 1(3)?\]|OSError: \[Errno 22\]"):
        if how == "by path":
            process.call("python", "os", name, (str(victim), *ATTRIBUTES[name]))
        else:
            process.call("on_descriptor", "os", name, str(victim), ATTRIBUTES[name])


@X86_64
@pytest.mark.parametrize("name", NUMBERS)
def test_system_calls_past_python_are_refused_as_well(name: str, process: SandboxedProcess, victim: Path) -> None:
    assert process.call("system_call", name, str(victim)).facts["error"] == "EPERM"


def test_a_process_has_no_descriptor_but_its_pipe(process: SandboxedProcess) -> None:
    """Standard streams lead nowhere; the fork server's own pipes and files that the runner has open are closed."""
    with (TESTS / "conftest.py").open():
        numbers = process.call("descriptors", 4096).facts["open"]
    assert numbers[:3] == [0, 1, 2] and len(numbers) == 4


def test_lists_of_the_sandbox_mean_nothing_once_it_holds(process: SandboxedProcess, victim: Path) -> None:
    for module, name in (
        ("benchmark.core.isolation.seccomp", "ALLOWED"),
        ("benchmark.core.isolation.landlock", "FILES"),
    ):
        with pytest.raises(BenchmarkError, match=r"PermissionError: \[Errno 1\].*sandbox_probes.py"):
            process.call("change_module", module, name, str(victim))


# processes, signals, connections, locks on files that several processes can read, other files
@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("os", "fork", ()),
        ("os", "kill", (1, 0)),
        ("os", "execv", ("/bin/true", ["true"])),
        ("_thread", "start_new_thread", (print, ())),
        ("socket", "socket", ()),
        ("os", "memfd_create", ("x",)),
        ("os", "sched_setaffinity", (0, {0})),
        ("os", "nice", (1,)),
        ("resource", "setrlimit", (7, (10, 10))),
        ("builtins", "open", ("/etc/passwd",)),
        ("os", "listdir", ("/tmp",)),
        ("os", "mkfifo", ("/tmp/pipe",)),
        ("os", "symlink", ("/etc/passwd", "/tmp/link")),
        ("os", "statvfs", ("/",)),
    ],
)
def test_other_processes_files_and_the_network_are_out_of_reach(
    module: str, name: str, arguments: tuple[Any, ...], process: SandboxedProcess
) -> None:
    with pytest.raises(BenchmarkError, match=r"PermissionError|BlockingIOError|can't start new thread|ValueError"):
        process.call("python", module, name, arguments)


def test_files_cannot_be_locked(process: SandboxedProcess, victim: Path) -> None:
    for name, arguments in (("flock", (1 | 4,)), ("lockf", (1 | 4,)), ("fcntl", (1024, 0))):  # 1024: F_SETLEASE
        with pytest.raises(BenchmarkError, match="PermissionError"):
            process.call("on_descriptor", "fcntl", name, str(victim), arguments)


def test_a_system_without_the_library_says_what_it_does_not_enforce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "_SECCOMP", None)
    assert seccomp.restrict(False) == ["system calls (no libseccomp.so.2)"]
