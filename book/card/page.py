"""The benchmark of cards on the execution page: devices side by side, the sweep of batch sizes, and the targets."""

from __future__ import annotations

import re
from typing import Any

from book.card import flops
from book.card import receipt as receipts
from book.card.models import GPTS, NAMES, VOCABULARY
from book.machine import title
from book.markup import table, text
from book.paths import Paths
from book.receipts_page import OPEN

# Dense peaks of products of matrices (no sparsity), in TFLOP/s: NVIDIA's data sheets of these cards, and the white paper of the
# Ada architecture for the RTX 4090. The first name that stands as words in the name of the card counts.
PEAKS = {
    "H200 NVL": {"bfloat16": 835.5, "tf32": 417.5, "float32": 60.0},
    "H200": {"bfloat16": 989.0, "tf32": 494.0, "float32": 67.0},
    "H100 NVL": {"bfloat16": 835.5, "tf32": 417.5, "float32": 60.0},
    "H100 PCIe": {"bfloat16": 756.0, "tf32": 378.0, "float32": 51.0},
    "H100": {"bfloat16": 989.0, "tf32": 494.0, "float32": 67.0},
    "A100": {"bfloat16": 312.0, "tf32": 156.0, "float32": 19.5},
    "L40S": {"bfloat16": 362.0, "tf32": 183.0, "float32": 91.6},
    "L40": {"bfloat16": 181.0, "tf32": 90.5, "float32": 90.5},
    "L4": {"bfloat16": 121.0, "tf32": 60.0, "float32": 30.3},
    "RTX 4090": {"bfloat16": 165.2, "tf32": 82.6, "float32": 82.6},
}
CLASS = ("H100", "H200")  # the cards that the targets speak of
FIT_SECONDS, SHARE = 30.0, 0.40  # targets: the article's training by fit; the share of the peak in bfloat16


def page(paths: Paths) -> str:
    """All of it as HTML."""
    found = receipts.read_all(paths)
    if not found:
        return f"<p>{OPEN.capitalize()}.</p>\n\n{targets(found)}"
    return "\n\n".join(
        [_masked(), _devices(found), _best(found), _fed(found), _sweep(found), targets(found), *map(_parts, found)]
    )


def _masked() -> str:
    """What the counting takes along although a fused kernel may leave it out."""
    shares = [flops.masked_share(VOCABULARY, g["context"], g["width"], g["blocks"]) for g in GPTS.values()]
    return (f"<p>All pairs of tokens are counted, also those that the mask hides and a fused kernel of a card may leave out: "
            f"at most {max(shares):.1%} of the operations of a GPT here.</p>")  # fmt: skip


def peak(receipt: dict[str, Any], precision: str) -> float | None:
    """TFLOP/s that the data sheet of the card promises; None for processors and cards that are not in the table."""
    name = " ".join(receipt["device"]["gpus"][:1])
    known = next((values for card, values in PEAKS.items() if re.search(rf"\b{card}\b", name)), {})
    return known.get(precision)


def best(receipt: dict[str, Any], model: str, precision: str, jit: bool) -> dict[str, Any] | None:
    """The fastest batch of a setting; None if none was measured."""
    wanted = {"model": model, "precision": precision, "jit": jit}
    made = [r for r in receipt["results"] if all(r.get(k) == v for k, v in wanted.items()) and "per_second" in r]
    return max(made, key=lambda r: r["per_second"], default=None)


def share(receipt: dict[str, Any], run: dict[str, Any]) -> tuple[float | None, float | None]:
    """Share of the data sheet's peak, and of the product of matrices measured beside it."""
    sheet = peak(receipt, run["precision"])
    measured = next((r["teraflops"] for r in receipt["results"] if r.get("matmul") == run["precision"]), None)
    return (run["teraflops"] / sheet if sheet else None, run["teraflops"] / measured if measured else None)


def targets(found: list[dict[str, Any]]) -> str:
    """The two targets for cards of one class, each met, not met or open."""
    cards = [r for r in found if r["card"] and any(name in " ".join(r["device"]["gpus"]) for name in CLASS)]
    fits = [run["seconds"] for r in cards for run in r["results"] if run.get("fit") and run["seconds"]]
    shares = [share(r, run)[0] for r in cards for run in _largest(r) if run["precision"] == "bfloat16"]
    rows = [
        [f"the article's training, 20 epochs of 2,000 pictures, below {FIT_SECONDS:.0f} s", *_state(min(fits, default=None), lambda s: s < FIT_SECONDS, "{:.1f} s")],
        [f"the largest GPT in bfloat16 at {SHARE:.0%} of the peak or more", *_state(max(filter(None, shares), default=None), lambda s: s >= SHARE, "{:.0%}")],
    ]  # fmt: skip
    return table("Targets for a card of the class H100", ["target", "measured", "state"], rows)


def _largest(receipt: dict[str, Any]) -> list[dict[str, Any]]:
    """Compiled runs of the largest GPT of the benchmark: none, if it was left out, however fast a smaller one is."""
    return [r for r in receipt["results"] if r.get("model") == NAMES[-1] and r.get("jit") and "per_second" in r]


def _state(value: float | None, met, form: str) -> list[str]:
    return ["", OPEN] if value is None else [form.format(value), "met" if met(value) else "not met"]


def _head(receipt: dict[str, Any]) -> str:
    return f"{title(receipt['device'])}, {receipt['backend']}"


def _devices(found: list[dict[str, Any]]) -> str:
    rows = []
    for r in found:
        products = "; ".join(
            f"{m['matmul']} {m['teraflops']:.3g} (error {m['relative_error']:.0e})"
            for m in r["results"]
            if "matmul" in m
        )
        versions = ", ".join(f"{name} {version}" for name, version in r["versions"].items())
        rows.append([text(_head(r)), products, text(versions), r["date"]])
    return table(
        "Devices, and their largest product of matrices",
        ["device", "TFLOP/s (relative error)", "versions", "date"],
        rows,
    )


def _best(found: list[dict[str, Any]]) -> str:
    keys = dict.fromkeys(
        (r["model"], r["precision"], r["jit"]) for one in found for r in one["results"] if "model" in r
    )
    rows = []
    for model, precision, jit in keys:
        cells = [_cell(r, best(r, model, precision, jit)) for r in found]
        rows.append([text(model), precision, "yes" if jit else "no", *cells])
    heads = ["model", "precision", "compiled", *(_head(r) for r in found)]
    return table("Training at the best batch: per second, batch, share of the peak", heads, rows)


def _cell(receipt: dict[str, Any], run: dict[str, Any] | None) -> str:
    if run is None:
        return "not measured"
    unit = "pictures" if run["model"].startswith("CNN") else "tokens"
    sheet, measured = share(receipt, run)
    shares = [f"{sheet:.0%} of the data sheet"] if sheet else []
    shares += [f"{measured:.0%} of the product"] if measured else []
    said = f"{run['per_second']:,.0f} {unit}/s, batch {run['batch']}, compiled in {run['compile_seconds']:.1f} s"
    return said + "".join(f", {s}" for s in shares)


def _fed(found: list[dict[str, Any]]) -> str:
    """Whether the pictures come as fast as the network takes them."""
    rows = []
    for receipt in found:
        run = next((r for r in receipt["results"] if "pipeline" in r), None)
        if run is None or "error" in run:
            cells = [text(run["error"]) if run else OPEN, "", ""]
        else:
            cells = [f"{run['per_second']:,.0f}", f"{run['training_per_second']:,.0f}",
                     "yes" if run["per_second"] >= run["training_per_second"] else "no: the device waits"]  # fmt: skip
        rows.append([text(_head(receipt)), *cells])
    heads = ["device", "pictures delivered per second", "pictures trained per second", "fast enough"]
    return table("The input pipeline of chapter 6: pictures at 150 x 150, each changed at random", heads, rows)


def _sweep(found: list[dict[str, Any]]) -> str:
    rows = []
    for receipt in found:
        for run in (r for r in receipt["results"] if "model" in r):
            said = f"{run['per_second']:,.0f}" if "per_second" in run else text(run.get("error") or run["skipped"])
            first = f"{run['compile_seconds']:.1f}" if "per_second" in run else ""
            rows.append([text(_head(receipt)), text(run["model"]), run["precision"], "yes" if run["jit"] else "no",
                         f"{run['batch']}", said, first])  # fmt: skip
    heads = ["device", "model", "precision", "compiled", "batch", "per second", "compilation in seconds"]
    return f"<details><summary>All batch sizes</summary>{table('All batch sizes', heads, rows)}</details>"


def _parts(receipt: dict[str, Any]) -> str:
    """Where the time of a step goes: the reason, if a share of the peak is small."""
    rows = []
    for part in (r for r in receipt["results"] if "part" in r):
        failed = part.get("error") or part.get("skipped")
        cells = (
            [text(failed), "", ""]
            if failed
            else [f"{part['times']}", f"{1000 * part['seconds']:,.1f}", f"{part['teraflops']:.3g}"]
        )
        rows.append([text(part["part"]), *cells])
        head = f"{part['of']}, {part['precision']}, batch {part['batch']}, on {_head(receipt)}"
    if not rows:
        return ""
    label = f"Where the time of a step goes: {head}"
    return table(label, ["part, compiled by itself", "times", "milliseconds together", "TFLOP/s"], rows)
