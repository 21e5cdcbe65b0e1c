"""Rebuild the emoji files of this folder: `python data/make_emoji.py FOLDER`.

Needs npm, and `pip install resvg_py==0.5.0`, which draws SVG. The packages below are
fetched as data, checked, and nothing in them is run. See `emoji.md` for the licences.
"""

import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

# Package and version → SHA-256 of the archive that `npm pack` fetches.
PACKAGES = {
    "emoji-datasource-google@16.0.0": (
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"
    ),
    "emoji-datasource-twitter@16.0.0": (
        "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877"
    ),
    "@iconify-json/fluent-emoji-flat@1.2.6": (
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"
    ),
    "openmoji@17.0.0": (
        "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68"
    ),
    "cldr-annotations-full@48.2.0": (
        "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1"
    ),
    "cldr-annotations-derived-full@48.2.0": (
        "4be946ff5815f806ec78b50363d577a769f2fbfb90c6380a44e161a92436996e"
    ),
}
VENDORS = ("noto", "twemoji", "openmoji", "fluent")
SIDE = 32
# What tells the members of a family apart: joiner, style, woman, man, right; and the
# man, woman and person who do something.
VARIANTS = {"200D", "FE0F", "2640", "2642", "27A1", "1F468", "1F469", "1F9D1"}


def fetch(package: str, folder: Path) -> Path:
    """Fetch a package's archive, check it, unpack it; return the folder."""
    command = ["npm", "pack", "--silent", "--pack-destination", folder, package]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    path = folder / done.stdout.split()[-1]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != PACKAGES[package]:
        raise SystemExit(f"{package}: SHA-256 is {found}, expected {PACKAGES[package]}")
    unpacked = folder / path.stem
    with tarfile.open(path) as archive:
        archive.extractall(unpacked, filter="data")
    return unpacked / "package"


def shrink(picture: Image.Image) -> np.ndarray:
    """Average blocks of pixels, each colour weighted by its alpha, halves rounded up.

    Args:
        picture: Its side is a multiple of 32.

    Returns:
        RGBA, uint8 (32, 32, 4); white where nothing is drawn.
    """
    pixels = np.asarray(picture.convert("RGBA")).astype(np.int64)
    block = len(pixels) // SIDE
    alpha = pixels[..., 3:]
    both = np.concatenate([pixels[..., :3] * alpha, alpha], axis=-1)
    sums = both.reshape(SIDE, block, SIDE, block, 4).sum(axis=(1, 3))
    colours, weights = sums[..., :3], sums[..., 3:]
    divisors = np.maximum(weights, 1)
    colours = np.where(weights, (2 * colours + divisors) // (2 * divisors), 255)
    alpha = (2 * weights + block**2) // (2 * block**2)
    return np.concatenate([colours, alpha], axis=-1).astype("uint8")


def from_svg(svg: str) -> np.ndarray:
    """Draw an SVG four times as large, then shrink it."""
    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=4 * SIDE, height=4 * SIDE)
    return shrink(Image.open(io.BytesIO(bytes(drawn))))


def family(code: str) -> str:
    """Return what the variants of person, gender and direction have in common."""
    parts = [part for part in code.split("-") if part not in VARIANTS]
    if parts:
        return "-".join(parts)
    return "1F9D1" if code in VARIANTS else code.split("-")[0]  # a person, or a sign


def main(folder: Path) -> None:
    """Write the three files into `folder`, and print their checksums."""
    with tempfile.TemporaryDirectory() as temporary:
        build(folder, *(fetch(package, Path(temporary)) for package in PACKAGES))
    for path in sorted(folder.glob("emoji*")):
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def build(folder: Path, google, twitter, fluent, openmoji, annotations, derived):
    """Write the three files from the unpacked packages, in the order of `PACKAGES`."""

    def read(path: Path):
        return json.loads(path.read_text(encoding="utf-8"))

    def words(language: str) -> dict:
        own, more = (
            read(package / name / language / "annotations.json")[name]["annotations"]
            for package, name in (
                (annotations, "annotations"),
                (derived, "annotationsDerived"),
            )
        )
        return {**more, **own}

    said = {language: words(language) for language in ("en", "zh")}
    icons = read(fluent / "icons.json")["icons"]
    chars = read(fluent / "chars.json")
    listed = read(google / "emoji.json")
    listed = [entry for entry in listed if entry["category"] != "Component"]
    listed.sort(key=lambda entry: entry["sort_order"])
    pictures, rows = {vendor: [] for vendor in VENDORS}, []
    for entry in listed:
        code = entry["unified"]
        bare = code.replace("-FE0F", "")
        text = "".join(chr(int(part, 16)) for part in code.split("-"))
        for vendor, png in (
            ("noto", google / "img/google/64" / entry["image"]),
            ("twemoji", twitter / "img/twitter/64" / entry["image"]),
        ):
            pictures[vendor].append(shrink(Image.open(png)))
        svg = openmoji / "color/svg" / f"{code}.svg"
        if not svg.exists():
            svg = svg.with_name(f"{bare}.svg")
        pictures["openmoji"].append(from_svg(svg.read_text(encoding="utf-8")))
        icon = chars.get(code.lower()) or chars.get(bare.lower())
        if icon in icons:
            shape = icons[icon]
            box = f"0 0 {shape.get('width', 32)} {shape.get('height', 32)}"
            svg = (
                '<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" '
                f'viewBox="{box}">{shape["body"]}</svg>'
            )
            pictures["fluent"].append(from_svg(svg))
        else:
            pictures["fluent"].append(np.zeros((SIDE, SIDE, 4), "uint8"))
        row = {"emoji": text, "code": code, "group": entry["category"]}
        row["subgroup"] = entry["subcategory"]
        for language, table in said.items():
            found = table.get(text) or table[text.replace("\ufe0f", "")]
            row[f"name_{language}"] = found["tts"][0]
            row[f"keywords_{language}"] = " | ".join(found["default"])
        row["family"] = family(code)
        for vendor in VENDORS:
            row[f"has_{vendor}"] = int(pictures[vendor][-1].any())
        rows.append(row)
    with (folder / "emoji.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    drawn = {vendor: np.stack(pictures[vendor]) for vendor in VENDORS}
    # OpenMoji has a file of its own, since its licence is share-alike.
    np.savez_compressed(
        folder / "emoji_openmoji_32.npz", openmoji=drawn.pop("openmoji")
    )
    np.savez_compressed(folder / "emoji_noto_twemoji_fluent_32.npz", **drawn)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
