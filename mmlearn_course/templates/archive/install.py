"""Make the course's environment from this folder alone, without a network.

Run it with the Python that is to be used: python install.py
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
MADE_FOR = "PYTHON_VERSION"

mine = ".".join(map(str, sys.version_info[:2]))
if mine != MADE_FOR:
    sys.exit(f"This is Python {mine}, the wheels here are for {MADE_FOR}: use that one")
environment = HERE / ".venv"
if environment.exists():
    sys.exit(f"{environment} exists already: remove it to install again")
venv.create(environment, with_pip=True)
python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
pip += ["--no-index", "--find-links", str(HERE / "wheels")]
for options in (
    ["-r", "requirements/cpu.txt"],
    ["--no-deps", "-r", "requirements/no-deps.txt"],
    ["--no-deps", "--no-build-isolation", "-e", "."],
):
    subprocess.run([*pip, *options], cwd=HERE, check=True)
(environment / ".ready").touch()  # for `make`: nothing is to be installed
cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
for file in sorted((HERE / "keras").rglob("*")):
    target = cache / file.relative_to(HERE / "keras")
    if file.is_file() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
print("Installed. Next:")
if (HERE / "shared").is_dir():
    print(f"  set MMLEARN_DATA to {HERE / 'shared'}")
print(f"  {python} -m mmlearn run")
