"""Receipts as the execution page shows them: machines side by side, and the claims that came out differently."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

from book import receipts
from book.markup import claim_link, table, text
from book.outline import CHAPTERS, address

OPEN = "open: not yet measured"
PLANNED = (("quick", False), ("quick", True), ("full", True))  # profile, on a graphics card
SHARE = 0.1  # of a claim's band: the difference between machines that is worth a line


def side_by_side(found: list[dict[str, Any]], notebooks: list[str]) -> str:
    """A table with a column for each receipt, and an open one for each planned kind of machine without one.

    Parameters
    ----------
    found : list
        From :func:`book.receipts.read_all`.
    notebooks : list of str
        Names of all notebooks of the book, in order.
    """
    kinds = {(r["profile"], bool(r["device"]["gpus"])) for r in found}
    columns = [(_head(r), r["notebooks"]) for r in found]
    columns += [(_planned(*kind), {}) for kind in PLANNED if kind not in kinds]
    rows = [
        [f'<a href="{address(name)}">{CHAPTERS.get(name, name)}</a>', *(_cell(made.get(name)) for _, made in columns)]
        for name in notebooks
    ]
    rows.append(["all notebooks", *(_total(made, notebooks) for _, made in columns)])
    return table("Time and memory by machine", ["notebook", *(head for head, _ in columns)], rows)


def opening(found: list[dict[str, Any]], name: str) -> list[tuple[str, str]]:
    """Rows for the opening table of a chapter: for each profile, time and memory of every machine with a receipt.

    Returns
    -------
    list of (str, str)
        The head of each row and its text, in Markdown. A planned kind of machine without a receipt is said to be open.
    """
    rows = []
    for profile in dict.fromkeys(profile for profile, _ in PLANNED):
        made = [r for r in found if r["profile"] == profile]
        parts = [f"{receipts.title(r['device'])}: {_cell(r['notebooks'].get(name))}" for r in made]
        kinds = {bool(r["device"]["gpus"]) for r in made}
        parts += [f"{_kind(card)}: {OPEN}" for planned, card in PLANNED if planned == profile and card not in kinds]
        rows.append((f"Measured, profile {profile}", "; ".join(parts)))
    return rows


def with_opening(cell: str, rows: list[tuple[str, str]]) -> str:
    """The first cell of a chapter with the rows at the end of its table; a row that only says "open" makes way for them."""
    lines = [line for line in cell.splitlines() if not re.fullmatch(rf"\|[^|]*\| *{OPEN} *\|", line)]
    inside = [number for number, line in enumerate(lines) if line.startswith("|")]
    if not inside:
        return cell
    last = inside[-1] + 1
    return "\n".join([*lines[:last], *(f"| **{head}** | {_in_table(what)} |" for head, what in rows), *lines[last:]])


def machines(found: list[dict[str, Any]]) -> str:
    """What each receipt was made on, with what, and when."""
    if not found:
        return "There is no receipt yet."
    rows = []
    for r in found:
        device, versions = r["device"], ", ".join(f"{name} {version}" for name, version in r["versions"].items())
        cards = ", ".join(device["gpus"]) + f", driver {r['driver']}" if device["gpus"] else "no GPU"
        what = f"{device['cores']} cores of {device['cpu']}, {device['memory_gib']} GiB, {cards}, {device['system']}"
        rows.append([text(_head(r)), text(what), f"{r['jobs']}", text(versions), r["date"]])
    return table("Machines of the receipts", ["receipt", "machine", "notebooks at a time", "versions", "date"], rows)


def differences(found: list[dict[str, Any]], ledger) -> str:
    """Claims with a band whose values on two machines (same profile) differ by more than a tenth of it."""
    rows = []
    for one, other in combinations(found, 2):
        if one["profile"] != other["profile"]:
            continue
        for name, made in one["notebooks"].items():
            there = other["notebooks"].get(name, {}).get("claims", {})
            for claim_id, claim in made["claims"].items():
                width = band(claim, there.get(claim_id, claim))
                value, value_there = claim["value"], there.get(claim_id, claim)["value"]
                if width is not None and abs(value - value_there) > SHARE * width:
                    rows.append([claim_link(claim_id, ledger), f"{value:.6g} ({text(_head(one))})",
                                 f"{value_there:.6g} ({text(_head(other))})", text(claim["bound"])])  # fmt: skip
    pairs = sum(a["profile"] == b["profile"] for a, b in combinations(found, 2))
    if not pairs:
        return "There is nothing to compare yet: no two machines have a receipt of the same profile."
    if not rows:
        return "No claim differs between two machines by more than a tenth of its band."
    return table("Claims that differ between machines", ["claim", "here", "there", "required"], rows)


def cards(found: list[dict[str, Any]]) -> str:
    """One sentence: on which cards the whole book was measured."""
    named = [f"{text(_head(r))} ({r['date']})" for r in found if r["device"]["gpus"]]
    if not named:
        return "The whole book on a graphics card: open, not yet measured. Everything here was tested without one."
    return f"The whole book was measured on: {'; '.join(named)}. [The execution page](execution.md) has the numbers."


def band(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    """Width of a claim's band; with one open side, the room from the bound to the farther of the two values."""
    values = [one["value"], other["value"]]
    if one["kind"] != "band" or one["bound"] != other["bound"] or not all(isinstance(v, (int, float)) for v in values):
        return None
    bounds = [float(n.replace(",", "")) for n in re.findall(r"-?[\d,]*\.?\d+(?:e[-+]?\d+)?", one["bound"])]
    if len(bounds) == 2:
        return bounds[1] - bounds[0]
    return max(abs(v - bounds[0]) for v in values) if len(bounds) == 1 else None


def _in_table(what: str) -> str:
    """Text as one cell of a table in Markdown."""
    return text(what).replace("|", "&#124;")


def _head(receipt: dict[str, Any]) -> str:
    return f"{receipt['profile']}: {receipts.title(receipt['device'])}"


def _planned(profile: str, card: bool) -> str:
    return f"{profile}: {_kind(card)}"


def _kind(card: bool) -> str:
    return f"a machine with {'a' if card else 'no'} graphics card"


def _cell(made: dict[str, Any] | None) -> str:
    if made is None:
        return OPEN
    parts = [f"{made['seconds']:,.0f} s", f"{made['peak_memory_mib']:,.0f} MiB"]
    if made["device_memory_mib"] is not None:
        parts.append(f"{made['device_memory_mib']:,.0f} MiB on the card")
    if made["device_energy_joules"] is not None:
        parts.append(f"{made['device_energy_joules'] / 3600:,.2f} Wh")
    return ", ".join(parts)


def _total(made: dict[str, Any], notebooks: list[str]) -> str:
    """The sum of the times, only if every notebook of today's book is in the receipt."""
    if not all(name in made for name in notebooks):
        return OPEN
    return f"{sum(made[name]['seconds'] for name in notebooks):,.0f} s, at most {max(made[name]['peak_memory_mib'] for name in notebooks):,.0f} MiB"
