#!/usr/bin/env python3
"""Seeds many small complete torrents by several clients, by turns, on one machine.

    cargo build --release
    LT_PYTHON=PYTHON_WITH_LIBTORRENT benches/many_beside/beside.py --torrents 5000

Each torrent is one file of 64 KiB in pieces of 16 KiB, without trackers. No client looks at data: the
driver has records of an earlier run, libtorrent is told that all is there.

Figures are medians: seconds from the start of the program until its processor rests, processor
seconds by then, what of its memory no file backs, a torrent, and the same beyond what it holds with
one torrent; percent of a processor while nothing happens; and how many of a hundred torrents answer
a handshake then, and after how many milliseconds."""
import argparse
import hashlib
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


def start(client, count, port):
    directory = corpus(count)
    names = [f"{number:06}.torrent" for number in range(count)]
    command = {
        "driver": [DRIVER, "seed", *names, ".", "--port", str(port), "--no-repl", "--no-dht", "--json"],
        "libtorrent": [LT, f"{here}/lt.py", directory, str(port)],
    }[client]
    home = {"HOME": f"{work}/home{count}", "XDG_STATE_HOME": f"{work}/state{count}"}
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
    took, cpu = until_rest(process, begun)
    anon, before = anon_kib(process), used(process)
    time.sleep(o.idle)
    idle = 100 * (used(process) - before) / o.idle
    answered = answers(port, count)
    stop(client, process)
    return dict(start=took, cpu=cpu, anon=anon, idle=idle, answered=len(answered),
                answer=statistics.median(answered or [float("nan")]))


def records():
    """Has the driver check everything, once; ends when the processor rests."""
    for count in (1, o.torrents):
        process = start("driver", count, 0)
        until_rest(process, time.time())
        stop("driver", process)


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
    print(f"  {client:10}  {m['start']:.2f} s  {m['cpu']:.2f} CPU-s  {m['anon'] / o.torrents:.1f} KiB each  "
          f"{(m['anon'] - alone[client]) / max(o.torrents - 1, 1):.1f} beyond one  {m['idle']:.1f} % idle  "
          f"{m['answered']:.0f} answer after {m['answer']:.1f} ms")
if not o.work:
    shutil.rmtree(work)
