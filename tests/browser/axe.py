"""What axe-core finds wrong in a page: names, roles, contrast, focus."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

SERIOUS = ("serious", "critical")
# A half-faded colour has no contrast of its own: what moves is brought to its end first.
SETTLE = "document.getAnimations().forEach((each) => { try { each.finish(); } catch { each.cancel(); } })"


def violations(page: Any, impacts: tuple[str, ...] = SERIOUS, within: str | None = None) -> list[str]:
    """Return a line for each rule that the page (or what the selector ``within`` finds) breaks so badly."""
    page.evaluate(SETTLE)
    found = Axe().run(page, context=within).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: "
        + "; ".join(" ".join(map(str, node["target"])) for node in each["nodes"][:5])
        + (f" and {len(each['nodes']) - 5} more" if len(each["nodes"]) > 5 else "")
        for each in found
        if each["impact"] in impacts
    ]
