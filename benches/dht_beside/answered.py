#!/usr/bin/env python3
"""What an answered query costs: pings and get_peers (half of them for hashes with 100 peers), from
many addresses, one by one and fifty at a time. Before that 200 peers are stored for each of HASHES
hashes (10). answered.py QUERIES CLIENT..."""
import os
import socket
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
COMMANDS = {
    "libtorrent": [os.environ.get("LT_PYTHON", "python3"), f"{here}/lt.py"],
    "bittorrent-dht": ["node", f"{here}/bdht.mjs"],
    "pigeon": [os.environ.get("DHT_EXAMPLE", "target/release/examples/dht")],
}
count, kept = int(sys.argv[1]), int(os.environ.get("HASHES", "10"))


def cpu(pid):
    """Seconds of all its threads: in nanoseconds, where /proc/PID/stat counts in hundredths."""
    tasks = f"/proc/{pid}/task"
    return sum(int(open(f"{tasks}/{t}/schedstat").read().split()[0]) for t in os.listdir(tasks)) / 1e9


def memory(pid):
    total = 0
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith(("Private_Dirty", "Private_Clean")):
            total += int(line.split()[1])
    return total


def sock(i):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((f"127.{60 + i // 250}.{i % 250 + 1}.1", 6881))
    s.settimeout(2)
    return s


def send(s, to, q, extra):
    t = os.urandom(2)
    s.sendto(b"d1:ad2:id20:" + os.urandom(20) + extra + b"e1:q%d:%s1:t2:%s1:y1:qe" % (len(q), q, t), to)


def hear(s):
    try:
        while True:  # It may ask whether we are there, too.
            r = s.recv(4096)
            if not r.endswith(b"1:y1:qe"):
                return r
    except TimeoutError:
        return b""


def ask(s, to, q, extra):
    send(s, to, q, extra)
    return hear(s)


def run(name, own):
    nodes = tempfile.NamedTemporaryFile("w", delete=False)
    nodes.write("127.250.1.1 6881\n")
    nodes.close()
    p = subprocess.Popen(COMMANDS[name] + [own, nodes.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    to = (own, 7881)
    socks = [sock(i) for i in range(400)]
    time.sleep(1)
    hashes = [os.urandom(20) for _ in range(2 * kept)]
    stored = 0
    before = memory(p.pid)
    for i in range(200):
        for h in hashes[:kept]:
            s = socks[(i * 7) % 400]
            r = ask(s, to, b"get_peers", b"9:info_hash20:" + h)
            k = r.find(b"5:token")
            if k < 0:
                continue
            n = int(r[k + 7:r.index(b":", k + 7)])
            j = r.index(b":", k + 7) + 1
            token = r[j:j + n]
            r = ask(s, to, b"announce_peer", b"9:info_hash20:" + h + b"4:porti%de5:token%d:%s" % (1024 + i, len(token), token))
            stored += b"1:r" in r
    results = {}
    for what in ("ping", "get_peers"):
        for at_once in (1, 50):
            got = size = 0
            c0 = cpu(p.pid)
            for i in range(0, count, at_once):
                asked = range(i, min(count, i + at_once))
                for k in asked:
                    extra = b"" if what == "ping" else b"9:info_hash20:" + hashes[k % (2 * kept)]
                    send(socks[k % 400], to, what.encode(), extra)
                for k in asked:
                    r = hear(socks[k % 400])
                    got += bool(r)
                    size = max(size, len(r))
            results[what, at_once] = (1000 * (cpu(p.pid) - c0) / max(1, got) * 1000, got, size)
    after = memory(p.pid)
    print(f"{name:15} stored {stored}, +{after - before} KiB", flush=True)
    for (what, at_once), (cost, got, size) in results.items():
        print(f"  {what:9} {at_once:2} at once: {cost:.1f} ms per 1,000 ({got}/{count}), longest {size} B", flush=True)
    p.stdin.close()
    p.wait(10)


for k, name in enumerate(sys.argv[2:]):
    run(name, f"127.201.{k + 1}.1")
