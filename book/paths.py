"""Where things are. Other tools rely on these places."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from book import BookError

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paths:
    """Places of a project, all derived from its root."""

    root: Path

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def pages(self) -> Path:
        return self.root / "book" / "pages"

    @property
    def data(self) -> Path:
        return self.root / "book" / "data"

    @property
    def theme(self) -> Path:
        return self.root / "book" / "theme"

    @property
    def lock(self) -> Path:
        return self.root / "requirements.lock"

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def executed(self) -> Path:
        return self.build / "executed"

    @property
    def partial(self) -> Path:
        """Notebooks that did not finish, as far as they came."""
        return self.build / "partial"

    @property
    def logs(self) -> Path:
        return self.build / "logs"

    @property
    def cache(self) -> Path:
        return self.build / "cache"

    @property
    def stage(self) -> Path:
        return self.build / "stage"

    @property
    def cases(self) -> Path:
        """Case notebooks of the bug museum."""
        return self.build / "cases"

    @property
    def artifacts(self) -> Path:
        """Files that notebooks publish: models to serve, weights for a page."""
        return self.build / "artifacts"

    @property
    def html(self) -> Path:
        return self.build / "html"

    @property
    def report(self) -> Path:
        return self.build / "report.json"

    @property
    def junit(self) -> Path:
        return self.build / "junit.xml"

    def prepare(self) -> None:
        """Create the build folders.

        Raises
        ------
        BookError
            If they cannot be created or written to.
        """
        try:
            for folder in (self.build, self.executed, self.partial, self.logs, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.build / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise BookError(f"The build folder '{self.build}' cannot be written ({error.strerror}); "
                            "make it writable, or remove what is in its place.") from error  # fmt: skip

    def show(self, path: Path) -> str:
        """A path as a user would type it from the root."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
