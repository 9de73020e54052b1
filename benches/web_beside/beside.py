#!/usr/bin/env python3
"""Downloads from a web seed by several clients, by turns, on one machine.

    cargo build --release
    LT_PYTHON=PYTHON_WITH_LIBTORRENT benches/web_beside/beside.py W1 W3 W5

W1: nginx, as fast as it goes. W2: the same over a line of 500 Mbit/s and 100 ms (root is needed).
W3: 5 MB/s a connection, at most 8 of them. W4: links that are good for 6 requests; W4s: for 4 s,
at 50 MB/s. W5: the first answer is a 503 with `Retry-After: 3`. W6: ten files, one of them longer
on the server, which sends 5 MB/s a connection; W6s: one of them with other bytes. W7: 2,500 torrents of 2 MB from one server, 50
of them at a time. W8: a server that sends 50 MB/s, and 20 peers of 1 MB/s each.

Figures are medians: MB/s from the first request to the end, seconds from the start to the first
request, processor seconds of the client a GiB and its memory at most, and as the server's log
tells: requests, connections, the most of them at a time, redirects, refusals, and MB it sent; then
MB that the client says it got beyond what it was to get."""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
p = argparse.ArgumentParser()
p.add_argument("--size", type=int, default=1024, help="MiB")
p.add_argument("--piece", default="1MiB")
p.add_argument("--repeat", type=int, default=3)
p.add_argument("--torrents", type=int, default=2500, help="of W7")
p.add_argument("--work", default=None)
p.add_argument("--clients", default="driver,libtorrent,aria2,curl")
p.add_argument("scenarios", nargs="+")
o = p.parse_args()
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
LT = os.environ.get("LT_PYTHON", "python3")
work = o.work or tempfile.mkdtemp()
www, log = f"{work}/www", f"{work}/access.log"
SPACES = f"web{os.getpid()}a", f"web{os.getpid()}b"
LOCATION = {
    "W3": "limit_rate 5m; limit_conn each 8;",
    "W6": "limit_rate 5m;",
    "W6s": "limit_rate 5m;",
    "W5": f"if (-f {work}/busy) {{ return 503; }}",
}
ORIGIN = {
    "W4": ["--requests", "6"],
    "W4s": ["--seconds", "4", "--rate", "50e6"],
    "W8": ["--rate", "50e6"],
}
# Those that get no further than this have nothing left to ask for.
ENDLESS = {"W6", "W6s"}
CLIENTS = {
    "W4": "driver,libtorrent", "W4s": "driver,libtorrent", "W6": "driver,libtorrent", "W6s": "driver,libtorrent",
    "W7": "driver,libtorrent", "W8": "driver,libtorrent",
}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def inside(scenario, side):
    return ["ip", "netns", "exec", SPACES[side]] if scenario == "W2" else []


def nginx(scenario, port):
    conf = f"{work}/nginx.conf"
    with open(conf, "w") as out:
        out.write(f"""daemon off; user root; worker_processes 1; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{ sendfile on; tcp_nopush on; keepalive_requests 100000;
  limit_conn_zone $binary_remote_addr zone=each:1m; limit_conn_log_level info;
  log_format short '$status $msec $request_time $connection $body_bytes_sent $uri';
  access_log {log} short;
  server {{ listen {port}; root {www};
    error_page 503 @busy; location @busy {{ add_header Retry-After 3 always; return 503; }}
    location / {{ {LOCATION.get(scenario, "")} }} }} }}
""")
    return ["nginx", "-c", conf]


def serve(scenario, port):
    """Starts what a scenario needs; returns that, and where peers are."""
    processes, peers = [], []
    if scenario == "W2":
        link = subprocess.Popen([sys.executable, f"{here}/link.py", *SPACES, "50", "500"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        link.stdout.readline()
        processes.append(link)
    if scenario == "W8":
        seeds = subprocess.Popen([LT, f"{here}/peers.py", f"{work}/0.torrent", www, "20", "1000000"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        peers = seeds.stdout.readline().split()
        processes.append(seeds)
    command = nginx(scenario, port)
    if scenario in ORIGIN:
        command = [sys.executable, f"{here}/origin.py", str(port), f"{www}/file.bin", log, *ORIGIN[scenario]]
    processes.append(subprocess.Popen(inside(scenario, 0) + command, stderr=subprocess.DEVNULL))
    wait = f"import socket, time\nwhile socket.socket().connect_ex(('127.0.0.1', {port})): time.sleep(0.02)"
    subprocess.run(inside(scenario, 0) + [sys.executable, "-c", wait], check=True)
    return processes, peers


def end(processes):
    for process in reversed(processes):
        if process.stdin:
            process.stdin.close()
        else:
            process.terminate()
        process.wait()


def file(path, length):
    if not os.path.exists(path) or os.path.getsize(path) != length:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            for at in range(0, length, 1 << 20):
                out.write(os.urandom(min(1 << 20, length - at)))


def content(scenario, url):
    """Makes the files and their torrents; what is to come at last, and where it is."""
    if scenario in ("W6", "W6s"):
        whole, paths = f"{work}/whole/ten", [f"ten/{number}.bin" for number in range(10)]
        for path in paths:
            file(f"{work}/whole/{path}", (o.size // 10) << 20)
        torrent(whole, url + "/", "0")
        shutil.rmtree(f"{www}/ten", ignore_errors=True)
        shutil.copytree(whole, f"{www}/ten")
        with open(f"{www}/{paths[4]}", "ab" if scenario == "W6" else "r+b") as out:
            out.write(b"four" * (1 if scenario == "W6" else (o.size // 10) << 18))
        return f"{work}/whole", paths[:4] + paths[5:]
    if scenario == "W7":
        paths = [f"{number}.bin" for number in range(o.torrents)]
        for path in paths:
            file(f"{www}/{path}", 2_000_000)
            torrent(f"{www}/{path}", f"{url}/{path}", path, "256KiB")
        return www, paths
    file(f"{www}/file.bin", o.size << 20)
    torrent(f"{www}/file.bin", f"{url}/file.bin", "0")
    return www, ["file.bin"]


def torrent(path, url, name, piece=o.piece):
    out = f"{work}/{name}.torrent"
    if os.path.exists(out):
        os.remove(out)
    subprocess.run([DRIVER, "create", path, "-p", piece, "-w", url, "-o", out], check=True, stdout=subprocess.DEVNULL)


def command(client, scenario, url, out, peers, count):
    torrents = [f"{work}/{name}.torrent" for name in ([f"{n}.bin" for n in range(count)] if count > 99 else ["0"])]
    named = [word for peer in peers for word in ("--peer", peer)]
    return inside(scenario, 1) + {
        "driver": [DRIVER, *torrents, *named, "--dir", out, "--no-repl", "--no-dht", "--no-trackers", "--json", "-e",
                   "--max-active", "50"],
        "libtorrent": [LT, f"{here}/lt.py", out, *named, *torrents],
        "aria2": ["aria2c", "-q", "--enable-dht=false", "--seed-time=0", "--bt-enable-lpd=false", "-d", out, *torrents],
        "curl": ["curl", "-s", "-f", "-o", f"{out}/file.bin", f"{url}/file.bin"],
    }[client]


def downloaded(client, told):
    """What a client says it got in all, in bytes; none if it does not say."""
    events = [json.loads(line) for line in open(told) if line.startswith("{")]
    if client == "driver":
        return sum(event["downloaded"] for event in events if event["event"] == "stopped")
    return events[-1]["downloaded"] if events else None


def once(client, scenario, url, peers, origin, paths):
    out, told = f"{work}/out", f"{work}/told"
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    open(log, "w").close()
    if scenario == "W5":
        open(f"{work}/busy", "w").close()
    begin = time.time()
    process = subprocess.Popen(command(client, scenario, url, out, peers, len(paths)), stdout=open(told, "w"),
                               stderr=subprocess.DEVNULL,
                               env={**os.environ, "HOME": f"{work}/home{time.monotonic_ns()}", "DRIVER_NO_LSD": "1"})
    grown, length = begin, 0
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if scenario == "W5" and os.path.exists(f"{work}/busy") and os.path.getsize(log):
            os.remove(f"{work}/busy")
        if os.path.getsize(log) > length:
            grown, length = time.time(), os.path.getsize(log)
        if scenario in ENDLESS and time.time() > grown + 5:
            process.send_signal(signal.SIGINT)
        if time.time() > begin + 300 or scenario.startswith("W4") and time.time() > grown + 30:
            process.kill()
        time.sleep(0.005)
    over = grown if scenario in ENDLESS else time.time()
    process.returncode = status
    time.sleep(0.1)
    rows = [line.split() for line in open(log)]
    spans = [(float(m) - float(t), float(m)) for _, m, t, *_ in rows]
    same = lambda path: subprocess.run(["cmp", "-s", f"{origin}/{path}", f"{out}/{path}"]).returncode == 0
    edges = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    first = min((a for a, _ in spans), default=over)
    total = sum(os.path.getsize(f"{origin}/{path}") for path in paths)
    got = downloaded(client, told)
    return dict(ok=all(map(same, paths)), rate=total / 1e6 / max(over - first, 1e-3), first=first - begin,
                cpu=(used.ru_utime + used.ru_stime) / (total / 2**30), rss=used.ru_maxrss / 1024, requests=len(rows),
                connections=len({row[3] for row in rows}), most=most, redirects=sum(row[0] == "302" for row in rows),
                refused=sum(row[0] >= "400" for row in rows), sent=sum(int(row[4]) for row in rows) / 1e6,
                beyond=float("nan") if got is None else (got - total) / 1e6)


for scenario in o.scenarios:
    port = free_port()
    url = f"http://{'10.99.0.1' if scenario == 'W2' else '127.0.0.1'}:{port}"
    origin, paths = content(scenario, url)
    wanted = CLIENTS.get(scenario, o.clients).split(",")
    rows = {client: [] for client in o.clients.split(",") if client in wanted}
    for _ in range(o.repeat):
        for client in rows:
            processes, peers = serve(scenario, port)
            try:
                rows[client].append(once(client, scenario, url, peers, origin, paths))
            finally:
                end(processes)
    print(f"{scenario}:")
    for client, runs in rows.items():
        m = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(f"  {client:10} ok {sum(run['ok'] for run in runs)}/{len(runs)}  {m['rate']:6.1f} MB/s  "
              f"first {m['first']:.3f} s  {m['cpu']:.2f} CPU-s/GiB  {m['rss']:.0f} MiB  {m['requests']:.0f} requests  "
              f"{m['connections']:.0f} connections  {m['most']:.0f} at once  {m['redirects']:.0f} redirects  "
              f"{m['refused']:.0f} refused  {m['sent']:.0f} sent  {m['beyond']:.2f} beyond")
    sys.stdout.flush()
if not o.work:
    shutil.rmtree(work)
