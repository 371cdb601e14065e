"""The outline: what the chapters and the groups of the coverage map are called, and what the table of contents lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from book.paths import Paths

CHAPTERS = {
    "01_background": "1 Background",
    "02_concepts": "2 Concepts",
    "03_backprop_math": "3 Backpropagation",
    "04_loss_examples": "4 Losses and optimisers",
    "05_mnist": "5 MNIST",
    "06_augmented_cnn": "6 Augmented CNN",
    "07_attention": "7 Attention",
    "08_pretraining_finetuning": "8 Pre-training and fine-tuning",
    "09_compute": "9 Compute",
    "10_optimisation": "10 Optimisation",
    "11_deployment": "11 Deployment",
    "12_continual_learning": "12 Continual learning",
    "13_evaluation_faq": "13 Evaluation",
    "14_privacy": "14 Privacy",
    "15_applications_nlp": "15 Applications: language",
    "15_applications_vision": "15 Applications: vision",
    "15_applications_speech": "15 Applications: speech",
    "15_applications_medicine": "15 Applications: medicine",
    "15_applications_finance": "15 Applications: finance",
    "16_trends": "16 Trends",
    "problems": "The problem sets",
    "resources": "Resources",
    "index": "The book as a whole",
    "coverage": "The coverage map",
}
GROUPS = {
    "foundations": "Foundations",
    "framework-steps": "Framework steps and the project",
    "data-and-resources": "Data and resources",
    "evaluation": "Evaluation and optimisation",
    "applications": "Applications",
    "trends": "Trends, challenges and privacy",
    "promises": "Tools, reader goals and other promises",
}


def files(contents: dict) -> list[str]:
    """Every file that the table of contents names, in reading order."""
    found = [contents["root"]]

    def walk(entries) -> None:
        for entry in entries or []:
            if "file" in entry:
                found.append(entry["file"])
            walk(entry.get("sections"))

    for part in contents.get("parts", []):
        walk(part.get("chapters"))
    walk(contents.get("chapters"))
    return found


def written(paths: Paths) -> frozenset[str] | None:
    """Names of the chapters and pages in the table of contents, as rows name them; None if there is no such table.

    Problem sets have the names of their chapters and do not count: a chapter is written when it is listed itself.
    """
    try:
        contents = yaml.safe_load((paths.root / "_toc.yml").read_text(encoding="utf-8"))
        return frozenset(Path(entry).name for entry in files(contents) if not entry.startswith("assignments/"))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None  # the stage complains about a faulty table; here it only means that nothing is known


def chapters_of(row: dict[str, Any]) -> list[str]:
    """Chapters that a row of the errata or of the coverage map belongs to."""
    return [row["chapter"]] if "chapter" in row else list(row.get("chapters", []))


def address(name: str) -> str:
    """Where a chapter or page is in the site, seen from a page at its root."""
    return f"notebooks/{name}.html" if name[:2].isdigit() else f"{name}.html"
