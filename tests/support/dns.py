"""A private DNS on loopback: NSD with zones signed on the spot, and unbound in front of it, validating.

    with world({"school.test": Zone("@ MX 10 mx\nmx A 127.0.0.2\n_25._tcp.mx TLSA 3 1 1 9f86...")}) as dns:
        dns.resolver                       "127.0.0.1@23456", for `delivery.resolvers`
        dns.change("school.test", Zone(..., state="expired"))    re-signs, reloads NSD, empties unbound's cache
        dns.change("new.test", Zone("@ MX 0 ."))                 a zone that was not there comes into being
        dns.remove("school.test")                                the name is no more (NXDOMAIN)
        dns.stop(), dns.start()            unbound itself goes away and comes back on the same port
        dns.queries                        how many questions unbound has been asked
        dns.broken("refused")              "address@port" of a server that only ever refuses (see `REPLIES`)

Records are lines of a master file; names are relative to the zone, "@" is the zone itself. SOA and NS are added. A zone
may lie inside another ("_tcp.mx.school.test" inside "school.test"). The top-level domains that the zones need (".test",
".example") are served and signed, and are unbound's only trust anchors; names elsewhere are refused.

`Zone.state`:
  signed          the chain of trust holds: answers and absences are secure
  unsigned        the parent proves that there is no DS: insecure
  expired         every RRSIG ended yesterday: bogus
  bogus           the signatures do not fit the records (the keys are sound): bogus
  wrong-ds        the parent's DS is of another key: bogus
  missing-rrsig   records and absences have no RRSIG although the parent has a DS: bogus
  missing-nsec    records are secure; every absence is bogus
  servfail, refused, garbage, timeout   the zone's name server behaves so: SERVFAIL from unbound, after a time-out only
                  once it gave up, about `GIVES_UP` seconds later

`world(..., address="127.0.0.153", port=53)` serves programs that know /etc/resolv.conf alone. Ready in well under 2 s
(200 zones: about 2 s more). NSEC only.
Failures: RuntimeError with the program's words where NSD or unbound is missing or does not start.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.ports import folder, free_port, wait_for

GIVES_UP = 1.2  # seconds
REPLIES = ("servfail", "refused", "garbage", "timeout")
_SIGNED = ("signed", "expired", "bogus", "wrong-ds", "missing-rrsig", "missing-nsec")
STATES = (*_SIGNED, "unsigned", *REPLIES)


@dataclass(frozen=True, slots=True)
class Zone:
    """What a zone holds and how it is served. `ttl` and `negative_ttl` (the SOA minimum) are in seconds."""

    records: str | tuple[str, ...] = ""
    state: str = "signed"
    ttl: int = 60
    negative_ttl: int = 60

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"no state of a zone: {self.state}")


class DnsWorld:
    """See the top of the file. Use `world`."""

    def __init__(self, home: Path, address: str, port: int | None) -> None:
        self._home, self._address = home, address
        self._port = port or free_port()
        self._nsd_port = free_port()
        self._zones: dict[str, Zone] = {}
        self._served: dict[str, str] = {}  # zone -> where unbound asks for it
        self._known: set[str] = set()  # the zones of NSD
        self._top: set[str] = set()
        self._serial = 1
        self._key, self._other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._broken = {reply: _Broken(reply) for reply in REPLIES}
        self._nsd: subprocess.Popen[bytes] | None = None
        self._unbound: subprocess.Popen[bytes] | None = None

    @property
    def resolver(self) -> str:
        """Where the validating resolver listens, as settings take it."""
        return f"{self._address}@{self._port}"

    @property
    def queries(self) -> int:
        """How many questions unbound has been asked so far."""
        for line in self._tell_unbound("stats_noreset").splitlines():
            name, _, value = line.partition("=")
            if name == "total.num.queries":
                return int(value)
        raise RuntimeError("unbound keeps no statistics")

    @property
    def log(self) -> str:
        """What unbound logged, validation failures included."""
        return (self._home / "unbound.log").read_text(errors="replace")

    def broken(self, reply: str) -> str:
        """A server that answers every question so: one of `REPLIES`."""
        return self._broken[reply].at

    def change(self, name: str, zone: Zone, *, flush: bool = True) -> None:
        """Serves the zone like this from now on. Without `flush` unbound keeps what it knows for its TTL."""
        self.update({name: zone}, flush=flush)

    def update(self, zones: Mapping[str, Zone], *, flush: bool = True) -> None:
        """`change` for several zones at once."""
        names = [_plain(name) for name in zones]
        new_top = {name.rpartition(".")[2] for name in names} - self._top
        if new_top and self._unbound is not None:
            raise ValueError(f"unbound has no trust anchor for {new_top}: name a zone there from the start")
        self._zones |= {_plain(name): zone for name, zone in zones.items()}
        for top in new_top:
            self._top.add(top)
            self._zones.setdefault(top, Zone())
        changed = {*names, *(self._parent(name) for name in names if name not in self._top), *new_top}
        self._publish(changed, flush=flush)

    def remove(self, name: str) -> None:
        """The zone is gone and its parent does not know it."""
        name = _plain(name)
        parent = self._parent(name)
        del self._zones[name]
        if self._served.pop(name, None):
            self._tell_unbound(f"stub_remove {name}.")
        self._publish({parent}, flush=True)

    def flush(self) -> None:
        """Empties unbound's caches, those of servers' state and of keys included."""
        for top in self._top:
            self._tell_unbound(f"flush_zone {top}.")
        self._tell_unbound("flush_infra all")

    # ------------------------------------------------------------ processes

    def begin(self, zones: Mapping[str, Zone]) -> None:
        """Starts everything."""
        for broken in self._broken.values():
            broken.start()
        self.update(zones or {"test": Zone()})
        self.start()

    def start(self) -> None:
        """Starts unbound, where it was stopped."""
        (self._home / "unbound.conf").write_text(self._unbound_settings())
        self._unbound = _run("unbound", "-d", "-p", "-c", str(self._home / "unbound.conf"), home=self._home)
        self._await("unbound", self._unbound, lambda: _asked(self._address, self._port, next(iter(self._top))))

    def stop(self) -> None:
        """Stops unbound: nothing listens at `resolver` any more."""
        _end(self._unbound)
        self._unbound = None

    def end(self) -> None:
        """Stops everything."""
        self.stop()
        _end(self._nsd)
        for broken in self._broken.values():
            broken.end()

    def _await(self, what: str, process: subprocess.Popen[bytes], ready: object) -> None:
        def up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{what} stopped: {(self._home / f'{what}.out').read_text(errors='replace')}")
            return ready() is not None  # type: ignore[operator]

        wait_for(up, 15, f"{what} answers", every=0.02)

    # ------------------------------------------------------------ zones

    def _parent(self, name: str) -> str:
        above = name.partition(".")[2]
        while above not in self._zones:
            above = above.partition(".")[2]
        return above

    def _publish(self, changed: Iterable[str], *, flush: bool) -> None:
        """Writes and signs the zones, and has NSD and unbound take them over."""
        self._serial += 1
        on_nsd = [name for name in changed if self._zones[name].state not in REPLIES]
        for name in on_nsd:
            self._sign(name)
        known = {name for name, zone in self._zones.items() if zone.state not in REPLIES}
        renew, self._known = known != self._known, known
        if renew:
            (self._home / "nsd.conf").write_text(self._nsd_settings())
        if self._nsd is None:
            self._nsd = _run("nsd", "-d", "-c", str(self._home / "nsd.conf"), home=self._home)
            self._await("nsd", self._nsd, lambda: _asked("127.0.0.1", self._nsd_port, next(iter(self._top))))
        else:
            for command in [*(["reconfig"] if renew else []), *(f"reload {name}" for name in on_nsd)]:
                _control(self._home / "nsd.sock", f"NSDCT1 {command}\n")
        for name in on_nsd:
            wait_for(lambda name=name: self._serves(name), 10, f"NSD serves {name} anew", every=0.01)
        for name in changed:
            self._point(name)
        if flush and self._unbound is not None:
            self.flush()

    def _serves(self, name: str) -> bool:
        response = _asked("127.0.0.1", self._nsd_port, name)
        return response is not None and any(
            set_.rdtype == dns.rdatatype.SOA and set_[0].serial == self._serial for set_ in response.answer
        )

    def _point(self, name: str) -> None:
        """Tells unbound whom to ask for the zone."""
        state = self._zones[name].state
        where = self._broken[state].at if state in REPLIES else f"127.0.0.1@{self._nsd_port}"
        if self._served.get(name) == where:
            return
        if self._unbound is not None:
            if name in self._served:
                self._tell_unbound(f"stub_remove {name}.")
            self._tell_unbound(f"stub_add {name}. {where}")
        self._served[name] = where

    def _sign(self, name: str) -> None:
        zone = self._zones[name]
        origin = dns.name.from_text(name)
        top = name.rpartition(".")[2]
        lines = [
            f"@ SOA ns.{top}. hostmaster.{top}. {self._serial} 3600 600 86400 {zone.negative_ttl}",
            f"@ NS ns.{top}.",
            *(["ns A 127.0.0.1"] if name == top else []),
            *(zone.records.splitlines() if isinstance(zone.records, str) else zone.records),
        ]
        for child in self._zones:
            if child not in self._top and self._parent(child) == name:
                lines += self._delegation(child, top)
        text = "\n".join(line.strip() for line in lines)
        parsed = dns.zone.from_text(f"$TTL {zone.ttl}\n{text}\n", origin=origin, relativize=False)
        if zone.state in _SIGNED:
            now = datetime.now(UTC)
            ends = now - timedelta(days=1) if zone.state == "expired" else now + timedelta(days=7)
            key = dns.dnssec.make_dnskey(self._key.public_key(), "ECDSAP256SHA256", flags=257)
            dns.dnssec.sign_zone(
                parsed,
                keys=[(self._key, key)],
                dnskey_ttl=zone.ttl,
                inception=now - timedelta(days=9),
                expiration=ends,
                deterministic=False,
            )
            _spoil(parsed, zone.state)
        parsed.to_file(str(self._home / f"{name}.zone"), relativize=False)

    def _delegation(self, child: str, top: str) -> list[str]:
        lines = [f"{child}. NS ns.{top}."]
        if self._zones[child].state != "unsigned":
            lines.append(f"{child}. DS {self._ds(child, wrong=self._zones[child].state == 'wrong-ds')}")
        return lines

    def _ds(self, name: str, *, wrong: bool = False) -> str:
        key = (self._other if wrong else self._key).public_key()
        dnskey = dns.dnssec.make_dnskey(key, "ECDSAP256SHA256", flags=257)
        return dns.dnssec.make_ds(dns.name.from_text(name), dnskey, "SHA256").to_text()

    # ------------------------------------------------------------ settings

    def _nsd_settings(self) -> str:
        zones = "".join(f"zone:\n  name: {name}\n  zonefile: {name}.zone\n" for name in self._known)
        return f"{_NSD.format(port=self._nsd_port, home=self._home)}{zones}"

    def _unbound_settings(self) -> str:
        tops = "".join(
            f'  trust-anchor: "{top}. DS {self._ds(top)}"\n  local-zone: "{top}." transparent\n' for top in self._top
        )
        stubs = "".join(
            f'stub-zone:\n  name: "{name}."\n  stub-addr: {where}\n' for name, where in self._served.items()
        )
        return (
            f"server:\n  interface: {self._address}\n  port: {self._port}\n{_UNBOUND}  directory: \"{self._home}\"\n"
            f"  logfile: \"{self._home}/unbound.log\"\n{tops}"
            f"remote-control:\n  control-enable: yes\n  control-use-cert: no\n"
            f"  control-interface: {self._home}/unbound.sock\n{stubs}"
        )

    def _tell_unbound(self, command: str) -> str:
        return _control(self._home / "unbound.sock", f"UBCT1 {command}\n")


_NSD = """\
server:
  ip-address: 127.0.0.1@{port}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  zonesdir: "{home}"
  xfrdir: "{home}"
  xfrdfile: "{home}/xfrd.state"
  zonelistfile: "{home}/zone.list"
  rrl-ratelimit: 0
remote-control:
  control-enable: yes
  control-interface: {home}/nsd.sock
"""

_UNBOUND = """\
  do-ip6: no
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  val-log-level: 2
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "validator iterator"
  ede: yes
  local-zone: "." refuse
  num-threads: 1
  num-queries-per-thread: 4096
  outgoing-range: 4096
  qname-minimisation: no
  aggressive-nsec: no
  trust-anchor-signaling: no
  val-bogus-ttl: 1
  infra-host-ttl: 1
  infra-cache-max-rtt: 1000
  unknown-server-time-limit: 200
  outbound-msg-retry: 2
  edns-buffer-size: 1232
"""


@contextmanager
def world(
    zones: Mapping[str, Zone] | None = None, *, address: str = "127.0.0.1", port: int | None = None
) -> Iterator[DnsWorld]:
    """The DNS of these zones for the length of the block; unbound listens at `address` and `port` (a free one)."""
    for program in ("nsd", "unbound"):
        if shutil.which(program, path="/usr/sbin:/usr/bin") is None:
            raise RuntimeError(f"{program} is not installed: apt-get install {program}")
    with folder("gw-dns") as home:
        made = DnsWorld(home, address, port)
        try:
            made.begin(zones or {})
            yield made
        finally:
            made.end()


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _spoil(zone: dns.zone.Zone, state: str) -> None:
    """Breaks what a sound signing made; the DNSKEY set stays sound, so that the fault is where it is meant to be."""
    for node in zone.nodes.values():
        for rdataset in list(node.rdatasets):
            signature = rdataset.rdtype == dns.rdatatype.RRSIG and rdataset.covers != dns.rdatatype.DNSKEY
            if state == "missing-rrsig" and signature:
                node.rdatasets.remove(rdataset)
            if state == "missing-nsec" and dns.rdatatype.NSEC in (rdataset.rdtype, rdataset.covers):
                node.rdatasets.remove(rdataset)
            if state == "bogus" and signature:
                false = [rrsig.replace(signature=bytes(octet ^ 1 for octet in rrsig.signature)) for rrsig in rdataset]
                rdataset.clear()
                for rrsig in false:
                    rdataset.add(rrsig)


def _asked(address: str, port: int, name: str) -> dns.message.Message | None:
    """The SOA as that server answers, None where it does not."""
    try:
        return dns.query.udp(dns.message.make_query(name, "SOA"), address, timeout=0.1, port=port)
    except (OSError, dns.exception.DNSException):
        return None


def _run(program: str, *arguments: str, home: Path) -> subprocess.Popen[bytes]:
    with (home / f"{program}.out").open("wb") as output:
        return subprocess.Popen(
            [f"/usr/sbin/{program}", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def _control(path: Path, command: str) -> str:
    """What the program says to the command. RuntimeError where it refuses it."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(str(path))
        line.sendall(command.encode())
        said = b""
        while block := line.recv(65536):
            said += block
    text = said.decode(errors="replace")
    if text.startswith("error"):
        raise RuntimeError(f"{command.strip()}: {text.strip()}")
    return text


class _Broken(threading.Thread):
    """A name server over UDP that gives one answer to everything; over TCP nobody listens."""

    def __init__(self, reply: str) -> None:
        super().__init__(daemon=True)
        self._reply = reply
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port = free_port()
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self.at = f"127.0.0.1@{port}"

    def run(self) -> None:
        while not self._over.is_set():
            try:
                query, sender = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self._answer(query)
            if answer:
                self._socket.sendto(answer, sender)

    def _answer(self, query: bytes) -> bytes:
        if self._reply == "timeout" or len(query) < 12:
            return b""
        if self._reply == "garbage":
            return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 9, 0, 0) + b"\xc0\x0c" * 20
        response = dns.message.make_response(dns.message.from_wire(query))
        response.set_rcode(dns.rcode.SERVFAIL if self._reply == "servfail" else dns.rcode.REFUSED)
        return response.to_wire()

    def end(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join(2)
        self._socket.close()
