#!/usr/bin/env python3
"""Downloads of one file from a web seed (nginx on the loopback device) by several clients, by turns.

    cargo build --release
    LT_PYTHON=PYTHON_WITH_LIBTORRENT benches/web_beside/beside.py W1 W3 W5

W1: as fast as it goes. W3: 5 MB/s a connection, at most 8 of them. W5: the first answer is a 503
with `Retry-After: 3`. Figures are medians: MB/s from the first request to the end, seconds from the
start to the first request, processor seconds of the client a GiB, requests, most connections at a
time as nginx's log tells, and answers that were no success."""
import argparse
import os
import shutil
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
p.add_argument("--work", default=None)
p.add_argument("--clients", default="driver,libtorrent,aria2,curl")
p.add_argument("scenarios", nargs="+")
o = p.parse_args()
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
LT = os.environ.get("LT_PYTHON", "python3")
work = o.work or tempfile.mkdtemp()
LOCATION = {
    "W1": "",
    "W3": "limit_rate 5m; limit_conn each 8;",
    "W5": "if (-f %s/busy) { return 503; }" % work,
}


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def nginx(scenario, port):
    conf = f"{work}/nginx.conf"
    with open(conf, "w") as out:
        out.write(f"""daemon off; user root; worker_processes 1; pid {work}/pid; error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{ sendfile on; tcp_nopush on; keepalive_requests 100000;
  limit_conn_zone $binary_remote_addr zone=each:1m; limit_conn_log_level info;
  log_format short '$status $msec $request_time $connection $body_bytes_sent';
  access_log {work}/access.log short;
  server {{ listen 127.0.0.1:{port}; root {work}/www;
    error_page 503 @busy; location @busy {{ add_header Retry-After 3 always; return 503; }}
    location / {{ {LOCATION[scenario]} }} }} }}
""")
    server = subprocess.Popen(["nginx", "-c", conf], stderr=subprocess.DEVNULL)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.02)
    return server


def command(client, port, out):
    torrent, url = f"{work}/file.torrent", f"http://127.0.0.1:{port}/file.bin"
    return {
        "driver": [DRIVER, torrent, "--dir", out, "--no-repl", "--no-dht", "--no-trackers", "--exit-on-finish"],
        "libtorrent": [LT, f"{here}/lt.py", torrent, out],
        "aria2": ["aria2c", "-q", "--enable-dht=false", "--seed-time=0", "--bt-enable-lpd=false", "-d", out, torrent],
        "curl": ["curl", "-s", "-f", "-o", f"{out}/file.bin", url],
    }[client]


def once(client, port, scenario):
    out = f"{work}/out"
    shutil.rmtree(out, ignore_errors=True)
    os.mkdir(out)
    log = f"{work}/access.log"
    open(log, "w").close()
    if scenario == "W5":
        open(f"{work}/busy", "w").close()
    begin = time.time()
    process = subprocess.Popen(command(client, port, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "HOME": f"{work}/home{time.monotonic_ns()}", "DRIVER_NO_LSD": "1"})
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if scenario == "W5" and os.path.exists(f"{work}/busy") and os.path.getsize(log):
            os.remove(f"{work}/busy")
        if time.time() > begin + 300:
            process.kill()
        time.sleep(0.005)
    end = time.time()
    process.returncode = status
    time.sleep(0.1)
    spans = [(int(s), float(m) - float(t), float(m)) for s, m, t, _, _ in (x.split() for x in open(log))]
    same = subprocess.run(["cmp", "-s", f"{work}/www/file.bin", f"{out}/file.bin"]).returncode == 0
    edges = sorted([(a, 1) for _, a, _ in spans] + [(b, -1) for _, _, b in spans])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    first = min((a for _, a, _ in spans), default=end)
    size = o.size / 1024
    return dict(ok=status == 0 and same, rate=o.size * 1.048576 / max(end - first, 1e-3), first=first - begin,
                cpu=(used.ru_utime + used.ru_stime) / size, requests=len(spans), most=most,
                refused=sum(s >= 400 for s, _, _ in spans))


os.makedirs(f"{work}/www", exist_ok=True)
path = f"{work}/www/file.bin"
if not os.path.exists(path) or os.path.getsize(path) != o.size << 20:
    with open(path, "wb") as out:
        for _ in range(o.size):
            out.write(os.urandom(1 << 20))
for scenario in o.scenarios:
    port = free_port()
    if os.path.exists(f"{work}/file.torrent"):
        os.remove(f"{work}/file.torrent")
    subprocess.run([DRIVER, "create", path, "-p", o.piece, "-w", f"http://127.0.0.1:{port}/file.bin", "-o",
                    f"{work}/file.torrent"], check=True, stdout=subprocess.DEVNULL)
    server = nginx(scenario, port)
    rows = {client: [] for client in o.clients.split(",")}
    try:
        for _ in range(o.repeat):
            for client in rows:
                rows[client].append(once(client, port, scenario))
    finally:
        server.terminate()
        server.wait()
    print(f"{scenario}: {o.size} MiB, pieces of {o.piece}")
    for client, runs in rows.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(f"  {client:10} ok {sum(run['ok'] for run in runs)}/{len(runs)}  {median['rate']:7.1f} MB/s  "
              f"first {median['first']:.3f} s  {median['cpu']:.2f} CPU-s/GiB  {median['requests']:.0f} requests  "
              f"{median['most']:.0f} at once  {median['refused']:.0f} refused")
    sys.stdout.flush()
if not o.work:
    shutil.rmtree(work)
