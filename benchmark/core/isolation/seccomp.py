"""Seccomp: the system calls that a sandboxed process may make, through libseccomp; the kernel refuses all others.

Sources: seccomp(2), seccomp_rule_add(3). No call in here starts a process or a thread, sends a signal, opens a
connection, or writes an attribute of a file (owner, permission bits, times, extended attributes).
"""

from __future__ import annotations

import ctypes
import errno
from contextlib import suppress

LIBRARY = "libseccomp.so.2"
ALLOW, REFUSE, EQUAL = 0x7FFF0000, 0x00050000, 4  # actions and a comparison of seccomp.h

READ = """
    access close dup dup2 dup3 faccessat faccessat2 fstat getcwd getdents getdents64 lseek lstat newfstatat open
    openat pread64 preadv read readlink readlinkat readv stat statx
"""
WRITE = "pwrite64 pwritev write writev"  # to files that are open already: Landlock decides which may be opened
MEMORY = "brk madvise membarrier mmap mprotect mremap munmap"
TIME = "clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep setitimer time times"
OWN_PROCESS = """
    exit exit_group futex futex_waitv getcpu getegid geteuid getgid getpid getppid getrandom getrlimit getrusage gettid
    getuid poll ppoll pselect6 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
    sched_getaffinity sched_yield select set_robust_list sigaltstack sysinfo uname
"""
ALLOWED = tuple(f"{READ} {WRITE} {MEMORY} {TIME} {OWN_PROCESS}".split())
FOLDERS = """
    fdatasync fsync ftruncate mkdir mkdirat rename renameat renameat2 rmdir truncate unlink unlinkat
"""
WRITING = tuple(FOLDERS.split())  # besides, for a process that has folders to write to

# Calls that are allowed for some values of one argument: (position of the argument, values)
ARGUMENTS = {
    "fcntl": (1, (0, 1, 2, 3, 4, 1030)),  # copies and flags of descriptors; no locks, leases or notifications
    "ioctl": (1, (0x5401, 0x5421, 0x5450, 0x5451)),  # is it a terminal, blocking, close on exec
    "prlimit64": (2, (0,)),  # reading limits, not setting them
}
UNKNOWN = ("clone3",)  # answered as by an old kernel, so that the C library falls back to clone


class _Comparison(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def _library() -> ctypes.CDLL | None:
    with suppress(OSError):
        library = ctypes.CDLL(LIBRARY, use_errno=True)
        library.seccomp_init.restype = ctypes.c_void_p
        return library
    return None


_SECCOMP = _library()  # while files can still be read


def restrict(writing: bool) -> list[str]:
    """Allow the calls above from now on, for good; returns what cannot be enforced.

    Args:
        writing: Whether the process has a folder to write to.
    """
    if _SECCOMP is None:
        return [f"system calls (no {LIBRARY})"]
    rules = ctypes.c_void_p(_SECCOMP.seccomp_init(REFUSE | errno.EPERM))
    for name in (*ALLOWED, *(WRITING if writing else ())):
        _add(rules, ALLOW, name)
    for name in UNKNOWN:
        _add(rules, REFUSE | errno.ENOSYS, name)
    for name, (position, values) in ARGUMENTS.items():
        for value in values:
            _add(rules, ALLOW, name, _Comparison(position, EQUAL, value, 0))
    failed = _SECCOMP.seccomp_load(rules)
    _SECCOMP.seccomp_release(rules)
    return ["system calls (no seccomp)"] if failed else []


def _add(rules: ctypes.c_void_p, action: int, name: str, *comparisons: _Comparison) -> None:
    """A rule for a call; a processor that lacks the call needs none."""
    assert _SECCOMP is not None
    number = _SECCOMP.seccomp_syscall_resolve_name(name.encode())
    array = (_Comparison * len(comparisons))(*comparisons)
    _SECCOMP.seccomp_rule_add_array(rules, action, number, len(comparisons), array)
