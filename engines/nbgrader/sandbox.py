"""Become a Jupyter kernel that can touch nothing but its own folder: ``python -I sandbox.py LIMITS CONNECTION_FILE``.

In this order: resource limits; own users, processes and network where the system grants them (namespaces); an empty
folder that is home, temporary folder and working folder; a clean environment; Landlock, which needs no rights and cannot
be taken off again; at last ipykernel. ``--probe`` prints, as JSON, which of these this machine can do.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import sysconfig
from pathlib import Path

MIB = 2**20
_NAMESPACES = 0x10000000 | 0x40000000 | 0x20000000 | 0x08000000  # users, network, processes, System V objects
# What Python, NumPy and the C library read. Nothing here says anything about a course.
_LIBRARIES = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group",
              "/etc/nsswitch.conf", "/sys/devices/system/cpu", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
              "/proc/sys/vm/overcommit_memory", "/proc/filesystems")  # fmt: skip


def readable() -> list[str]:
    """Files and folders that a kernel may read and execute: Python's own and the system's libraries."""
    own = {sys.prefix, sys.base_prefix, *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib"))}
    return sorted(path for path in {*own, *_LIBRARIES} if os.path.exists(path))


def limit(limits: dict, separate: bool) -> None:
    """Set the limits of the process; they hold for whatever it starts, each process by itself."""

    def at_most(kind: int, value: int) -> None:
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

    at_most(resource.RLIMIT_DATA, limits["memory_mib"] * MIB)
    at_most(resource.RLIMIT_AS, (limits["memory_mib"] + 4096) * MIB)  # shared memory is no data; this bounds it
    at_most(resource.RLIMIT_CPU, int(limits["total_seconds"]) + 30)
    at_most(resource.RLIMIT_FSIZE, 64 * MIB)
    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_NOFILE, 512)
    if separate:  # counted from zero in a namespace of users; outside, the user's other programs would count too
        at_most(resource.RLIMIT_NPROC, 128)


def separate() -> bool:
    """Leave the machine's users, network and processes (for children) behind, if the system lets us."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_NAMESPACES) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        Path("/proc/sys/user/max_user_namespaces").write_text("0")  # of this namespace: no second one inside
    except OSError:
        pass  # then the process has no name; its rights are the same
    return True


def lock_in(folders: list[str]) -> None:
    """Let Landlock forbid everything outside: files, TCP, abstract sockets, signals. Rights below are given back."""
    from landlockpy import AccessFS, Ruleset, Scope, fs_for_abi

    read = AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.EXECUTE
    file_only = AccessFS.READ_FILE | AccessFS.EXECUTE | AccessFS.WRITE_FILE | AccessFS.TRUNCATE | AccessFS.IOCTL_DEV
    with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
        for path in [*readable(), "/proc/self"]:
            if os.path.exists(path):
                rules.allow_path(path, read if os.path.isdir(path) else read & file_only)
        for device in ("/dev/null", "/dev/zero", "/dev/full", "/dev/urandom", "/dev/random"):
            rules.allow_path(device, AccessFS.READ_FILE | AccessFS.WRITE_FILE)
        devices = AccessFS.MAKE_CHAR | AccessFS.MAKE_BLOCK | AccessFS.EXECUTE | AccessFS.IOCTL_DEV
        for folder in folders:
            rules.allow_path(folder, fs_for_abi(rules.abi_version) & ~devices)
        rules.restrict()


def drop_rights() -> None:
    """Give up all capabilities: those of the superuser, and those that a namespace of one's own brings."""

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    class Data(ctypes.Structure):
        _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]

    if ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(Header(0x20080522, 0)), ctypes.byref((Data * 2)())) != 0:
        raise OSError(ctypes.get_errno(), "the rights of the process cannot be given up")


def call_nobody() -> None:
    """Forbid, by a filter of system calls, ``connect`` and every kind of socket but Unix sockets.

    Landlock forbids TCP alone until version 10, and lets a process call other programs' Unix sockets until version 9. The
    kernel of a notebook only answers. Where the numbers of the machine's system calls are not known here, nothing is done.
    """
    machine = {"x86_64": (0xC000003E, 42, 41), "aarch64": (0xC00000B7, 203, 198)}.get(os.uname().machine)
    if machine is None:
        return
    architecture, connect, socket = machine
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06  # of the classic Berkeley packet filter
    steps = [
        (load, 0, 0, 4), (equal, 0, 7, architecture),  # another architecture's calls: no
        (load, 0, 0, 0), (equal, 5, 0, connect), (equal, 4, 0, 425), (at_least, 3, 0, 0x40000000),  # 425: io_uring_setup
        (equal, 0, 3, socket), (load, 0, 0, 16), (equal, 1, 0, 1),  # the family must be AF_UNIX
        (answer, 0, 0, 0x00050000 + errno.EOPNOTSUPP), (answer, 0, 0, 0x7FFF0000),  # no, in a way that ZeroMQ survives; yes
    ]  # fmt: skip

    class Step(ctypes.Structure):
        _fields_ = [
            ("code", ctypes.c_uint16),
            ("yes", ctypes.c_uint8),
            ("no", ctypes.c_uint8),
            ("value", ctypes.c_uint32),
        ]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint16), ("steps", ctypes.POINTER(Step))]

    filter_ = (Step * len(steps))(*(Step(*step) for step in steps))
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, ctypes.byref(Program(len(steps), filter_)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "system calls cannot be filtered")


def end_with_parent() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def clean_environment(home: str) -> None:
    keep = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    os.environ.clear()
    os.environ.update(keep, HOME=home, TMPDIR=home, IPYTHONDIR=f"{home}/.ipython", JUPYTER_PLATFORM_DIRS="1",
                      PATH=f"{sys.prefix}/bin:/usr/bin:/bin", MPLBACKEND="Agg", PYTHONHASHSEED="0",
                      OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # fmt: skip


def main(limits_file: str, connection_file: str) -> None:
    limits = json.loads(Path(limits_file).read_text())
    end_with_parent()
    isolated = not limits["unsafe"]
    own_processes = isolated and separate()
    child = os.fork() if own_processes else 0  # the first process of its own world: when it ends, all of it ends
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is meant for the cell
        _, status = os.waitpid(child, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    end_with_parent()
    limit(limits, own_processes)
    os.umask(0o077)
    os.chdir(limits["home"])
    clean_environment(limits["home"])
    if isolated:
        lock_in([limits["home"], limits["sockets"]])
        drop_rights()
        call_nobody()
    for entry in limits["forget"]:
        sys.path[:] = [path for path in sys.path if os.path.abspath(path) != entry]
    sys.path.insert(0, limits["home"])
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance(["-f", connection_file, "--HistoryManager.hist_file=:memory:"])


def probe() -> dict:
    """What this machine can do: Landlock's version (0 if absent), namespaces."""
    abi = 0
    if sys.platform.startswith("linux"):
        from landlockpy import abi_version

        abi = abi_version()
    return {"landlock": abi, "namespaces": sys.platform.startswith("linux") and separate(), "readable": readable()}


if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:
        print(json.dumps(probe()))
    else:
        main(*sys.argv[1:])
