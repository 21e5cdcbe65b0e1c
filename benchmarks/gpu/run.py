"""Run jobs on a machine with a GPU and no network, within a number of seconds.

    python benchmarks/gpu/run.py OUT [--budget 480] [--jobs doctor,02+05,...] [--tiny]

Needs only Python at first: it installs the wheels beside this checkout's `build/gpu`
into a folder of its own. Jobs run one after the other, those joined by + at the same
time. `OUT/results.json` is written after each, so that a cut leaves what is done.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_QUERY = "name,driver_version,memory.total"
_TESTS = ["-m", "pytest", "-o", "addopts=-q", "-p", "no:cacheprovider", "-n"]
_TESTED = [
    f"tests/test_{name}.py"
    for name in ("fusion", "fusion_values", "fusion_attention", "encoders", "layers")
]
# JAX compiles each small operation, which takes minutes: the equations themselves.
_EQUATIONS = ["tests/test_fusion_values.py"]
# A closed door at once, instead of waiting for a network that is not there.
_CLOSED = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
_CLOSED |= {"PIP_NO_INDEX": "1"}


@dataclass(frozen=True)
class Job:
    """One command.

    Attributes:
        arguments: Of Python; `{out}` is the job's own JSON file, `{folder}` its folder.
        limit: Seconds after which it is stopped.
        env: Environment variables.
        tiny: Further arguments of a rehearsal.
    """

    arguments: list[str]
    limit: int
    env: dict[str, str] = field(default_factory=dict)
    tiny: tuple[str, ...] = ()


def _notebook(number: str) -> Job:
    arguments = ["-m", "benchmarks.gpu.notebook", number, "{out}", "{folder}"]
    env = {"MMLEARN_PROFILE": "full"}
    # Trying out each convolution took 20 s a model, its training 3 s.
    env["XLA_FLAGS"] = "--xla_gpu_autotune_level=0"
    return Job(arguments, 300, env, ("--fast",))


def _module(name: str, limit: int) -> Job:
    return Job(["-m", f"benchmarks.gpu.{name}", "{out}"], limit, tiny=("--tiny",))


_EXACT = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
JOBS = {
    "doctor": Job(["-m", "mmlearn", "doctor"], 60),
    "tests_jax": Job([*_TESTS, "8", *_EQUATIONS], 110, _EXACT, ("-k", "concat")),
    "tests_torch": Job(
        [*_TESTS, "6", *_TESTED], 110, {"KERAS_BACKEND": "torch"}, ("-k", "concat")
    ),
    "layers": _module("layers", 300),
    "lenet": Job(
        [
            *["-m", "benchmarks.lenet_pytorch", "--json", "{out}"],
            # TF32 products.
            *["--batch", "1024", "--batches", "20", "--tolerance", "0.01"],
        ],
        120,
        tiny=("--batch", "8", "--batches", "2", "--rounds", "7"),
    ),
    "cifar10": _module("cifar10", 110),
    "batches": _module("batches", 120),
    "02": _notebook("02"),
    "04": _notebook("04"),
    "05": _notebook("05"),
}


class Utilisation(threading.Thread):
    """Samples how busy the first GPU is, twice a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []

    def run(self) -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu"]
        command = [*query, "--format=csv,noheader,nounits", "-lms", "500", "-i", "0"]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError:
            return
        for line in process.stdout:
            if line.strip().isdigit():
                self.samples.append((time.time(), int(line)))

    def between(self, start: float, end: float) -> list[int]:
        return [percent for at, percent in self.samples if start <= at <= end]


def install(kit: Path, target: Path) -> None:
    """Install the kit's wheels into a folder."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    command += ["--no-compile", "--disable-pip-version-check", "--target", str(target)]
    wheels = sorted(map(str, (kit / "wheels").glob("*.whl")))
    if wheels:
        subprocess.run([*command, *wheels], check=True)


def environment(kit: Path, site: Path) -> dict[str, str]:
    """Return what every job sees."""
    env = dict(os.environ)
    path = [str(ROOT), str(ROOT / "tests"), str(site), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    if (kit / "data").is_dir():
        env["MMLEARN_DATA"] = str(kit / "data")
    env.setdefault("KERAS_BACKEND", "jax")
    env |= _CLOSED | {
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "agg",
        # Threads that wait for each other on taken cores wait for long.
        "OMP_NUM_THREADS": "4",
        "KERAS_HOME": str(site.parent / "keras"),
        # Several processes share the device.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # The same model with another seed, or in another job, is compiled once.
        "JAX_COMPILATION_CACHE_DIR": str(site.parent / "compiled"),
        "TORCHINDUCTOR_CACHE_DIR": str(site.parent / "inductor"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return env


def machine() -> dict[str, str]:
    """Return the device's and this machine's names and versions."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        gpu = ""
    return {
        "gpu": gpu or "none",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


class Work:
    """One job while it runs."""

    def __init__(self, name: str, env: dict[str, str], out: Path, tiny: bool):
        job = JOBS[name]
        self.name, self.limit = name, job.limit
        self.result, self.log = out / f"{name}.json", out / f"{name}.log"
        filled = [
            argument.format(out=self.result, folder=out) for argument in job.arguments
        ]
        filled += job.tiny if tiny else ()
        self.start = time.time()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *filled],
                cwd=ROOT,
                env=env | job.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def report(self, beside: list[str], gpu: Utilisation) -> dict:
        """Wait for the end, and return what there is to say."""
        code, end = self.process.wait(), time.time()
        text = self.log.read_text(errors="replace")
        self.log.unlink()
        found = {
            "exit_code": code,
            "seconds": round(end - self.start, 1),
            "beside": [name for name in beside if name != self.name],
            "gpu_percent": gpu.between(self.start, end),
            "end_of_output": text[-4000:],
        }
        if self.result.exists():
            found["result"] = json.loads(self.result.read_text())
            self.result.unlink()
        return found


def together(names: list[str], env, out: Path, seconds: float, gpu, tiny) -> dict:
    """Run jobs at the same time, each until its limit."""
    work = [Work(name, env, out, tiny) for name in names]
    timers = [threading.Timer(min(w.limit, seconds), w.stop) for w in work]
    for timer in timers:
        timer.start()
    found = {}
    # Each in a thread: a short job's time is not that of the longest.
    waiting = [
        threading.Thread(
            target=lambda w=w: found.update({w.name: w.report(names, gpu)})
        )
        for w in work
    ]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    for timer in timers:
        timer.cancel()
    return found


def main() -> None:
    begun = time.time()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--kit", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--budget", type=int, default=480, help="seconds in all")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    site = Path(tempfile.mkdtemp()) / "site"
    install(args.kit, site)
    env, gpu = environment(args.kit, site), Utilisation()
    gpu.start()
    report = {"machine": machine(), "tiny": args.tiny, "jobs": {}}
    for group in args.jobs.split(","):
        left = begun + args.budget - time.time()
        if left < 5:
            break
        names = group.split("+")
        report["jobs"] |= together(names, env, args.out, left, gpu, args.tiny)
        report["seconds"] = round(time.time() - begun, 1)
        unfinished = args.out / "results.part"
        unfinished.write_text(json.dumps(report))
        unfinished.replace(args.out / "results.json")
        for name in names:
            job = report["jobs"][name]
            print(name, f"exit {job['exit_code']}, {job['seconds']} s", flush=True)
            if job["exit_code"]:
                print(job["end_of_output"][-1500:], flush=True)


if __name__ == "__main__":
    main()
