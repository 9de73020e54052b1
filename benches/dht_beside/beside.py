#!/usr/bin/env python3
"""DHT lookups and announces of several clients, one after the other, each in a net of the same
shape (net.py): time to the first peer, queries that living nodes got, time until an announce leaves.

    cargo build --release --example dht
    npm install --prefix benches/dht_beside bittorrent-dht@11.0.12
    LT_PYTHON=PYTHON_WITH_LIBTORRENT benches/dht_beside/beside.py \\
        --dead 0.3 --delay 0.05 --saved 60 libtorrent bittorrent-dht pigeon

Everything stays on the loopback device. `answered.py QUERIES CLIENT...` measures what an answered
query costs."""
import argparse
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--count", type=int, default=1000)
p.add_argument("--dead", type=float, default=0.3)
p.add_argument("--delay", default="0.05")
p.add_argument("--finds", type=int, default=100)
p.add_argument("--announces", type=int, default=10)
p.add_argument("--warm", type=int, default=20)
p.add_argument("--saved", type=int, default=400)
p.add_argument("--seed", type=int, default=1)
p.add_argument("--settle", type=float, default=25)
p.add_argument("clients", nargs="+")
o = p.parse_args()
COMMANDS = {
    "libtorrent": [os.environ.get("LT_PYTHON", "python3"), f"{here}/lt.py"],
    "bittorrent-dht": ["node", f"{here}/bdht.mjs"],
    "pigeon": [os.environ.get("DHT_EXAMPLE", "target/release/examples/dht")],
}


def address(i):
    return f"127.{10 + i // 250}.{i % 250 + 1}.1"


class Lines:
    def __init__(self, args):
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.q = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            self.q.put([time.monotonic()] + line.split())

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def next(self, timeout):
        try:
            return self.q.get(timeout=timeout)
        except queue.Empty:
            return None


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else float("nan")


def run(name, own):
    work = tempfile.mkdtemp()
    log = f"{work}/log"
    net = Lines([sys.executable, f"{here}/net.py", str(o.count), str(o.dead), o.delay, str(o.seed), log])
    assert net.next(60)[1:] == ["ready"]
    rng = random.Random(o.seed + 7)
    saved = rng.sample(range(o.count), o.saved)
    with open(f"{work}/nodes", "w") as f:
        f.writelines(f"{address(i)} 6881\n" for i in saved)
    began = time.monotonic()
    client = Lines(COMMANDS[name] + [own, f"{work}/nodes"])
    while client.next(30)[1:2] != ["ready"]:
        pass
    hashes = [rng.randbytes(20).hex() for _ in range(1 + o.warm + o.finds)]
    first, asked = {}, {}

    def find(h, limit=12):
        asked[h] = time.monotonic()
        client.say(f"find {h}")
        end = asked[h] + limit
        while time.monotonic() < end:
            line = client.next(end - time.monotonic())
            if line and line[1:3] == ["peer", h]:
                first[h] = line[0] - asked[h]
                return

    cold = hashes[0]
    find(cold)
    cold_time = first.get(cold, float("nan"))
    time.sleep(o.settle)
    for h in hashes[1:1 + o.warm]:
        find(h)
        time.sleep(0.3)
    cpu0 = cpu(client.p.pid)
    measured = hashes[1 + o.warm:]
    measured_set = set(measured)
    for h in measured:
        find(h)
        time.sleep(0.5)
    cpu1 = cpu(client.p.pid)
    announced = [rng.randbytes(20).hex() for _ in range(o.announces)]
    at = {}
    for h in announced:
        at[h] = time.monotonic()
        client.say(f"announce {h}")
        time.sleep(1.0)
    time.sleep(18 if o.announces else 0)
    client.p.stdin.close()
    client.p.wait(10)
    net.p.stdin.close()
    net.p.wait(20)
    packets, announce_first, announce_last, announce_count = {}, {}, {}, {}
    dead, kinds = {}, [0, 0, 0, 0]
    for line in open(log):
        t, place, sender, method, h = line.split()
        if not sender.startswith(own + ":"):
            continue
        if h in asked and method in ("get_peers", "find_node", "get"):
            counts = dead if place == "dead" else packets
            counts[h] = counts.get(h, 0) + 1
            if h in measured_set:
                kinds[3 if place == "dead" else min(int(place) // 8, 2)] += 1
        if method == "announce_peer" and h in at:
            announce_first.setdefault(h, float(t) - at[h])
            announce_last[h] = float(t) - at[h]
            announce_count[h] = announce_count.get(h, 0) + 1
    f = [first[h] for h in measured if h in first]
    n = [packets.get(h, 0) for h in measured]
    d = [dead.get(h, 0) for h in measured]
    shares = " + ".join(f"{k / max(1, len(measured)):.1f}" for k in kinds)
    a, l = list(announce_first.values()), list(announce_last.values())
    print(f"{name:15} cold {cold_time:.3f} | first peer p50 {quantile(f, .5):.3f} p90 {quantile(f, .9):.3f} p99 {quantile(f, .99):.3f}"
          f" found {len(f)}/{len(measured)} | packets p50 {quantile(n, .5)} p90 {quantile(n, .9)}"
          f", to dead ones {quantile(d, .5)} (to the nearest 8 + next 8 + farther + dead: {shares} in the mean) | announce leaves p50 {quantile(a, .5):.3f} last {quantile(l, .5):.3f} at {quantile(list(announce_count.values()), .5)} nodes, {len(a)}/{len(announced)}"
          f" | CPU {1000 * (cpu1 - cpu0) / max(1, len(measured)):.1f} ms a lookup", flush=True)


def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


for k, name in enumerate(o.clients):
    run(name, f"127.200.{k + 1}.1")
