"""The active version of a model, replaced while requests come in.

A new version is loaded and warmed up beside the old one and then takes its place in one assignment; the inference thread
asks for it once per batch. A version that cannot be loaded is refused, and the old one goes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.serving import logs
from helpers.serving.drift import InputMonitor
from helpers.serving.engines import Engine, load
from helpers.serving.models import ModelError, activate, active

POLL = 0.2  # seconds between looks at active.json


@dataclass(frozen=True)
class Loaded:
    """A version in memory, and the one that watches it."""

    version: str
    engine: Engine
    monitor: InputMonitor | None = None
    shadow: Loaded | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        return self.engine.manifest


class LiveModel:
    """One model of the service.

    Parameters
    ----------
    folder : Path
    engine : str
    largest : int
        Images in a batch; sizes up to this are warmed up.
    fallback : str, optional
        Version to begin with if the active one cannot be loaded. A worker that replaces a dead one gets the version that
        answered when the service began, so that a damaged release cannot stop it.

    Raises
    ------
    ModelError
        If neither can be loaded.
    """

    def __init__(self, folder: Path, engine: str, largest: int, fallback: str | None = None):
        self.name, self.folder = folder.name, folder
        self.engine_name, self._largest = engine, largest
        self._lock = asyncio.Lock()
        try:
            self._choice = active(folder)
            self.current = self._load(self._choice)
        except ModelError as error:
            if fallback is None:
                raise
            logs.event("error", "version refused", model=self.name, error=str(error), stays=fallback)
            self._choice = {"version": fallback, "shadow": None}
            self.current = self._load(self._choice)

    def now(self) -> Loaded:
        """What answers now."""
        return self.current

    async def refresh(self) -> None:
        """Follow ``active.json``.

        Raises
        ------
        ModelError
            If it names a version that cannot be loaded; the old one goes on.
        """
        async with self._lock:
            choice = await asyncio.to_thread(active, self.folder)
            if choice == self._choice:
                return
            loaded = await asyncio.to_thread(self._load, choice)
            self._swap(choice, loaded)

    async def release(self, version: str, shadow: str | None) -> None:
        """Load a version, then make it the active one for every worker.

        Raises
        ------
        UnknownVersion, ModelError
            If it or its shadow cannot be loaded; nothing is changed then.
        """
        choice = {"version": version, "shadow": shadow}
        async with self._lock:
            loaded = self.current if choice == self._choice else await asyncio.to_thread(self._load, choice)
            await asyncio.to_thread(lambda: activate(self.folder, version, shadow=shadow))
            self._swap(choice, loaded)

    async def watch(self) -> None:
        """Follow ``active.json`` for ever; each failure is logged once."""
        last = None
        while True:
            await asyncio.sleep(POLL)
            try:
                await self.refresh()
                last = None
            except (ModelError, OSError) as error:
                if str(error) != last:
                    logs.event(
                        "error", "version refused", model=self.name, error=str(error), stays=self.current.version
                    )
                last = str(error)

    def _swap(self, choice: dict[str, str | None], loaded: Loaded) -> None:
        old, self.current, self._choice = self.current.version, loaded, choice
        logs.event("info", "version active", model=self.name, version=loaded.version, before=old,
                   shadow=loaded.shadow and loaded.shadow.version)  # fmt: skip

    def _load(self, choice: dict[str, str | None]) -> Loaded:
        """Load and warm up; what stays the same is kept, with the input statistics collected so far."""
        old = getattr(self, "current", None)
        main = old if old is not None and old.version == choice["version"] else self._one(choice["version"])
        shadow = self._one(choice["shadow"]) if choice["shadow"] else None
        return Loaded(main.version, main.engine, main.monitor, shadow)

    def _one(self, version: str) -> Loaded:
        engine = load(self.folder, version, self.engine_name)
        manifest = engine.manifest
        if manifest["input"]["datatype"] != "UINT8" or manifest["output"]["datatype"] != "FP32":
            raise ModelError(f"Version {version} of {self.name} takes {manifest['input']['datatype']} and gives "
                             f"{manifest['output']['datatype']}; the service serves UINT8 to FP32.")  # fmt: skip
        if manifest["output"]["shape"][1:] != [len(manifest["labels"])]:
            raise ModelError(f"Version {version} of {self.name} has {len(manifest['labels'])} labels for an output of "
                             f"shape {manifest['output']['shape']}.")  # fmt: skip
        engine.warm(self._largest)
        try:
            monitor = InputMonitor(manifest["statistics"]) if manifest["statistics"] else None
        except ValueError as error:
            raise ModelError(f"Version {version} of {self.name}: {error}.") from error
        return Loaded(version, engine, monitor)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits (..., k)."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
