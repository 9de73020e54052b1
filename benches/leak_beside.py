#!/usr/bin/env python3
"""What leaves beside a tunnel that goes, for the record: the world of tests/it/interop/leak.rs (a
namespace with the cables tun0 and eth0, a count of what is sent over the latter, everybody behind both),
with other clients that are bound to tun0. leak_beside.py CLIENT... of libtorrent, aria2, driver; as root.

A client runs for ten seconds with the tunnel up, and as long with it down, deleted, and made anew with
another address; packets over eth0 are counted in each part. LT_PYTHON: a Python that has libtorrent."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
FAR, PART = "10.99.0.1", 10
LIBTORRENT = """
import libtorrent as lt, sys
session = lt.session(dict(listen_interfaces="tun0:7001", outgoing_interfaces="tun0", enable_dht=True, enable_lsd=True,
                          enable_upnp=True, enable_natpmp=True, dht_bootstrap_nodes="10.99.0.1:6771", alert_mask=0))
wanted = lt.add_torrent_params()
wanted.ti, wanted.save_path = lt.torrent_info(sys.argv[1]), sys.argv[2]
wanted.trackers = ["http://10.99.0.1:6969", "udp://10.99.0.1:6970"]
wanted.url_seeds = ["http://10.99.0.1/"]
session.add_torrent(wanted).connect_peer(("10.99.0.1", 6881))
sys.stdin.read()
"""


def command(client, torrent, folder):
    trackers = [f"http://{FAR}:6969", f"udp://{FAR}:6970"]
    if client == "libtorrent":
        return [os.environ.get("LT_PYTHON", "python3"), "-c", LIBTORRENT, torrent, folder]
    if client == "aria2":
        return ["aria2c", "--no-conf", "--interface=tun0", "--listen-port=7001", "--dht-listen-port=7001",
                f"--dht-entry-point={FAR}:6771", "--bt-enable-lpd=true", "--seed-time=0", "--summary-interval=0",
                f"--dht-file-path={folder}/dht", f"--bt-tracker={','.join(trackers)}", f"--dir={folder}", torrent]
    bound = ["--interface", "tun0", "--dns", FAR, "--port", "7001", "--dir", folder, "--peer", f"{FAR}:6881"]
    asked = sum((["-a", url] for url in trackers), []) + ["-w", f"http://{FAR}/", "--dht-bootstrap", f"{FAR}:6771"]
    return [DRIVER, torrent, "--no-repl", *bound, *asked]


class World:
    """Both namespaces; whoever is in them is ended with it."""

    def __init__(self):
        self.inside, self.far = f"beside-{os.getpid()}-in", f"beside-{os.getpid()}-far"
        for name in (self.inside, self.far):
            self.run("ip", "netns", "add", name)
            self.run("ip", "-n", name, "link", "set", "lo", "up")
        self.run("ip", "-n", self.far, "addr", "add", f"{FAR}/32", "dev", "lo")
        self.cable("eth0", "10.78.0.1", "10.78.0.2", "100")
        self.run("ip", "netns", "exec", self.inside, "nft",
                 "add table inet leak; add counter inet leak beside; "
                 "add chain inet leak out { type filter hook output priority 0; }; "
                 "add rule inet leak out oifname eth0 meta l4proto { tcp, udp } counter name beside")

    def run(self, *words):
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def cable(self, name, near, far, metric):
        self.run("ip", "link", "add", name, "netns", self.inside, "type", "veth", "peer", "name", name, "netns",
                 self.far)
        self.run("ip", "-n", self.far, "addr", "add", f"{far}/24", "dev", name)
        self.run("ip", "-n", self.far, "link", "set", name, "up")
        self.run("ip", "-n", self.inside, "addr", "add", f"{near}/24", "dev", name)
        self.up(name, far, metric)

    def up(self, name, far, metric):
        self.run("ip", "-n", self.inside, "link", "set", name, "up")
        self.run("ip", "-n", self.inside, "route", "add", "default", "via", far, "dev", name, "metric", metric)

    def tunnel(self, near):
        self.cable("tun0", near, "10.8.0.1", "50")

    def beside(self):
        listed = self.run("ip", "netns", "exec", self.inside, "nft", "list counter inet leak beside").split()
        return int(listed[listed.index("packets") + 1])

    def start(self, name, words, folder):
        env = dict(os.environ, HOME=folder)
        for off in ("DRIVER_NO_LSD", "DRIVER_NO_DHT", "DRIVER_NO_PORTMAP"):
            env.pop(off, None)
        return subprocess.Popen(["ip", "netns", "exec", name, *words], stdin=subprocess.PIPE, env=env,
                                stdout=open(f"{folder}/said", "w"), stderr=subprocess.STDOUT)

    def end(self):
        for name in (self.inside, self.far):
            for pid in self.run("ip", "netns", "pids", name).split():
                os.kill(int(pid), 9)
            self.run("ip", "netns", "del", name)


def watch(client):
    world, folder = World(), tempfile.mkdtemp()
    try:
        for part in ("far", "client"):
            os.mkdir(f"{folder}/{part}")
        with open(f"{folder}/file.bin", "wb") as out:
            out.write(os.urandom(1 << 18))
        torrent = f"{folder}/file.torrent"
        subprocess.run([DRIVER, "create", f"{folder}/file.bin", "-o", torrent], check=True, stdout=subprocess.DEVNULL)
        world.tunnel("10.8.0.2")
        far = world.start(world.far, ["python3", f"{HERE}/../tests/interop/far_side.py", FAR], f"{folder}/far")
        running = world.start(world.inside, command(client, torrent, f"{folder}/client"), f"{folder}/client")
        changes = [
            ("up", lambda: None),
            ("down", lambda: world.run("ip", "-n", world.inside, "link", "set", "tun0", "down")),
            ("deleted", lambda: world.run("ip", "-n", world.inside, "link", "del", "tun0")),
            ("another address", lambda: world.tunnel("10.8.0.3")),
        ]
        counted = []
        for what, change in changes:
            before = world.beside()
            change()
            time.sleep(PART)
            counted.append(f"{what}: {world.beside() - before}")
        ended = running.poll()
        heard = open(f"{folder}/far/said").read().split("\n")
        spoke = sorted({line.split()[0] for line in heard if line.endswith("10.8.0.2")})
        again = sorted({line.split()[0] for line in heard if line.endswith("10.8.0.3")})
        print(f"{client:<11} packets beside, tunnel {', '.join(counted)}")
        print(f"            by the tunnel: {' '.join(spoke) or 'nobody'}; afterwards: {' '.join(again) or 'nobody'}"
              + (f"; it ended with {ended}" if ended is not None else ""))
        del far
    finally:
        world.end()
        shutil.rmtree(folder, ignore_errors=True)


for client in sys.argv[1:]:
    watch(client)
