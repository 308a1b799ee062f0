"""Saves a document with LibreOffice under a password, in a format of Microsoft's. Run by make_office.py with the
Python that has LibreOffice's uno module: save_in_office_format.py IN OUT FILTER PASSWORD [CRYPTO]

CRYPTO is "Standard" or "Agile" for Office Open XML; the older formats take the password as it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_ENVIRONMENT = dict(os.environ)  # uno changes it for its children

import uno  # noqa: E402
from com.sun.star.beans import NamedValue, PropertyValue  # noqa: E402
from com.sun.star.connection import NoConnectException  # noqa: E402

_WAIT = 60


def main(source: str, target: str, wanted: str, password: str, crypto: str = "") -> None:
    port = 20_000 + os.getpid() % 10_000
    with tempfile.TemporaryDirectory() as profile:
        accept = f"--accept=socket,host=127.0.0.1,port={port};urp;"
        program = ["soffice", "--headless", "--norestore", "--nologo", "--nodefault"]
        command = [*program, f"-env:UserInstallation=file://{profile}", accept]
        office = subprocess.Popen(command, env=_ENVIRONMENT, start_new_session=True)
        try:
            _save(_connect(port), source, target, wanted, password, crypto)
        finally:
            os.killpg(office.pid, signal.SIGTERM)  # asked to end by itself, it sometimes waits for ever
            office.wait(_WAIT)


def _connect(port: int) -> object:
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    address = f"uno:socket,host=127.0.0.1,port={port};urp;StarOffice.ComponentContext"
    for _ in range(2 * _WAIT):
        try:
            context = resolver.resolve(address)
        except NoConnectException:
            time.sleep(0.5)
        else:
            return context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
    raise TimeoutError("LibreOffice does not answer")


def _save(desktop: object, source: str, target: str, wanted: str, password: str, crypto: str) -> None:
    hidden = _property("Hidden", True)
    document = desktop.loadComponentFromURL(Path(source).resolve().as_uri(), "_blank", 0, (hidden,))
    if crypto:
        data = (NamedValue("CryptoType", crypto), NamedValue("OOXPassword", password))
        secret = _property("EncryptionData", uno.Any("[]com.sun.star.beans.NamedValue", data))
    else:
        secret = _property("Password", password)
    document.storeToURL(Path(target).resolve().as_uri(), (_property("FilterName", wanted), secret))
    document.close(True)


def _property(name: str, value: object) -> PropertyValue:
    made = PropertyValue()
    made.Name, made.Value = name, value
    return made


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # the bridge to a program that has ended keeps threads waiting
