"""Write drawn pictures as folders of JPEG files with their factors beside them, and read the factors back."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from helpers import cartoon, pictures

COUNTS = {"train": 2000, "validation": 500, "test": 500}
# Noise makes pictures large. At 85 the error of the compression is smaller than the noise, and 3,000 files need 20 MB.
QUALITY = 85
_COLUMNS = ["file", "split", *(field.name for field in dataclasses.fields(pictures.Factors))]


def write(
    root: str | Path, counts: dict[str, int] | None = None, *, size: int = 150, processes: int = 2, **options: Any
) -> Path:
    """Draw a picture set into ``root/<split>/<class>/<class>.0001.jpg``, with ``root/factors.csv``.

    The files are made in a temporary folder beside ``root``, which then takes its name in one step: an interrupted run
    leaves no half set, and of two runs at once both succeed.

    Parameters
    ----------
    root : path
        If it exists it is left as it is.
    counts : dict of str to int, optional
        Pictures per split, half of them cats. 2,000 for training and 500 each for validation and test if not given.
    size : int
        Pixels.
    processes : int
        How many Python processes draw. Their number does not change a byte.
    **options
        ``seed``, ``poses``, ``hardness``, ``shortcut`` of :func:`helpers.pictures.sample`.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    ValueError
        For an unknown split or a wrong option.
    OSError
        If the folder cannot be written.
    """
    root, counts = Path(root), dict(COUNTS if counts is None else counts)
    for split, count in counts.items():
        if split not in pictures.SPLITS or count < 0:
            raise ValueError(f"counts must name {', '.join(pictures.SPLITS)} with numbers of pictures, got {counts}")
        pictures.sample(0, 0, split=split, **options)  # a wrong option shows before a process starts
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    if root.exists():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    half_made = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for split in counts:
            for name in pictures.CLASSES:
                (half_made / split / name).mkdir(parents=True)
        job = {"root": str(half_made), "counts": counts, "size": size, "options": options, "parts": processes}
        _draw(job, processes)
        _write_factors(half_made, counts, options)
        half_made.chmod(0o755)
        try:
            half_made.rename(root)
        except OSError:
            if not root.is_dir():  # otherwise another run was faster, and its pictures are the same
                raise
    finally:
        shutil.rmtree(half_made, ignore_errors=True)
    return root


def read_factors(root: str | Path, split: str) -> list[dict[str, Any]]:
    """Factors of the pictures of one split, sorted by file name as :func:`helpers.folders.load` sorts them.

    Returns
    -------
    list of dict
        One per picture: ``file`` (relative to ``root``) and the fields of :class:`helpers.pictures.Factors` with
        numbers as float, flags as bool, ``label`` as int.
    """
    path = Path(root, "factors.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    kinds = {field.name: field.type for field in dataclasses.fields(pictures.Factors)}
    convert = {"int": int, "float": float, "bool": lambda text: text == "True"}
    for row in rows:
        for name, kind in kinds.items():
            row[name] = convert[kind](row[name]) if kind in convert else row[name]
    return sorted(rows, key=lambda row: row["file"])


def _draw(job: dict[str, Any], processes: int) -> None:
    """Share the work among fresh interpreters: a kernel that has loaded TensorFlow must not be forked."""
    if processes == 1:
        _draw_part({**job, "part": 0})
        return
    home = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-c", "from helpers.picture_files import _worker; _worker()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}
    workers = []
    for part in range(processes):
        task = json.dumps({**job, "part": part})
        workers.append(subprocess.Popen([*command, task], stderr=subprocess.PIPE, env=environment))
    try:
        for worker in workers:
            message = worker.stderr.read().decode(errors="replace").strip()
            if worker.wait():
                raise OSError(f"a process that draws pictures into {job['root']} failed: {message.splitlines()[-1:]}")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            worker.stderr.close()


def _worker() -> None:
    _draw_part(json.loads(sys.argv[1]))


def _draw_part(job: dict[str, Any]) -> None:
    for split, count in job["counts"].items():
        for i in range(job["part"], count, job["parts"]):
            factors = pictures.sample(i % 2, i // 2, split=split, **job["options"])
            picture = Image.fromarray(cartoon.render(factors, job["size"]))
            picture.save(Path(job["root"], _name(split, i)), quality=QUALITY)


def _write_factors(root: Path, counts: dict[str, int], options: dict[str, Any]) -> None:
    with (root / "factors.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        for split, count in counts.items():
            for i in range(count):
                factors = dataclasses.asdict(pictures.sample(i % 2, i // 2, split=split, **options))
                factors["seed"] = " ".join(map(str, factors["seed"]))
                table.writerow({"file": _name(split, i), "split": split, **factors})


def _name(split: str, i: int) -> str:
    name = pictures.CLASSES[i % 2]
    return f"{split}/{name}/{name}.{i // 2:04d}.jpg"
