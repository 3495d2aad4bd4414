"""What the Team window shows, as rows of text: plain functions over the agreement report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["AGREEMENT_HEADINGS", "PROGRESS_HEADINGS", "acceptance_text", "agreement_rows", "progress_rows"]

PROGRESS_HEADINGS = ("Reader", "Read", "Accepted", "Corrected", "Rejected", "s / case", "Planned")
AGREEMENT_HEADINGS = ("Who", "Cases", "Same", "Kappa", "Dice", "EF difference")


def progress_rows(report: Mapping[str, Any], reader: str) -> list[tuple[str, ...]]:
    """Return a row for each reader. What is planned for `reader` blindly is not counted: it would unmask itself."""
    rows = []
    for entry in report["readers"]:
        hidden = entry["reader"] == reader
        waiting = {k: n for k, n in entry["open"].items() if not (hidden and k != "adjudication")}
        pace = entry["median_seconds"]
        rows.append(
            (
                entry["reader"],
                str(entry["n_read"]),
                *(str(entry[category]) for category in ("accept", "correct", "reject")),
                "" if pace is None else f"{pace:.0f}",
                ", ".join(f"{n} {kind}" for kind, n in waiting.items()) or ("(hidden)" if hidden else ""),
            )
        )
    return rows


def agreement_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each pair of readers, each reader's hidden repeats and each reader's gold cases."""
    rows = [_pair(" – ".join(entry["readers"]), entry) for entry in report["between"]]
    rows += [_pair(f"{entry['reader']}, repeats", entry) for entry in report["within"]]
    for entry in report["gold"]:
        found, accepted = _percent(entry["wrong_found"]), _percent(entry["good_accepted"])
        same = _percent(entry["n_right"] / entry["n"])
        rows.append(
            (f"{entry['reader']}, gold", str(entry["n"]), same, f"wrong found {found}", f"good accepted {accepted}", "")
        )
    return rows


def acceptance_text(report: Mapping[str, Any]) -> str:
    """Say how many proposals are accepted, in the audit stream and of all that was read."""
    audit, everything = report["acceptance"]["audit"], report["acceptance"]["all"]
    if not everything["n"]:
        return "No proposal has been decided about yet."
    text = f"Accepted of all that was read: {_share(everything)}, which the order of the queue biases."
    if not audit["n"]:
        return text + " None of the audit stream was read yet: switch on “10 % audit” in the queue."
    return f"Accepted in the audit stream: {_share(audit)}, without bias. {text}"


def _share(share: Mapping[str, Any]) -> str:
    low, high = 100 * share["low"], 100 * share["high"]
    return f"{share['n_accepted']} of {share['n']}, {100 * share['rate']:.0f} % ({low:.0f} to {high:.0f} %)"


def _pair(who: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    kappa, interval = entry["kappa"]["value"], entry["kappa_bootstrap"]
    shown = "–" if kappa is None else f"{kappa:.2f}"
    if kappa is not None and interval["low"] is not None:
        shown += f" ({interval['low']:.2f} to {interval['high']:.2f})"
    labels = entry.get("labels") or {}
    ef = labels.get("lv_ef_percent")
    difference = ""
    if ef is not None:
        limits = "" if ef["sd"] is None else f" ({ef['lower']:+.1f} to {ef['upper']:+.1f})"
        difference = f"{ef['bias']:+.1f}{limits}"
    dice = f"{labels['dice']['mean']:.3f}" if labels else ""
    return who, str(entry["n"]), _percent(entry["agreement"]), shown, dice, difference


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
