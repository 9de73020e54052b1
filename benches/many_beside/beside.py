#!/usr/bin/env python3
"""Seeds many small complete torrents by several clients, by turns, on one machine.

    cargo build --release
    LT_PYTHON=PYTHON_WITH_LIBTORRENT benches/many_beside/beside.py --torrents 5000

Each torrent is one file of 64 KiB in pieces of 16 KiB, without trackers. No client looks at data: the
driver has records of an earlier run, libtorrent is told that all is there. With `--form daemon` the
driver is a daemon that starts again over the ledger of an earlier one, to which the torrents were
added by its socket. With `--work DIRECTORY` all that stays there, and is not made again.

For a daemon it is told first after how many seconds all torrents were listed, and how long a full
list took then. Other figures are medians: seconds from the start of the program until its processor rests, processor
seconds by then, what of its memory no file backs, a torrent, and the same beyond what it holds with
one torrent; percent of a processor while nothing happens; and how many of a hundred torrents answer
a handshake then, and after how many milliseconds."""
import argparse
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--torrents", type=int, default=5000)
p.add_argument("--repeat", type=int, default=3)
p.add_argument("--idle", type=float, default=5, help="seconds")
p.add_argument("--work", default=None)
p.add_argument("--clients", default="driver,libtorrent")
p.add_argument("--form", choices=["seed", "daemon"], default="seed", help="what the driver is")
o = p.parse_args()
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
LT = os.environ.get("LT_PYTHON", "python3")
FILE_LEN, PIECE_LEN = 65_536, 16_384
# It rests when it has used at most a hundredth of a processor for so long.
REST_S = 2
work = o.work or tempfile.mkdtemp()
TICKS = os.sysconf("SC_CLK_TCK")


def info_of(number):
    """The info dictionary of a torrent, and its content."""
    content = hashlib.sha256(b"%d" % number).digest() * (FILE_LEN // 32)
    pieces = b"".join(hashlib.sha1(content[at:at + PIECE_LEN]).digest() for at in range(0, FILE_LEN, PIECE_LEN))
    name = b"%06d" % number
    return b"d6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%se" % (
        FILE_LEN, len(name), name, PIECE_LEN, len(pieces), pieces), content


def corpus(count):
    """A directory of so many torrents and their files."""
    directory = f"{work}/{count}"
    if not os.path.exists(f"{directory}.made"):
        os.makedirs(directory, exist_ok=True)
        for number in range(count):
            info, content = info_of(number)
            for path, written in [("", content), (".torrent", b"d4:info" + info + b"e")]:
                with open(f"{directory}/{number:06}{path}", "wb") as out:
                    out.write(written)
        open(f"{directory}.made", "w").close()
    return directory


def state(count):
    """Where the driver keeps what it knows of so many torrents."""
    return f"{work}/{'daemon' if o.form == 'daemon' else 'state'}{count}"


class Door(http.client.HTTPConnection):
    """The socket of a daemon."""

    def __init__(self, count):
        super().__init__("localhost", timeout=60)
        self.path = f"{state(count)}/driver/daemon/socket"

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def fetch(self, method, path, body=None):
        self.request(method, "/api/v1" + path, body, {"Content-Type": "application/x-bittorrent"} if body else {})
        return self.getresponse().read()

    def ask(self, method, path, body=None):
        return json.loads(self.fetch(method, path, body))


def door(process, count):
    """The socket, as soon as it is there."""
    while process.poll() is None:
        try:
            door = Door(count)
            door.connect()
            return door
        except OSError:
            time.sleep(0.002)
    raise SystemExit("it ended")


def start(client, count, port):
    directory = corpus(count)
    names = [f"{number:06}.torrent" for number in range(count)]
    daemon = [DRIVER, "daemon", "--dir", directory, "--port", str(port), "--no-http", "--no-dht"]
    seed = [DRIVER, "seed", *names, ".", "--port", str(port), "--no-repl", "--no-dht", "--json"]
    command = {
        "driver": daemon if o.form == "daemon" else seed,
        "libtorrent": [LT, f"{here}/lt.py", directory, str(port)],
    }[client]
    home = {"HOME": f"{work}/home{count}", "XDG_STATE_HOME": state(count)}
    quiet = {"DRIVER_NO_LSD": "1", "DRIVER_NO_PORTMAP": "1"}
    return subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env={**os.environ, **home, **quiet})


def stop(client, process):
    if client == "driver":
        process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.wait()


def used(process):
    """Processor seconds."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def anon_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def until_rest(process, begun):
    """When it had used all that it uses, and how much that is."""
    seen = [(begun, 0.0)]
    while process.poll() is None:
        now, cpu = time.time(), used(process)
        seen.append((now, cpu))
        back = [it for it in seen if it[0] <= now - REST_S]
        if back and cpu > 0 and cpu - back[-1][1] <= REST_S / 100:
            return next((at - begun, before) for at, before in seen if before >= back[-1][1])
        time.sleep(0.01)
    raise SystemExit("it ended")


def answers(port, count):
    """How long each of some torrents takes to answer a handshake, in ms."""
    took = []
    for number in range(0, count, max(1, count // 100)):
        begun = time.time()
        hello = b"\x13BitTorrent protocol" + bytes(8) + hashlib.sha1(info_of(number)[0]).digest() + b"-XX0001-knockknockkn"
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as peer:
                peer.sendall(hello)
                if len(peer.recv(68, socket.MSG_WAITALL)) == 68:
                    took.append(1e3 * (time.time() - begun))
        except OSError:
            pass
    return took


def once(client, count):
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    begun = time.time()
    process = start(client, count, port)
    listed = list_took = float("nan")
    if client == "driver" and o.form == "daemon":
        asked = door(process, count)
        while asked.ask("GET", "/session")["torrents"] < count:
            time.sleep(0.002)
        listed = time.time() - begun
    took, cpu = until_rest(process, begun)
    anon, before = anon_kib(process), used(process)
    time.sleep(o.idle)
    idle = 100 * (used(process) - before) / o.idle
    answered = answers(port, count)
    if client == "driver" and o.form == "daemon":
        asked, before = door(process, count), time.time()
        answer = asked.fetch("GET", "/torrents")
        list_took = time.time() - before
        assert len(json.loads(answer)["torrents"]) == count
    before = time.time()
    stop(client, process)
    return dict(listed=listed, list=list_took, stop=time.time() - before, start=took, cpu=cpu, anon=anon, idle=idle, answered=len(answered),
                answer=statistics.median(answered or [float("nan")]))


def records():
    """Has the driver check everything, once; ends when the processor rests."""
    for count in (1, o.torrents):
        if os.path.exists(f"{state(count)}.made"):
            continue
        process = start("driver", count, 0)
        if o.form == "daemon":
            add_all(process, count)
        until_rest(process, time.time())
        stop("driver", process)
        open(f"{state(count)}.made", "w").close()


def add_all(process, count):
    """Adds all torrents to a daemon, and waits until they are complete."""
    it, begun = door(process, count), time.time()
    for number in range(count):
        with open(f"{corpus(count)}/{number:06}.torrent", "rb") as torrent:
            it.ask("POST", "/torrents", torrent.read())
    print(f"{count} added one after the other in {time.time() - begun:.1f} s")
    while it.ask("GET", "/session")["seeding"] < count:
        time.sleep(0.2)


if "driver" in o.clients:
    records()
rows = {client: [] for client in o.clients.split(",")}
alone = {client: once(client, 1)["anon"] for client in rows}
for _ in range(o.repeat):
    for client in rows:
        rows[client].append(once(client, o.torrents))
print(f"{o.torrents} torrents, load {os.getloadavg()[0]:.1f}:")
for client, runs in rows.items():
    m = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    if m["listed"] == m["listed"]:
        print(f"  {client:10}  all listed after {m['listed']:.2f} s, a full list takes {m['list']:.2f} s, "
              f"the stop {m['stop']:.1f} s")
    print(f"  {client:10}  {m['start']:.2f} s  {m['cpu']:.2f} CPU-s  {m['anon'] / o.torrents:.1f} KiB each  "
          f"{(m['anon'] - alone[client]) / max(o.torrents - 1, 1):.1f} beyond one  {m['idle']:.1f} % idle  "
          f"{m['answered']:.0f} answer after {m['answer']:.1f} ms")
if not o.work:
    shutil.rmtree(work)
