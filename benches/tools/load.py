#!/usr/bin/env python3
"""Many torrents in `driver daemon`, transmission-daemon and qbittorrent-nox, one after the other on
one machine, and twenty programs that ask once a second while a few torrents change.

    cargo build --release
    benches/tools/load.py --torrents 10000 --seconds 60 --windows 3

Ten ask as Sonarr asks Transmission: `torrent-get` of 14 fields of all torrents. Ten ask as VueTorrent
asks qBittorrent: `sync/maindata` with the number of the answer before. The driver is asked by all
twenty at once, each of the other two by its ten alone. Each second five torrents get another limit,
by the words that the server knows. Each torrent is one file of 1,000 bytes, private, without
trackers, paused, and nothing of it is there.

Told of each window: milliseconds from the first byte of a request to the last one of its answer
(median and 99th percentile), requests, how many were turned away, percent of a core that the server used, and its memory (RSS)
when the window began and ended. Who waits for longer than a second asks again at once, so that a
server that is too slow for ten is told of as it is to ten; `--clients 1` tells how it is to one. At the end the medians of all windows, and what they come to beside
the other servers. Only the driver of the release build counts; `DRIVER` names another one."""
import argparse
import base64
import hashlib
import http.client
import json
import multiprocessing
import os
import pathlib
import queue
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

p = argparse.ArgumentParser()
p.add_argument("--torrents", type=int, default=10_000)
p.add_argument("--seconds", type=float, default=60, help="of a window")
p.add_argument("--windows", type=int, default=3)
p.add_argument("--clients", type=int, default=10, help="of each kind")
p.add_argument("--changes", type=int, default=5, help="torrents that change each second")
p.add_argument("--servers", default="driver,transmission,qbittorrent")
p.add_argument("--work", default=None, help="an empty directory; all of it is removed")
p.add_argument("--patience", type=float, default=600, help="seconds for a server to list them all")

FIELDS = [
    "id", "hashString", "name", "downloadDir", "totalSize", "leftUntilDone", "isFinished", "eta",
    "status", "secondsDownloading", "secondsSeeding", "errorString", "uploadedEver",
    "downloadedEver",
]
FILE_LEN, PIECE_LEN = 1_000, 16_384
TICKS = os.sysconf("SC_CLK_TCK")
GET = json.dumps({"method": "torrent-get", "arguments": {"fields": FIELDS}})


def bencoded(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencoded, value)) + b"e"
    return b"d" + b"".join(bencoded(key) + bencoded(value[key]) for key in sorted(value)) + b"e"


def torrent(number):
    """Its name, its `.torrent`, and its hash."""
    content = hashlib.sha256(b"%d" % number).digest() * 32
    name = f"a.show.s01e{number:05}.1080p"
    info = {
        "length": FILE_LEN, "name": name, "piece length": PIECE_LEN, "private": 1,
        "pieces": hashlib.sha1(content[:FILE_LEN]).digest(),
    }
    return name, bencoded({"info": info}), hashlib.sha1(bencoded(info)).digest()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Asking:
    """A connection that is kept, and made again when it broke."""

    def __init__(self, address, headers):
        self.address, self.headers, self.connection = address, dict(headers), None

    def send(self, method, path, body=None, headers=()):
        """Status, headers, body, and how many seconds it took."""
        fresh = self.connection is None
        if fresh:
            self.connection = http.client.HTTPConnection(self.address, timeout=120)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        try:
            self.connection.request(method, path, body, {**self.headers, **dict(headers)})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            # A server may close what was idle.
            if fresh:
                raise
            return self.send(method, path, body, headers)
        took = time.perf_counter() - begin
        if answer.will_close:
            self.connection.close()
            self.connection = None
        return answer.status, answer.headers, text, took


class Sonarr:
    """Asks for all torrents."""

    def __init__(self, address, headers):
        headers = {"Content-Type": "application/json", **headers}
        self.asking = Asking(address, headers)

    def call(self, body):
        for _ in range(2):
            status, headers, text, took = self.asking.send("POST", "/transmission/rpc", body)
            if status != 409:
                break
            self.asking.headers["X-Transmission-Session-Id"] = headers["X-Transmission-Session-Id"]
        if status != 200:
            raise SystemExit(f"transmission/rpc: {status} {text[:300]!r}")
        return text, took

    def poll(self):
        text, took = self.call(GET)
        return took, len(text)

    def count(self):
        return len(json.loads(self.call(GET)[0])["arguments"]["torrents"])

    def change(self, hashes, step):
        given = {"ids": [it.hex() for it in hashes], "uploadLimit": 50 + step, "uploadLimited": True}
        self.call(json.dumps({"method": "torrent-set", "arguments": given}))


class VueTorrent:
    """Asks for what is new."""

    def __init__(self, address, headers):
        self.asking, self.rid = Asking(address, headers), 0

    def poll(self):
        status, headers, text, took = self.asking.send("GET", f"/api/v2/sync/maindata?rid={self.rid}")
        if "Set-Cookie" in headers:
            # What was told before is remembered by it.
            self.asking.headers["Cookie"] = headers["Set-Cookie"].split(";")[0]
        if status != 200:
            raise SystemExit(f"sync/maindata: {status} {text[:300]!r}")
        self.rid = json.loads(text)["rid"]
        return took, len(text)

    def count(self):
        text = self.asking.send("GET", "/api/v2/sync/maindata")[2]
        return len(json.loads(text).get("torrents", ()))

    def change(self, hashes, step):
        form = {"hashes": "|".join(it.hex() for it in hashes), "limit": (50 + step) * 1024}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        form = urllib.parse.urlencode(form)
        self.asking.send("POST", "/api/v2/torrents/setUploadLimit", form, headers)


class Driver:
    """Is told of the torrents by its own API, eight at once."""
    kinds = (Sonarr, VueTorrent)

    def __init__(self, home, hashes):
        self.home = home
        self.command = [
            os.path.abspath(os.environ.get("DRIVER", "target/release/driver")), "daemon", "--http",
            f"127.0.0.1:{free_port()}", "-p", "0", "--dir", str(home / "out"), "--bind", "127.0.0.1",
            "--no-dht", "--no-lsd", "--no-portmap", "--max-active", "10000",
        ]
        self.address = self.command[3]
        self.environment = {
            **os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache"),
        }
        self.headers = {}

    def fill(self, count):
        token = self.home / "state/driver/daemon/token"
        wait("a token", lambda: token.exists() and token.read_text().strip(), 30)
        secret = token.read_text().strip()
        self.headers = {"Authorization": "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()}
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        numbers = queue.SimpleQueue()
        for number in range(count):
            numbers.put(number)

        def add():
            asking = Asking(self.address, headers)
            while True:
                try:
                    number = numbers.get_nowait()
                except queue.Empty:
                    return
                body = {"torrent": base64.b64encode(torrent(number)[1]).decode(), "paused": True}
                status, _, text, _ = asking.send("POST", "/api/v1/torrents", json.dumps(body))
                if status >= 300:
                    raise SystemExit(f"add: {status} {text[:300]!r}")

        adding = [threading.Thread(target=add) for _ in range(8)]
        for it in adding:
            it.start()
        for it in adding:
            it.join()


class Transmission:
    """Finds the torrents in its directory."""
    kinds = (Sonarr,)

    def __init__(self, home, hashes):
        port = free_port()
        self.address, self.headers = f"127.0.0.1:{port}", {}
        self.command = ["transmission-daemon", "-f", "-g", str(home)]
        self.environment = {**os.environ, "HOME": str(home)}
        settings = {
            "rpc-port": port, "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": False,
            "rpc-authentication-required": False, "dht-enabled": False, "lpd-enabled": False,
            "utp-enabled": False, "pex-enabled": False, "peer-port": free_port(),
            "port-forwarding-enabled": False, "bind-address-ipv4": "127.0.0.1",
            "download-dir": str(home / "out"), "start-added-torrents": False,
        }
        home.mkdir(exist_ok=True)
        (home / "settings.json").write_text(json.dumps(settings))
        (home / "torrents").mkdir()
        for number in range(len(hashes)):
            name, data, hash = torrent(number)
            (home / f"torrents/{name}.{hash.hex()[:16]}.torrent").write_bytes(data)

    def fill(self, count):
        pass


class Qbittorrent:
    """Finds the torrents, and what it would have noted of them, in its profile."""
    kinds = (VueTorrent,)

    def __init__(self, home, hashes):
        port = free_port()
        self.address, self.headers = f"127.0.0.1:{port}", {}
        profile = home / "profile"
        config, backup = profile / "qBittorrent/config", profile / "qBittorrent/data/BT_backup"
        config.mkdir(parents=True)
        backup.mkdir(parents=True)
        (config / "qBittorrent.conf").write_text(
            "[LegalNotice]\nAccepted=true\n[BitTorrent]\nSession\\DHTEnabled=false\n"
            "Session\\LSDEnabled=false\nSession\\PeXEnabled=false\nSession\\Interface=lo\n"
            "Session\\InterfaceName=lo\n[Network]\nPortForwardingEnabled=false\n[Preferences]\n"
            f"WebUI\\Address=127.0.0.1\nWebUI\\LocalHostAuth=false\nWebUI\\Port={port}\n"
            "WebUI\\UseUPnP=false\n")
        for number in range(len(hashes)):
            name, data, hash = torrent(number)
            (backup / f"{hash.hex()}.torrent").write_bytes(data)
            note = {
                "file-format": "libtorrent resume file", "file-version": 1, "info-hash": hash,
                "pieces": b"\0", "paused": 1, "auto_managed": 0, "save_path": str(home / "out"),
                "qBt-savePath": str(home / "out"), "qBt-category": "", "qBt-name": "", "qBt-tags": [],
                "qBt-ratioLimit": -2000, "qBt-seedingTimeLimit": -2, "qBt-seedStatus": 0,
                "qBt-contentLayout": "Original", "qBt-firstLastPiecePriority": 0,
                "qBt-hasRootFolder": 0, "added_time": 1_700_000_000,
            }
            (backup / f"{hash.hex()}.fastresume").write_bytes(bencoded(note))
        (backup / "queue").write_text("")
        self.command = ["qbittorrent-nox", f"--profile={profile}"]
        self.environment = {**os.environ, "HOME": str(home)}

    def fill(self, count):
        pass


def wait(what, is_so, patience):
    until = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {patience:.0f} s")
        time.sleep(0.1)


def load():
    return os.getloadavg()[0]


def used(pid):
    """Processor seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """MiB that are resident."""
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def polls(kind, address, headers, clients, ready, go, results):
    """The programs of one kind, in a process of their own: each has its own part of the second."""
    readers = [kind(address, headers) for _ in range(clients)]
    for it in readers:
        it.poll()
    ready.put(None)
    begin, seconds = go.get()
    taken = queue.SimpleQueue()

    def repeat(reader, nth):
        at = begin + nth / clients
        while at < begin + seconds:
            time.sleep(max(0, at - time.monotonic()))
            try:
                taken.put(reader.poll())
            except (OSError, http.client.HTTPException):
                # A server that has too much to do turns connections away.
                taken.put(None)
            # Whoever waits for longer than a second asks at once, not twice.
            at = max(at + 1, time.monotonic())

    threads = [threading.Thread(target=repeat, args=it) for it in zip(readers, range(clients))]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    results.put((kind.__name__, [taken.get() for _ in range(taken.qsize())]))


def changes(kind, address, headers, hashes, count, nth, go):
    """What changes, each second; otherwise than in other windows."""
    writer = kind(address, headers)
    begin, seconds = go.get()
    for step in range(int(seconds)):
        time.sleep(max(0, begin + step + 0.55 - time.monotonic()))
        first = step * count % (len(hashes) - count)
        try:
            writer.change(hashes[first:first + count], nth * 1000 + step)
        except (OSError, http.client.HTTPException):
            # There are others.
            pass


def window(server, pid, hashes, nth, o):
    """One of them; a line for each kind that asks."""
    ready, results = multiprocessing.Queue(), multiprocessing.Queue()
    workers, goes = [], []
    for kind in server.kinds:
        go = multiprocessing.Queue()
        given = (kind, server.address, server.headers, o.clients, ready, go, results)
        workers.append(multiprocessing.Process(target=polls, args=given))
        goes.append(go)
    go = multiprocessing.Queue()
    given = (server.kinds[-1], server.address, server.headers, hashes, o.changes, nth, go)
    workers.append(multiprocessing.Process(target=changes, args=given))
    goes.append(go)
    for it in workers:
        it.start()
    for _ in server.kinds:
        ready.get(timeout=o.patience)
    time.sleep(2)
    before, cpu, begin = memory(pid), used(pid), time.monotonic()
    for go in goes:
        go.put((begin + 0.05, o.seconds))
    told = dict(results.get(timeout=o.seconds * 3 + 60) for _ in server.kinds)
    took = time.monotonic() - begin
    share, after = (used(pid) - cpu) / took, memory(pid)
    for it in workers:
        it.join()
    lines = {}
    for kind, answers in told.items():
        failed, answers = answers.count(None), [it for it in answers if it]
        times = sorted(seconds * 1000 for seconds, _ in answers)
        lines[kind] = {
            "p50": statistics.median(times), "p99": times[min(len(times) - 1, len(times) * 99 // 100)],
            "requests": len(times), "bytes": statistics.median(size for _, size in answers),
            "failed": failed,
        }
    return lines, share * 100, before, after


def serve(name, hashes, work, o):
    """Starts one, fills it, asks it; the medians by kind."""
    home = work / name
    (home / "out").mkdir(parents=True)
    server = {"driver": Driver, "transmission": Transmission, "qbittorrent": Qbittorrent}[name](home, hashes)
    log = open(home / "log", "wb")
    begin = time.monotonic()
    process = subprocess.Popen(
        server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=server.environment)
    try:
        server.fill(len(hashes))

        def has_all():
            if process.poll() is not None:
                raise SystemExit(f"{name} has ended: {(home / 'log').read_text()[-2000:]}")
            try:
                return server.kinds[0](server.address, server.headers).count() >= len(hashes)
            except OSError:
                return False

        wait(f"{name} lists {len(hashes)}", has_all, o.patience)
        print(f"{name}: all listed after {time.monotonic() - begin:.1f} s", flush=True)
        seen = []
        for nth in range(o.windows):
            lines, share, before, after = window(server, process.pid, hashes, nth, o)
            for kind, it in lines.items():
                print(f"{name} {nth + 1} {kind:10} p50 {it['p50']:8.1f} ms  p99 {it['p99']:8.1f} ms  "
                      f"{it['requests']:4} requests of {it['bytes'] / 1000:.1f} kB, "
                      f"{it['failed']} failed  cpu {share:5.1f} %  "
                      f"rss {before:.0f} -> {after:.0f} MiB  load {load():.1f}", flush=True)
            seen.append((lines, share, before, after))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    middle = {
        (kind.__name__, it): statistics.median(lines[kind.__name__][it] for lines, *_ in seen)
        for kind in server.kinds for it in ("p50", "p99")
    }
    share = statistics.median(share for _, share, *_ in seen)
    return middle, share, seen[0][2], seen[-1][3]


def main():
    o = p.parse_args()
    work = pathlib.Path(o.work or tempfile.mkdtemp())
    hashes = [torrent(number)[2] for number in range(o.torrents)]
    print(f"{o.torrents} torrents, {o.windows} x {o.seconds:.0f} s, {os.cpu_count()} cores, load {load():.1f}")
    figures = {}
    try:
        for name in o.servers.split(","):
            figures[name] = serve(name, hashes, work, o)
    finally:
        for name in o.servers.split(","):
            shutil.rmtree(work / name, ignore_errors=True)
    print("medians of windows:")
    for name, (middle, share, before, after) in figures.items():
        told = "  ".join(f"{kind} {it} {ms:.1f} ms" for (kind, it), ms in middle.items())
        print(f"  {name:12} {told}  cpu {share:.1f} %  rss {before:.0f} -> {after:.0f} MiB")
    for other, kind in (("transmission", "Sonarr"), ("qbittorrent", "VueTorrent")):
        if "driver" in figures and other in figures:
            for it in ("p50", "p99"):
                ours, theirs = (figures[who][0][kind, it] for who in ("driver", other))
                print(f"  {kind} {it}: {ours / theirs:.3f} of {other}'s")


if __name__ == "__main__":
    sys.exit(main())
