"""Seccomp: which system calls a process may make. Sources: seccomp(2), linux/filter.h, tables of system calls."""

from __future__ import annotations

import ctypes
import platform
from typing import NamedTuple

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2  # of prctl
LOAD, JUMP_EQUAL, JUMP_LESS, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, MACHINE, FIRST = 0, 4, 16  # offsets in what a filter sees: the call, the processor, the first argument
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NOT_PERMITTED, NOT_KNOWN = 1, 38  # EPERM, ENOSYS
FOREIGN_NUMBERS = 0x40000000  # calls of the x32 interface

# Calls by which a process reaches another one, the network, or more rights; the numbers of x86_64 and aarch64
REFUSED = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "sendto": (44, 206),
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "recvmsg": (47, 212), "accept": (43, 202), "accept4": (288, 242),
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kill": (62, 129),
    "tkill": (200, 130), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "chroot": (161, 51), "pivot_root": (155, 41),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "setpriority": (141, 140),
    "sched_setaffinity": (203, 122), "prlimit64": (302, 261), "setrlimit": (160, 164), "init_module": (175, 105),
    "kexec_load": (246, 104), "reboot": (169, 142), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "chmod": (90, None), "fchmodat": (268, 53), "chown": (92, None), "fchownat": (260, 54), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "inotify_init1": (294, 26),
    "quotactl": (179, 60), "swapon": (167, 224), "sethostname": (170, 161), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}  # fmt: skip
UNKNOWN = {"clone3": (435, 435)}  # answered as an old kernel would, so that the C library falls back to clone
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction)))


class Step(NamedTuple):
    """One instruction of the kernel's filter machine; yes and no: how many to skip."""

    code: int
    k: int
    yes: int = 0
    no: int = 0


def restrict() -> list[str]:
    """Refuse the calls above from now on, for good; what cannot be enforced."""
    machine = platform.machine()
    if machine not in MACHINES:
        return [f"system calls (no table for {machine})"]
    steps = program(*MACHINES[machine])
    array = (_Instruction * len(steps))(*(_Instruction(s.code, s.yes, s.no, s.k) for s in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.prctl(SET_SECCOMP, FILTER, ctypes.byref(_Program(len(steps), array)), 0, 0):
        return ["system calls (no seccomp)"]
    return []


def program(machine: int, column: int) -> list[Step]:
    """The filter for a processor: each refused number jumps to an answer at the end."""
    numbers = [(row[column], NOT_PERMITTED) for row in REFUSED.values()]
    numbers += [(row[column], NOT_KNOWN) for row in UNKNOWN.values()]
    head = [
        Step(LOAD, MACHINE), Step(JUMP_EQUAL, machine, yes=1), Step(RETURN, KILL),
        Step(LOAD, NUMBER), Step(JUMP_LESS, FOREIGN_NUMBERS, yes=0, no=1), Step(RETURN, REFUSE | NOT_PERMITTED),
    ]  # fmt: skip
    body = []
    for number, answer in numbers:
        if number is not None:
            body += [Step(JUMP_EQUAL, number, no=1), Step(RETURN, REFUSE | answer)]
    return [*head, *body, Step(RETURN, ALLOW)]
