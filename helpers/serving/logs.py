"""One JSON object a line on standard error. Never payloads, tokens or headers."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime


def event(level: str, name: str, **fields) -> None:
    """Write one line: time (UTC), level, event, and the fields. A log that cannot be written stops no request."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "level": level, "event": name, **fields}, default=str)
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def describe(error: BaseException) -> dict[str, str]:
    """Fields for an exception: its sentence, and where it came from."""
    return {
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error))[-4000:],
    }


class JsonHandler(logging.Handler):
    """What libraries log, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        event(record.levelname.lower(), record.name, message=record.getMessage(), **fields)


def configure() -> None:
    """Send the warnings of every library to the JSON log."""
    logging.basicConfig(handlers=[JsonHandler()], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(
        logging.ERROR
    )  # its warnings are about clients, and logged here already
    logging.captureWarnings(True)
