"""Reading one input under guard: what it executes, how much memory it takes, and whether its error is documented."""

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz import bait
from benchmarks.fuzz.contract import Outcome, Reader, Result

MIB = 2**20
SMALL = MIB  # bytes of an input whose memory is judged
LIMIT = 2**30  # bytes that reading it may take
CEILING = 4 * LIMIT  # address space that the process gets, so that the machine survives
LONGEST = 2000  # characters of a refusal

#: Audit events that no reader of data has a reason for.
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn", "os.startfile"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "ftplib.connect"),
    *("smtplib.connect", "http.client.connect", "webbrowser.open", "os.kill", "os.chown"),
)
#: Audit events that change files, by the positions of the paths in their arguments.
CHANGES = {
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.mkdir": (0,),
    "os.chmod": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Modules that only a hostile file would import.
TRAPS = ("antigravity", "this", "turtle", "idlelib", "webbrowser", "smtplib", "ftplib", "pty", "code", "pdb")


class Executed(BaseException):
    """Raised in place of what a file wanted executed; no ``except Exception`` holds it."""


class Watch:
    """The audit hook of this process: while it is armed, what readers must not do is noted and stopped."""

    def __init__(self) -> None:
        self.allowed: Path | None = None  # below it a reader may write; None: disarmed
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        reason = self._reason(event, args)
        if reason:
            self.seen.append(reason)
            raise Executed(reason)

    def _reason(self, event: str, args: tuple[Any, ...]) -> str:
        if event in FORBIDDEN:
            return f"{event}: {args!r:.200}"
        if event == "import":
            return f"import of {args[0]}" if str(args[0]).partition(".")[0] in TRAPS else ""
        if event == "open":
            path, mode, flags = args
            writes = flags & WRITES if isinstance(flags, int) else False
            writes = writes or (isinstance(mode, str) and any(sign in mode for sign in "wax+"))
            return f"open for writing: {path!r}" if writes and not self._inside(path) else ""
        if event in CHANGES:
            changed = [args[position] for position in CHANGES[event]]
            return "" if all(map(self._inside, changed)) else f"{event}: {args!r:.200}"
        return ""

    def _inside(self, path: Any) -> bool:
        if isinstance(path, int) or path == os.devnull:
            return True
        assert self.allowed is not None
        whole = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))  # noqa: PTH120, PTH100
        return f"{whole}/".startswith(f"{self.allowed}/")


def guarded(reader: Reader, number: int, folder: Path, watch: Watch, size: int) -> Result:
    """Read the input in ``folder`` and judge what happens.

    size: Bytes of the input.
    """
    bait.sprung.clear()
    watch.seen.clear()
    error: BaseException | None = None
    faults = 0
    memory = Memory()
    clock = Clock()
    watch.allowed = folder.resolve().parent
    try:
        faults = reader.read(folder)
    except BaseException as raised:  # noqa: BLE001
        error = raised
    finally:
        watch.allowed = None
    seconds, mib = clock.seconds(), memory.close()
    outcome, detail, location = judged(reader, folder, faults, error)
    if size < SMALL and (mib * MIB > LIMIT or ran_out(error)):
        outcome, detail = Outcome.MEMORY, f"{mib:,.0f} MiB for {size:,} bytes; {detail}"
        location = location or f"{reader.name} read it"
    if executed := [*watch.seen, *bait.sprung]:
        outcome, detail, location = Outcome.EXECUTED, f"{'; '.join(executed)}\n{detail}", executed[0][:80]
    return Result(reader.name, number, outcome, detail, location, "", seconds, mib)


def judged(reader: Reader, folder: Path, faults: int, error: BaseException | None) -> tuple[Outcome, str, str]:
    """Outcome, detail and location of what reading gave or raised."""
    if error is None:
        return (Outcome.FAULT if faults else Outcome.READ), "", ""
    whole = "".join(traceback.format_exception(error))
    if not isinstance(error, reader.refusals()):
        return Outcome.TRACEBACK, whole, location_of(error)
    text = str(error)
    if reason := unclear(text, folder if reader.names_file else None):
        return Outcome.UNCLEAR, f"{reason}: {text!r:.4000}\n{whole}", f"{reason} {location_of(error)}"
    return Outcome.REFUSED, text, location_of(error)


def unclear(text: str, folder: Path | None) -> str:
    """What is wrong with a refusal, in a few words; empty where nothing is.

    folder: Whose files it must name one of; None where it need not.
    """
    if not text.strip():
        return "no text"
    if len(text.splitlines()) > 1:
        return "several lines"
    if len(text) > LONGEST:
        return f"over {LONGEST} characters"
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        return "control characters"
    if folder is not None and folder.name not in text:
        return "no file named"
    return ""


def location_of(error: BaseException) -> str:
    """The last frame of linbench that an error passed, and its type."""
    frames = traceback.extract_tb(error.__traceback__)
    package_frames = [frame for frame in frames if "/linbench/" in frame.filename] or frames
    if not package_frames:
        return type(error).__name__
    file = package_frames[-1].filename.rpartition("/linbench/")[2]
    return f"{file}:{package_frames[-1].lineno} {type(error).__name__}"


def ran_out(error: BaseException | None) -> bool:
    """Whether an allocation failed somewhere in the chain of errors."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error).lower()
        if (
            isinstance(error, MemoryError)
            or "bad_alloc" in text
            or "can't allocate" in text
            or "unable to alloc" in text
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


class Memory:
    """How much more memory the process has, at most, than when this was made; the ceiling holds until ``close``."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the resident peak begins anew
        before = _status()
        self.resident, self.reserved, self.peak = before["VmRSS"], before["VmSize"], before["VmPeak"]
        self.limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (self.reserved + CEILING, self.limits[1]))

    def close(self) -> float:
        """Lift the ceiling; return the peak in MiB."""
        resource.setrlimit(resource.RLIMIT_AS, self.limits)
        after = _status()
        resident = after["VmHWM"] - self.resident
        reserved = after["VmPeak"] - self.reserved if after["VmPeak"] > self.peak else 0
        return max(resident, reserved, 0) / MIB


def _status() -> dict[str, int]:
    """The memory of this process in bytes, by Linux's names."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Vm"))
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}


class Clock:
    """Time since it was made that the process worked or slept: waiting for a core is not counted."""

    def __init__(self) -> None:
        self.began, self.waited = time.perf_counter(), waited(os.getpid())

    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.began - (waited(os.getpid()) - self.waited)


def waited(process: int) -> float:
    """Seconds that a process's first thread has waited for a core, by Linux's scheduler."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9


def quiet(call: Callable[[], Any]) -> Any:
    """Call with warnings off, as they are of no interest here."""
    import warnings

    with warnings.catch_warnings(action="ignore"):
        return call()
