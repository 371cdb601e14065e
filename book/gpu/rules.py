"""From findings to a verdict: the first rule that has something to say decides.

The order of the rules is the order in which things must be right: card, driver, program, permission, libraries.
"""

from __future__ import annotations

from collections.abc import Callable

from book.gpu import machine_rules, software_rules
from book.gpu.findings import Findings
from book.gpu.remedies import Verdict

RULES: tuple[Callable[[Findings], Verdict | None], ...] = (
    software_rules.other_backend,
    software_rules.in_use,
    software_rules.broken,
    machine_rules.mac,
    machine_rules.windows,
    machine_rules.wsl,
    machine_rules.no_card,
    machine_rules.driver,
    machine_rules.old_driver,
    software_rules.no_framework,
    software_rules.hidden,
    software_rules.old_card,
    software_rules.new_card,
    software_rules.cpu_build,
    software_rules.libraries,
    software_rules.shadow,
    software_rules.unknown,
)


def judge(found: Findings) -> Verdict:
    """The verdict of the first rule that applies; ``RULES`` ends with one that always does."""
    return next(verdict for rule in RULES if (verdict := rule(found)))
