"""One kernel for one notebook: start it, watch it, stop it.

The kernel runs the Python of this process. It is driven from a worker thread; the
calling thread samples memory and stays free for Ctrl-C.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from . import notebooks

OnCell = Callable[[int, int], None] | None

_TICK = 0.2  # seconds between two samples of memory


@dataclass(frozen=True)
class CellError:
    """What went wrong: number among the code cells, source, last lines of the error."""

    cell: int
    source: str
    text: str


@dataclass(frozen=True)
class Run:
    """What one notebook did."""

    name: str
    title: str
    promise: str
    cells: tuple[int, int]  # done, total
    seconds: float
    peak_memory: int  # bytes, of the kernel and its children
    headline: str | None
    error: CellError | None = None
    stand_ins: tuple[str, ...] = ()  # what the loaders said of them


class _ThisPython(AsyncKernelManager):
    """Starts this process's Python, whatever kernels are installed elsewhere."""

    @property
    def kernel_spec(self) -> KernelSpec:
        # ipykernel warns on the terminal of every start without transport encryption.
        launch = ["-m", "ipykernel_launcher", "--log-level=ERROR"]
        argv = [sys.executable, *launch, "-f", "{connection_file}"]
        return KernelSpec(argv=argv, language="python")


def play(
    nb: NotebookNode, path: Path, on_cell: OnCell = None, timeout: int | None = None
) -> Run:
    """Execute a notebook in memory and measure it.

    Args:
        nb: The notebook; it receives the outputs.
        path: Its file, whose folder the kernel runs in; it is not touched.
        on_cell: Called several times a second with (cells done, cells in all).
        timeout: Seconds that one cell may take; None for no limit.

    Returns:
        What happened; a failing cell is in `error`.
    """
    code = [cell for cell in notebooks.code_cells(nb) if cell.source.strip()]
    for cell in notebooks.code_cells(nb):
        cell.update(outputs=[], execution_count=None)
    # What the stored outputs came from says nothing about these.
    nb.metadata.get("mmlearn", {}).pop("sources", None)
    client = _client(nb, timeout)
    begun: list[NotebookNode] = []
    client.on_cell_execute = lambda cell, **_: begun.append(cell)
    failure: list[Exception] = []

    def drive() -> None:
        try:
            asyncio.run(client.async_execute(cwd=str(path.parent), env=_environment()))
        except Exception as error:
            failure.append(error)

    start, peak = time.perf_counter(), 0
    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_TICK)
            peak = max(peak, _memory(client))
            if on_cell:
                on_cell(client.code_cells_executed, len(code))
    except BaseException:
        # Ctrl-C: the worker notices the dead kernel within a second and cleans up.
        # Again and again, because the kernel may only just be starting.
        for _ in range(50):
            _kill(client)
            thread.join(_TICK)
            if not thread.is_alive():
                break
        raise
    error = _describe(failure[0], begun, nb) if failure else None
    return Run(
        name=path.stem,
        title=notebooks.title(nb) or path.stem,
        promise=notebooks.promise(nb),
        cells=(len(begun) - bool(failure and begun), len(code)),
        seconds=time.perf_counter() - start,
        peak_memory=peak,
        headline=notebooks.headline(nb),
        error=error,
        stand_ins=notebooks.stand_ins(nb),
    )


def _client(nb: NotebookNode, timeout: int | None) -> NotebookClient:
    client = NotebookClient(
        nb,
        kernel_name="python3",
        kernel_manager_class=_ThisPython,
        timeout=timeout,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    )
    # nbclient logs what is reported here anyway; Ctrl-C shall give one line, not four.
    client.log = logging.getLogger("mmlearn.silent")
    client.log.addHandler(logging.NullHandler())
    client.log.propagate = False
    return client


def _environment() -> dict[str, str]:
    env = dict(os.environ)
    if shared := env.get("MMLEARN_DATA"):
        # The kernel works in the notebook's folder, the caller perhaps elsewhere.
        env["MMLEARN_DATA"] = str(Path(shared).resolve())
    # The time that a header states is that of computing, not of finding results.
    env["MMLEARN_RESULTS"] = "off"
    checkout = Path(__file__).parents[1]
    # `python -m mmlearn` works in a checkout that is not installed; so must kernels.
    if (checkout / "pyproject.toml").exists():
        old = env.get("PYTHONPATH")
        env["PYTHONPATH"] = f"{checkout}{os.pathsep}{old}" if old else str(checkout)
    return env


def _process(client: NotebookClient) -> psutil.Process:
    """The kernel's process; raises psutil.Error or AttributeError if there is none."""
    return psutil.Process(client.km.provisioner.process.pid)


def _memory(client: NotebookClient) -> int:
    try:
        kernel = _process(client)
        family = [kernel, *kernel.children(recursive=True)]
        return sum(process.memory_info().rss for process in family)
    except (AttributeError, psutil.Error):  # not started yet, or just gone
        return 0


def _kill(client: NotebookClient) -> None:
    try:
        kernel = _process(client)
        for process in [*kernel.children(recursive=True), kernel]:
            process.kill()
    except (AttributeError, psutil.Error):
        pass


def _describe(
    error: Exception, begun: list[NotebookNode], nb: NotebookNode
) -> CellError:
    cell = begun[-1] if begun else None
    numbered = enumerate(notebooks.code_cells(nb), 1)
    number = next((i for i, c in numbered if c is cell), 0)
    if isinstance(error, CellExecutionError):
        text = notebooks.plain(error.traceback)
    else:
        text = notebooks.plain(str(error)) or type(error).__name__
        if "Kernel died" in text:
            text = "the kernel died: it may have run out of memory"
        if isinstance(error, CellTimeoutError):
            text = text.splitlines()[0]  # what follows is the cell once more
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return CellError(number, cell.source if cell else "", "\n".join(lines[-6:]))
