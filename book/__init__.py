"""How the book is made: execute every notebook, collect its claims, render what was verified.

The pipeline, one module a step::

    sources   which notebooks there are, and whether they are fit to run
    cache     what is already executed, addressed by content
    executor  runs the rest in parallel (worker: one notebook in a process of its own)
    ledger    claims of the executed notebooks against the errata and the coverage map
    stage     pages + executed notebooks -> the tree that is rendered
    render    jupyter-book -> the site

``python -m book --help`` lists the commands.
"""

import sys

# A checker of international addresses that nbformat imports on the way and nothing here uses: it would take 1.3 s of
# every command, and again of every fork server. Its users expect that it may be absent.
sys.modules.setdefault("rfc3987_syntax", None)


class BookError(Exception):
    """Something the user can put right. The message is one sentence: what, which value, what to do."""

    status = 2
