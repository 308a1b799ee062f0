"""Judges the policy's times, and its lists for inspection: guessed passwords, watch-words, files of signatures.

Guarantees: as `gateway.directory.check`: every mistake with file and line. Failures: none of its own.
"""

from __future__ import annotations

from gateway.configuration import Document, Findings
from gateway.directory.model import Policy

PLACEHOLDERS = ("{partner}", "{date}", "{year}")


def judge_times(document: Document, policy: Policy, findings: Findings) -> None:
    """Deadlines that could never be reached."""
    for name in ("proof_deadline_minutes", "delay_notice_minutes"):
        value: int = getattr(policy, name)
        if value >= policy.retry_deadline_minutes:
            problem = f"`{name}` ({value}) is never reached: mail is returned after {policy.retry_deadline_minutes}"
            findings.fault(document, (name,), problem, "Write a number below retry_deadline_minutes.")


def judge_lists(document: Document, policy: Policy, findings: Findings) -> None:
    """Placeholders that do not exist, words that stand twice, and words that would be found in any message."""
    for place, password in enumerate(policy.common_passwords):
        rest = password
        for known in PLACEHOLDERS:
            rest = rest.replace(known, "")
        if "{" in rest and "}" in rest:
            problem = f"`{password}` holds a placeholder that is not known"
            remedy = f"Known are {', '.join(PLACEHOLDERS)}; or remove the braces."
            findings.fault(document, ("common_passwords", place), problem, remedy)
    for name in ("common_passwords", "watch_words", "signature_files"):
        seen: set[str] = set()
        for place, value in enumerate(getattr(policy, name)):
            if value in seen:
                findings.fault(document, (name, place), f"`{value}` stands twice", "Keep it once.")
            seen.add(value)
    for place, word in enumerate(policy.watch_words):
        if word.endswith("*") and len(word) < 4:
            problem = f"`{word}` would be found in nearly every message"
            findings.warn(document, ("watch_words", place), problem, 'Write more letters before the "*".')
