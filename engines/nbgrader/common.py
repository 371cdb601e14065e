"""What the parts of the driver share: reports, refusals, nbgrader's view of a course, the record of a grading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

RECORD = "grading.json"


class Refused(Exception):
    """A mistake of the user, as one sentence."""


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def course_folder(root: Path, config: Config, **options: Any) -> CourseDirectory:
    return CourseDirectory(config=config, root=str(root), course_id=root.name, db_url=f"sqlite:///{root / 'gradebook.db'}",
                           **options)  # fmt: skip


def old_record(place: Path) -> dict | None:
    try:
        return json.loads((place / RECORD).read_text())
    except (OSError, ValueError):
        return None


def public(record: dict) -> dict:
    return {name: record.get(name) for name in ("state", "reason", "review", "seconds")}
