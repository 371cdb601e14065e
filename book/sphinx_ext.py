"""What our site needs beyond jupyter-book: fewer scripts, and landmarks and names that screen readers need."""

from __future__ import annotations

from typing import Any

# Loaded by extensions on every page and used by none: live code (we have no kernel), comments.
UNUSED = ("sphinx-thebe", "thebe", "comments")


def setup(app: Any) -> dict[str, Any]:
    app.connect("html-page-context", _drop_unused, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _drop_unused(app, page, template, context, doctree) -> None:
    def needed(script) -> bool:
        name = str(getattr(script, "filename", script) or "")
        body = str(getattr(script, "attributes", {}).get("body", "") or "")
        return not any(word in name for word in UNUSED) and "THEBE" not in body and "thebe" not in body

    context["script_files"] = [s for s in context.get("script_files", []) if needed(s)]
    context["css_files"] = [s for s in context.get("css_files", []) if needed(s)]
