"""Makes the labelled Outlook items. Run from the repository: python -m tests.attachments.make_outlook

Needs openssl, zip and 7-Zip (7z) for what is attached. No program that is free to use writes .msg or TNEF files:
`outlook_writer` writes them from MS-OXMSG, MS-OXTNEF and MS-OXORMMS.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.attachments import office_writer
from tests.attachments import outlook_writer as writer
from tests.attachments.compound_writer import Tree, write
from tests.attachments.label import keep
from tests.attachments.make_office import plain_docx
from tests.attachments.outlook_writer import File

PASSWORD = "Correct-Horse-7"
NOTE = "Please find the report about the exercise in the file that is attached to this message."
_MSG, _TNEF, _RPMSG = (f"make_outlook.py, from {name}" for name in ("MS-OXMSG", "MS-OXTNEF", "MS-OXORMMS"))


def _keep(name: str, data: bytes, row: str, strength: str, scheme: str, encrypted: str, *findings: str) -> None:
    kind = {"msg": "msg", "dat": "tnef", "rpmsg": "rights-managed"}[name.rpartition(".")[2]]
    made_by = {"msg": _MSG, "tnef": _TNEF, "rights-managed": _RPMSG}[kind]
    keep(
        name, data, row=row, made_by=made_by, kind=kind, strength=strength, scheme=scheme, encrypted=encrypted,
        findings=findings, password=PASSWORD,
    )  # fmt: skip


def _programs() -> tuple[bytes, bytes, bytes]:
    """A message that openssl encrypted, archives of 7-Zip that are encrypted and plain."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "note.txt").write_text("A line of an exercise.\n" * 20)

        def run(*command: str) -> None:
            subprocess.run(command, cwd=at, check=True, capture_output=True, env=dict(os.environ))

        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Exercise", "-days", "3650",
            "-keyout", "key.pem", "-out", "certificate.pem")  # fmt: skip
        run("openssl", "cms", "-encrypt", "-aes-256-gcm", "-binary", "-outform", "DER", "-in", "note.txt",
            "-out", "smime.p7m", "certificate.pem")  # fmt: skip
        run("7z", "a", "-tzip", "-mem=AES256", f"-p{PASSWORD}", "sealed.zip", "note.txt")
        run("7z", "a", "-tzip", "plain.zip", "note.txt")
        return tuple((at / name).read_bytes() for name in ("smime.p7m", "sealed.zip", "plain.zip"))  # type: ignore[return-value]


def main() -> None:
    cms, sealed, plain = _programs()
    smime, archive, clear = File("smime.p7m", cms), File("report.zip", sealed), File("plain.zip", plain)
    document = File("report.docx", write(office_writer.agile(plain_docx(), PASSWORD)))
    _messages(smime, archive, clear, document)
    _tnef(archive, clear)
    _keep(
        "outlook.rpmsg",
        writer.rpmsg(write(office_writer.rights_managed(plain_docx()))),
        "rights-managed",
        "none",
        "rights-managed message (message.rpmsg)",
        "partial",
        "rights-managed",
    )


def _msg(tree: Tree) -> bytes:
    return write(tree)


def _messages(smime: File, archive: File, clear: File, document: File) -> None:
    aes, cms, partly, item = (
        "WinZip AES-256 (AE-2)",
        "S/MIME AES-256-GCM to 1 recipient",
        "partly-encrypted",
        writer.msg,
    )
    empty = writer.plain_rtf("")
    sealed = _msg(item(subject="Encrypted", files=(smime,), kind="IPM.Note.SMIME", rtf=empty))
    _keep("outlook-smime.msg", sealed, "cms-aes", "strong", cms, "yes")
    _keep("outlook-zip.msg", _msg(item(files=(archive,))), "zip-aes", "acceptable", aes, "yes")
    office = "AES-256, Office Open XML agile, 100,000 rounds"
    _keep("outlook-office.msg", _msg(item(files=(document,))), "ooxml-agile-256", "strong", office, "yes")
    within = File("Forwarded", item=item(files=(archive,), header=24), method=5)
    _keep("outlook-nested.msg", _msg(item(files=(within,))), "zip-aes", "acceptable", aes, "yes")
    _keep("outlook-two.msg", _msg(item(files=(archive, clear))), partly, "none", "", "partial")
    _keep("outlook-body.msg", _msg(item(body=NOTE, files=(archive,))), partly, "none", "", "partial")
    html = f"<html><body><p>{NOTE}</p></body></html>".encode()
    _keep("outlook-html.msg", _msg(item(html=html, files=(archive,))), partly, "none", "", "partial")
    rtf = writer.plain_rtf(NOTE)
    _keep("outlook-rtf.msg", _msg(item(rtf=rtf, files=(smime,), kind="IPM.Note.SMIME")), partly, "none", "", "partial")
    within = File("Forwarded", item=item(body=NOTE, files=(archive,), header=24), method=5)
    _keep("outlook-nested-body.msg", _msg(item(files=(within,))), partly, "none", "", "partial")
    embedded = File("Object", storage={"CONTENTS": NOTE.encode()}, method=6)
    _keep("outlook-object.msg", _msg(item(files=(archive, embedded))), partly, "none", "", "partial")
    pointer = File("https://files.example/report", method=7)
    _keep("outlook-pointer.msg", _msg(item(files=(archive, pointer))), partly, "none", "", "partial")
    beside = item(files=(archive,), extra={"Note": NOTE.encode()})
    _keep("outlook-stream.msg", _msg(beside), partly, "none", "", "partial", "unexpected-stream")
    tail = write(item(files=(archive,)), tail=NOTE.encode())
    _keep("outlook-tail.msg", tail, partly, "none", "", "partial", "trailing-bytes")
    told = item(subject=f"The password is {PASSWORD}", files=(archive,))
    _keep("outlook-password.msg", _msg(told), partly, "none", aes, "partial", "password-opens-it")
    plain = "Outlook item, not encrypted"
    _keep("outlook-plain.msg", _msg(item(subject="Report", body=NOTE, files=(clear,))), "plain", "none", plain, "no")


def _tnef(archive: File, clear: File) -> None:
    aes, partly, item = "WinZip AES-256 (AE-2)", "partly-encrypted", writer.tnef
    whole = item(subject="Report", files=(archive,))
    _keep("tnef-zip.dat", whole, "zip-aes", "acceptable", aes, "yes")
    _keep("tnef-nested.dat", writer.tnef_with_item(whole), "zip-aes", "acceptable", aes, "yes")
    _keep("tnef-two.dat", item(files=(archive, clear)), partly, "none", "", "partial")
    _keep("tnef-body.dat", item(body=NOTE, files=(archive,)), partly, "none", "", "partial")
    mapi = item(more={0x1000001F: NOTE.encode("utf-16-le")}, files=(archive,))
    _keep("tnef-mapi-body.dat", mapi, partly, "none", "", "partial")
    nested = writer.tnef_with_item(item(body=NOTE, files=(archive,)))
    _keep("tnef-nested-body.dat", nested, partly, "none", "", "partial")
    _keep("tnef-cut.dat", whole[:-20], partly, "none", "", "partial", "unreadable")
    _keep("tnef-tail.dat", whole + NOTE.encode(), partly, "none", "", "partial", "unreadable")
    _keep("tnef-plain.dat", item(body=NOTE), "plain", "none", "Outlook item, not encrypted", "no")


if __name__ == "__main__":
    main()
