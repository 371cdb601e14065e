"""Run a notebook of a student in a kernel of its own that is locked in, with limits that hold against its will."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_output
from processes import end_all, excess

HERE = Path(__file__).resolve().parent
MIB = 2**20
GRACE = 5.0  # seconds in which an interrupted kernel has to answer
TEXT_PER_CELL = 20_000  # characters of output that are kept


@dataclass(frozen=True)
class Limits:
    """What a submission may use."""

    seconds: float = 30.0
    memory_mib: int = 1024
    unsafe: bool = False

    @property
    def total_seconds(self) -> float:
        return 4 * self.seconds


@dataclass
class Outcome:
    """How a run ended. ``stopped`` says why it ended early; ``ran`` are the cells whose results count."""

    stopped: str = ""
    timeouts: int = 0
    ran: set[int] = field(default_factory=set)
    seconds: float = 0.0


class Client(NotebookClient):
    """nbclient's client. Output beyond a bound is dropped, and a cell beyond its time is interrupted and given up."""

    written = 0
    patience = 30.0  # seconds for the cell at work

    def _get_timeout(self, cell):
        return self.patience

    @staticmethod
    def replied(cell, cell_index, execute_reply) -> None:
        """The kernel's reply counts, not only what it shows: an error that it cannot format is an error all the same."""
        content = execute_reply["content"]
        if content["status"] != "ok" and not any(output.output_type == "error" for output in cell.outputs):
            cell.outputs.append(error(str(content.get("ename", "Error")), str(content.get("evalue", ""))))

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            self.written += len(str(msg["content"]))
            if self.written > TEXT_PER_CELL * 50:
                return None
        return super().process_message(msg, cell, cell_index)

    async def _async_handle_timeout(self, timeout, cell=None):
        await self.km.interrupt_kernel()
        raise CellTimeoutError.error_from_timeout_and_cell("Cell execution timed out", timeout, cell)


def error(name: str, sentence: str) -> Any:
    return new_output("error", ename=name, evalue=sentence, traceback=[f"{name}: {sentence}"])


def run(notebook, limits: Limits, files: list[Path], before: dict[int, str] | None = None) -> Outcome:
    """Execute the notebook in place; never raises because of what it contains.

    Parameters
    ----------
    notebook : NotebookNode
    limits : Limits
    files : list of Path
        Files and folders that lie beside the notebook while it runs (the book's helpers).
    before : dict, optional
        Code that runs before the cell with this index, unseen.
    """
    started = time.monotonic()
    outcome = Outcome()
    box = Path(tempfile.mkdtemp(prefix="grade-"))
    try:
        home, sockets = box / "home", box / "s"
        home.mkdir()
        sockets.mkdir()
        for file in files:
            shutil.copytree(file, home / file.name) if file.is_dir() else shutil.copy(file, home)
        asyncio.run(_run(notebook, limits, _manager(box, limits), home, before or {}, outcome))
    finally:
        end_all()
        shutil.rmtree(box, ignore_errors=True)
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def _manager(box: Path, limits: Limits) -> AsyncKernelManager:
    facts = {"seconds": limits.seconds, "total_seconds": limits.total_seconds, "memory_mib": limits.memory_mib,
             "unsafe": limits.unsafe, "home": str(box / "home"), "sockets": str(box / "s"),
             "forget": [str(HERE), str(HERE.parents[1])]}  # fmt: skip
    (box / "limits.json").write_text(json.dumps(facts))
    spec = box / "kernels" / "locked-in"
    spec.mkdir(parents=True)
    command = [sys.executable, "-I", str(HERE / "sandbox.py"), str(box / "limits.json"), "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "locked in", "language": "python"}))
    kernels = KernelSpecManager(kernel_dirs=[str(box / "kernels")], ensure_native_kernel=False)
    return AsyncKernelManager(
        kernel_name="locked-in", kernel_spec_manager=kernels, transport="ipc", ip=str(box / "s" / "k"),
        connection_file=str(box / "s" / "c.json"),
    )  # fmt: skip


async def _run(
    notebook, limits: Limits, manager: AsyncKernelManager, home: Path, before: dict[int, str], outcome: Outcome
) -> None:
    client = Client(notebook, km=manager, allow_errors=True, startup_timeout=120, iopub_timeout=4,
                    raise_on_iopub_timeout=False, coalesce_streams=True, resources={"metadata": {"path": str(home)}}, on_cell_executed=Client.replied)  # fmt: skip
    watch = None
    try:
        with (home.parent / "log").open("wb") as log:  # never the driver's own output: there it would be believed
            await client.async_start_new_kernel(cwd=str(home), stdout=log, stderr=log)
        await client.async_start_new_kernel_client()
        watch = asyncio.ensure_future(_watch(limits, home, outcome))
        end = time.monotonic() + limits.total_seconds
        for index, cell in enumerate(list(notebook.cells)):
            if index in before:
                await _unseen(client, before[index])
            if (
                cell.cell_type == "code"
                and cell.source.strip()
                and not await _cell(client, index, limits.seconds, end, outcome)
            ):
                break
        else:  # an error that must be seen
            word = secrets.token_hex(8)
            outputs = await _unseen(client, f"raise AssertionError('{word}')")
            if not any(output.output_type == "error" and output.evalue == word for output in outputs):
                outcome.stopped = "The code has changed how errors are reported, so passing tests prove nothing."
                outcome.ran.clear()
    except (DeadKernelError, RuntimeError):
        last = (home.parent / "log").read_text(errors="replace").strip().splitlines()[-1:]
        outcome.stopped = outcome.stopped or f"The kernel did not start; its last words: {last[:150]}."
    finally:
        if watch:
            watch.cancel()
        end_all()
        if client.kc:
            client.kc.stop_channels()
        await manager.cleanup_resources()


async def _cell(client: Client, index: int, seconds: float, end: float, outcome: Outcome) -> bool:
    """Run one cell; whether the kernel can run another one."""
    cell, client.written = client.nb.cells[index], 0
    left = end - time.monotonic()
    client.patience = min(seconds, max(left, 0.1))
    try:
        if left <= 0:
            raise CellTimeoutError("no time left")
        await client.async_execute_cell(cell, index)
        outcome.ran.add(index)
        return True
    except CellTimeoutError:
        outcome.timeouts += 1
        cell.outputs.append(error("TimeLimit", "This cell was stopped: it ran longer than it may."))
        if left > 0 and await _answers(client):
            outcome.ran.add(index)
            return True
        outcome.stopped = outcome.stopped or (
            "The notebook used up its time." if left <= 0 else "The code ran too long and ignored the interrupt.")  # fmt: skip
    except DeadKernelError:
        outcome.stopped = outcome.stopped or "The code ended the kernel."
        cell.outputs.append(error("KernelDied", outcome.stopped))
    return False


async def _answers(client: Client) -> bool:
    try:
        await client.kc.wait_for_ready(timeout=GRACE)
    except RuntimeError:
        return False
    return True


async def _unseen(client: Client, code: str) -> list:
    """Run code that is not in the notebook, and return its outputs."""
    cell = new_code_cell(code)
    client.nb.cells.append(cell)
    try:
        await _cell(client, len(client.nb.cells) - 1, 2 * GRACE, time.monotonic() + 2 * GRACE, Outcome())
    finally:
        client.nb.cells.remove(cell)
    return cell.outputs


async def _watch(limits: Limits, home: Path, outcome: Outcome) -> None:
    while not (what := excess(2 * limits.memory_mib * MIB, home)):
        await asyncio.sleep(0.25)
    outcome.stopped = f"The code used too much of the machine: {what}."
    end_all()
