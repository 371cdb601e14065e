"""Ways to run a chapter elsewhere, from ``book/data/site.yml``: nothing is shown until a repository is named there."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell

from book import BookError
from book.paths import Paths

PACKAGE = "large-models-in-practice"
NOTE = "how-to-run"  # id of the cell that a downloaded notebook begins with


@dataclass(frozen=True)
class Launch:
    """Addresses of the repository and of a JupyterHub; empty where there is none."""

    repository: str = ""
    branch: str = "main"
    jupyterhub: str = ""

    def links(self, notebook: str) -> list[tuple[str, str]]:
        """Names and addresses of the places that can open a notebook."""
        if not self.repository:
            return []
        file, found = f"notebooks/{notebook}.ipynb", []
        github = re.fullmatch(r"https://github\.com/([^/]+/[^/]+)", self.repository)
        if github:
            found.append(
                ("Colab", f"https://colab.research.google.com/github/{github[1]}/blob/{quote(self.branch)}/{file}")
            )
            where = f"https://mybinder.org/v2/gh/{github[1]}/{quote(self.branch, safe='')}"
        else:
            where = f"https://mybinder.org/v2/git/{quote(self.repository, safe='')}/{quote(self.branch, safe='')}"
        found.append(("Binder", f"{where}?{urlencode({'urlpath': f'lab/tree/{file}'})}"))
        if self.jupyterhub:
            folder = self.repository.rsplit("/", 1)[-1]
            query = {"repo": self.repository, "branch": self.branch, "urlpath": f"lab/tree/{folder}/{file}"}
            found.append(("JupyterHub", f"{self.jupyterhub}/hub/user-redirect/git-pull?{urlencode(query)}"))
        return found

    def html(self, notebook: str) -> str:
        """The links as a sentence of the line below a chapter's title."""
        links = [f'<a href="{html.escape(url)}">{name}</a>' for name, url in self.links(notebook)]
        return f" Open in {', '.join(links)}." if links else ""

    def with_note(self, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        """A notebook to download: it begins with what makes it run outside of the book's folder."""
        if self.repository:
            says = (
                "This notebook is a chapter of *Large Models in Practice*. The next cell installs what it needs, once."
            )
            line = f'%pip install --quiet "{PACKAGE} @ git+{self.repository}@{self.branch}"'
            cells = [new_markdown_cell(says, id=NOTE), new_code_cell(line, id=f"{NOTE}-install")]
        else:
            says = (
                "This notebook is a chapter of *Large Models in Practice* and imports the book's package `helpers`. "
                "Open it with `make lab` in the folder of the book, or install the package once: "
                "`pip install PATH`, with the path of that folder."
            )
            cells = [new_markdown_cell(says, id=NOTE)]
        return nbformat.from_dict({**notebook, "cells": [*cells, *notebook.cells]})


def read(paths: Paths) -> Launch:
    """The configuration.

    Raises
    ------
    BookError
        If a value is not an address, or a key is not known.
    """
    file = paths.data / "site.yml"
    if not file.is_file():
        return Launch()
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        launch = Launch(**{key: str(value or "").removesuffix("/") for key, value in values.items()})
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise BookError(f"'{paths.show(file)}' is not a table of repository, branch and jupyterhub "
                        f"({' '.join(str(error).split())}).") from error  # fmt: skip
    for key in ("repository", "jupyterhub"):
        value = getattr(launch, key)
        if value and not re.fullmatch(r"https://[\w.-]+(/[\w.~-]+)*", value):
            raise BookError(f"'{paths.show(file)}' has the {key} '{value}', which is not an https address; "
                            "write one such as https://github.com/OWNER/NAME, or leave it empty.")  # fmt: skip
    if launch.repository and not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", launch.branch):
        raise BookError(
            f"'{paths.show(file)}' has the branch '{launch.branch}', which is no name of a branch; write one, such as main."
        )
    return launch
