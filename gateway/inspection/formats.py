"""The formats that are recognised, in the order in which they are asked.

Guarantees: a format is chosen by bytes alone. Data that no format recognises, and data that makes a reader
fail, counts as clear. To add a format: a module with `recognise` and `judge`, and one line here.
Failures: none raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.inspection import plain
from gateway.inspection.archives import compressed, rar, sevenzip, tararchive, uuencode, ziparchive
from gateway.inspection.limits import Context
from gateway.inspection.mail import message
from gateway.inspection.office import cfb
from gateway.inspection.outlook import rightsmanaged, tnef
from gateway.inspection.pdf import pdf
from gateway.inspection.pgp import openpgp
from gateway.inspection.smime import certificates, cms
from gateway.inspection.vaults import age, keepass
from gateway.model import PartFacts


@dataclass(frozen=True, slots=True)
class Format:
    """`recognise` is cheap and looks at bytes only; `judge` may raise on data that is not what it seemed."""

    kind: str
    recognise: Callable[[bytes], bool]
    judge: Callable[[bytes, Context], PartFacts]


FORMATS: tuple[Format, ...] = (
    Format(cfb.KIND, cfb.recognise, cfb.judge),
    Format(tnef.KIND, tnef.recognise, tnef.judge),
    Format(rightsmanaged.KIND, rightsmanaged.recognise_message, rightsmanaged.judge_message),
    Format(ziparchive.KIND, ziparchive.recognise, ziparchive.judge),
    Format(sevenzip.KIND, sevenzip.recognise, sevenzip.judge),
    Format(rar.KIND, rar.recognise, rar.judge),
    Format("compressed", compressed.recognise, compressed.judge),
    Format(tararchive.KIND, tararchive.recognise, tararchive.judge),
    Format(cms.KIND, cms.recognise, cms.judge),
    Format(certificates.KIND, certificates.recognise, certificates.judge),
    Format(uuencode.KIND, uuencode.recognise, uuencode.judge),
    Format(pdf.KIND, pdf.recognise, pdf.judge),
    Format(message.KIND, message.recognise, message.judge),
    Format(age.KIND, age.recognise, age.judge),
    Format(keepass.KIND, keepass.recognise, keepass.judge),
    Format(openpgp.KIND, openpgp.recognise, openpgp.judge),
)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on data of an unknown format; the depth and the number of parts are bounded here."""
    if context.depth > context.limits.depth:
        return PartFacts("unknown", findings=("too-deep",), size=len(data))
    if not context.budget.take_part():
        return PartFacts("unknown", findings=("too-many-parts",), size=len(data))
    for candidate in FORMATS:
        try:
            if candidate.recognise(data):
                return candidate.judge(data, context)
        except Exception:  # noqa: BLE001 - whatever hostile bytes do to a reader, they count as clear
            return PartFacts(candidate.kind, findings=("unreadable",), size=len(data))
    return plain.judge(data)
