#!/usr/bin/env python3
"""Downloads and seeds one large torrent by the command and through the daemon, by turns.

    cargo build --release
    benches/through_daemon.py --size 4096

S1: one `driver seed` on loopback, a download from it; from the start of the command, or from the
moment the daemon is told, until all is here. S4: a download from the command, or from the daemon, that
seeds it; what is timed is the same command each time, what is counted is who seeds.
Figures are medians: MB/s, and processor seconds a GiB of the one that is looked at."""
import argparse
import base64
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

p = argparse.ArgumentParser()
p.add_argument("--size", type=int, default=4096, help="MiB")
p.add_argument("--piece", default="1MiB")
p.add_argument("--repeat", type=int, default=3)
p.add_argument("--work", default=None)
o = p.parse_args()
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
QUIET = ["--no-repl", "--no-dht", "--no-trackers"]
TICKS = os.sysconf("SC_CLK_TCK")
work = o.work or tempfile.mkdtemp()
payload, torrent = f"{work}/of/payload.bin", f"{work}/payload.torrent"
BYTES = o.size << 20


def run(name, words):
    home = {"HOME": f"{work}/{name}", "XDG_STATE_HOME": f"{work}/{name}/state"}
    quiet = {"DRIVER_NO_LSD": "1", "DRIVER_NO_PORTMAP": "1", "DRIVER_NO_DHT": "1"}
    os.makedirs(home["HOME"], exist_ok=True)
    with open(f"{work}/{name}.log", "w") as log:
        return subprocess.Popen([DRIVER, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env={**os.environ, **home, **quiet})


def end(process):
    process.send_signal(signal.SIGINT)
    process.wait()


def used(process):
    """Processor seconds."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def until(there, what):
    for _ in range(6000):
        if there():
            return
        time.sleep(0.01)
    raise SystemExit(f"{what} does not come")


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Daemon:
    """A daemon that has nothing yet."""

    def __init__(self, name, port):
        self.socket = f"{work}/{name}/asked"
        shutil.rmtree(f"{work}/{name}", ignore_errors=True)
        words = ["daemon", "--no-http", "--socket", self.socket, "--port", str(port), "--root", work]
        self.process = run(name, [*words, "--dir", f"{work}/{name}/out"])
        until(lambda: os.path.exists(self.socket), "the daemon")

    def ask(self, method, path, body=None):
        text = json.dumps(body) if body is not None else ""
        with socket.socket(socket.AF_UNIX) as it:
            it.connect(self.socket)
            it.sendall(f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
            answer = b"".join(iter(lambda: it.recv(1 << 16), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.split()[1].startswith(b"2"):
            raise SystemExit(answer.decode())
        return json.loads(body)

    def completed(self):
        """Waits until a torrent is complete."""
        with socket.socket(socket.AF_UNIX) as it:
            it.connect(self.socket)
            it.sendall(b"GET /api/v1/events?since=0-0 HTTP/1.1\r\nHost: localhost\r\n"
                       b"Accept: text/event-stream\r\n\r\n")
            seen = b""
            while b'"to":"seeding"' not in seen and b"event: completed" not in seen:
                seen += it.recv(1 << 16)


def s1(by):
    name = f"s1-{by}"
    shutil.rmtree(f"{work}/{name}", ignore_errors=True)
    begun = time.time()
    if by == "command":
        words = [torrent, "--dir", f"{work}/{name}/out", "--peer", f"127.0.0.1:{seeds}", "--port", "0", *QUIET]
        usage = os.times()
        process = run(name, [*words, "--exit-on-finish"])
        process.wait()
        took, after = time.time() - begun, os.times()
        cpu = after.children_user + after.children_system - usage.children_user - usage.children_system
    else:
        daemon = Daemon(name, 0)
        before, begun = used(daemon.process), time.time()
        added = daemon.ask("POST", "/torrents", addition())
        daemon.ask("POST", f"/torrents/{added['id']}/deeds", {"do": "add_peer", "address": f"127.0.0.1:{seeds}"})
        daemon.completed()
        took, cpu = time.time() - begun, used(daemon.process) - before
        end(daemon.process)
    shutil.rmtree(f"{work}/{name}", ignore_errors=True)
    return took, cpu


def addition():
    with open(torrent, "rb") as file:
        return {"torrent": base64.b64encode(file.read()).decode()}


def s4(by):
    port, name = free_port(), f"s4-{by}"
    if by == "command":
        process = run(name, ["seed", torrent, os.path.dirname(payload), "--port", str(port), *QUIET])
    else:
        daemon = Daemon(name, port)
        process = daemon.process
        daemon.ask("POST", "/torrents", {**addition(), "dir": os.path.dirname(payload)})
        daemon.completed()
    until(lambda: listens(port), "who seeds")
    sink = f"{work}/sink"
    shutil.rmtree(sink, ignore_errors=True)
    before, begun = used(process), time.time()
    words = [torrent, "--dir", f"{sink}/out", "--peer", f"127.0.0.1:{port}", "--port", "0", *QUIET]
    run("sink", [*words, "--exit-on-finish"]).wait()
    took, cpu = time.time() - begun, used(process) - before
    end(process)
    shutil.rmtree(sink, ignore_errors=True)
    return took, cpu


os.makedirs(os.path.dirname(payload), exist_ok=True)
if not os.path.exists(payload) or os.path.getsize(payload) != BYTES:
    with open(payload, "wb") as out:
        for _ in range(o.size):
            out.write(os.urandom(1 << 20))
subprocess.run([DRIVER, "create", payload, "--piece-length", o.piece, "--output", torrent, "-q"], check=True)
seeds = free_port()
seeder = run("seeder", ["seed", torrent, os.path.dirname(payload), "--port", str(seeds), *QUIET])
until(lambda: listens(seeds), "the seed")
time.sleep(2)
rows = {(scenario, by): [] for scenario in ("S1", "S4") for by in ("command", "daemon")}
for _ in range(o.repeat):
    for scenario, by in rows:
        rows[scenario, by].append({"S1": s1, "S4": s4}[scenario](by))
end(seeder)
print(f"{o.size} MiB, load {os.getloadavg()[0]:.1f}:")
for (scenario, by), runs in rows.items():
    took, cpu = (statistics.median(run[at] for run in runs) for at in (0, 1))
    rates = " ".join(f"{BYTES / run[0] / 1e6:.0f}" for run in runs)
    print(f"  {scenario} {by:8}  {BYTES / took / 1e6:5.0f} MB/s ({rates})  {cpu * (1 << 30) / BYTES:.2f} CPU-s/GiB")
if not o.work:
    shutil.rmtree(work)
