"""Writes the catalogue of findings into docs/inspection.md, where a test compares it with the code.

Run by hand (`.venv/bin/python tools/findings.py`) after a finding is added. Failures: ValueError where the page has
lost its heading.
"""

from __future__ import annotations

from pathlib import Path

from gateway.inspection.findings import FINDINGS, MALFORMED

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "inspection.md"
HEADING = "## Every finding"


def main() -> None:
    """Replaces everything below the heading."""
    text = PAGE.read_text("utf-8")
    above = text[: text.index(HEADING)]
    rows = [
        f"| `{code}` | {'malformed' if code in MALFORMED else ''} | {words} |".replace("|  |", "| |")
        for code, words in FINDINGS.items()
    ]
    head = f'{HEADING}\n\nFindings marked "malformed" forbid every limb.\n\n| finding | | meaning |\n|---|---|---|\n'
    PAGE.write_text(above + head + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
