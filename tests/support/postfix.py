"""Complete private Postfix instances: one in front of the gateway, one behind it.

Guarantees: configuration, queue and data live in a temporary folder, /etc/postfix is never read for a decision nor
written, the instance listens on 127.0.0.1 alone and is stopped at the end. Durability is Postfix's default.
Needs root, as Postfix's master does. Failures: RuntimeError with Postfix's words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.ca import Leaf
from tests.support.ports import folder, free_port, listening, wait_for

_MASTER = """\
127.0.0.1:{port} inet n - n - {processes} smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

_MAIN = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "default_privs": "nobody",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "command_directory": "/usr/sbin",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mynetworks": "127.0.0.0/8",
    "mydestination": "",
    "local_recipient_maps": "",
    "alias_maps": "",
    "alias_database": "",
    "append_dot_mydomain": "no",
    "smtp_host_lookup": "native",
    "smtp_dns_support_level": "disabled",
    "local_header_rewrite_clients": "",
    "message_size_limit": "104857600",
    "mailbox_size_limit": "0",
    "virtual_mailbox_limit": "0",
    "smtpd_recipient_restrictions": "permit_mynetworks, reject",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "queue_run_delay": "2s",
    "minimal_backoff_time": "2s",
    "maximal_backoff_time": "5s",
    "smtputf8_enable": "yes",
    "strict_smtputf8": "no",
    "smtp_tls_security_level": "may",
    "virtual_uid_maps": "static:65534",
    "virtual_gid_maps": "static:65534",
    "virtual_minimum_uid": "100",
    "bounce_queue_lifetime": "1h",
    "maximal_queue_lifetime": "1h",
}


@dataclass(frozen=True, slots=True)
class Postfix:
    """A running instance."""

    port: int
    home: Path

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.home / "maillog").read_text(errors="replace")

    @property
    def delivered(self) -> list[Path]:
        """The messages in its one mailbox."""
        mailbox = self.home / "mail" / "inbox" / "new"
        return sorted(mailbox.iterdir()) if mailbox.is_dir() else []

    @property
    def delivered_count(self) -> int:
        """How many messages are in the mailbox."""
        mailbox = self.home / "mail" / "inbox" / "new"
        return sum(1 for _ in os.scandir(mailbox)) if mailbox.is_dir() else 0

    def wait_until_drained(self, seconds: float) -> None:
        """Returns once its queue is empty; AssertionError with what the next hop said where it does not get there."""
        try:
            wait_for(lambda: not self.queued, seconds, "the Postfix in front has handed everything over", every=0.2)
        except AssertionError as error:
            deferred = [line for line in self.log.splitlines() if "status=deferred" in line]
            raise AssertionError("\n".join([f"{error}: {self.queued} left", *deferred[-5:]])) from error

    @property
    def queued(self) -> int:
        """How many messages wait in its queue."""
        total = 0
        for name in ("maildrop", "incoming", "active", "deferred"):
            total += sum(len(files) for _, _, files in os.walk(self.home / "queue" / name))
        return total


@contextmanager
def postfix(
    hostname: str,
    *,
    relay_port: int | None = None,
    domains: tuple[str, ...] = (),
    tls: Leaf | None = None,
    port: int | None = None,
    processes: int = 50,
    services: Sequence[str] = (),
    within: Sequence[str] = (),
    **parameters: str,
) -> Iterator[Postfix]:
    """An instance for the length of the block.

    `relay_port`: everything not for `domains` goes to that port of 127.0.0.1. `domains`: delivered to one Maildir,
    whatever the local part. `tls`: offers STARTTLS with this certificate. `services` are further lines of master.cf,
    `within` is a command that runs the start command given to it as arguments. `parameters` are main.cf parameters.
    """
    if not Path("/usr/sbin/postfix").exists():
        raise RuntimeError("Postfix is not installed: apt-get install postfix")
    with folder("gw-postfix") as home:
        instance = Postfix(port or free_port(), home)
        _configure(instance, hostname, relay_port, domains, tls, processes, parameters)
        if services:
            with (home / "etc" / "master.cf").open("a") as master:
                master.writelines(f"{line}\n" for line in services)
        _postfix(home, "start", within)
        try:
            wait_for(lambda: listening(instance.port), 20, f"Postfix {hostname} listens")
            yield instance
        finally:
            with suppress(RuntimeError):
                _postfix(home, "stop")


def _configure(
    instance: Postfix,
    hostname: str,
    relay_port: int | None,
    domains: tuple[str, ...],
    tls: Leaf | None,
    processes: int,
    parameters: dict[str, str],
) -> None:
    home = instance.home
    for name in ("etc", "queue", "data", "mail"):
        (home / name).mkdir(mode=0o755)
    shutil.chown(home / "data", "postfix")
    shutil.chown(home / "mail", "nobody", "nogroup")
    for name in ("postfix-script", "post-install", "postfix-files"):
        shutil.copy(f"/etc/postfix/{name}", home / "etc" / name)
    main = {
        **_MAIN,
        "myhostname": hostname,
        "queue_directory": str(home / "queue"),
        "data_directory": str(home / "data"),
        "maillog_file": str(home / "maillog"),
        "maillog_file_prefixes": "/tmp",
        "virtual_mailbox_base": str(home / "mail"),
        "virtual_mailbox_domains": " ".join(domains),
        "virtual_mailbox_maps": "static:inbox/",
        "relayhost": f"[127.0.0.1]:{relay_port}" if relay_port else "",
    }
    if relay_port is None:
        main["default_transport"] = "error:no relay from here"
    if tls is not None:
        key = home / "etc" / "tls.pem"
        key.write_bytes(tls.key.read_bytes() + tls.certificate.read_bytes())
        key.chmod(0o600)
        main |= {
            "smtpd_tls_chain_files": str(key),
            "smtpd_tls_security_level": "may",
            "smtpd_tls_received_header": "yes",
        }
    main |= parameters
    (home / "etc" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()))
    (home / "etc" / "master.cf").write_text(_MASTER.format(port=instance.port, processes=processes))


def _postfix(home: Path, command: str, within: Sequence[str] = ()) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        [*within, "postfix", "-c", str(home / "etc"), command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
        env=environment,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"postfix {command}: {done.stdout.decode(errors='replace')}")
