#!/usr/bin/env python3
"""What it costs to let strangers in who begin with MSE: processor time a handshake, from the
connection to the answer of the BitTorrent handshake, RC4 chosen. mse_beside.py COUNT CLIENT...

Fifty come at once, each from a network of its own, 200 a second: who calls more often is refused.
Clients take turns; medians of five turns. LT_PYTHON: a Python that has libtorrent; DRIVER: the command."""
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, f"{here}/../tests/interop")
from mse_vectors import Cipher, P, digest, number, xor  # noqa: E402

# Connections that come at once.
BURST = 50
count, clients = int(sys.argv[1]), sys.argv[2:]
DRIVER = os.path.abspath(os.environ.get("DRIVER", "target/release/driver"))
LIBTORRENT = """
import libtorrent as lt, sys
quiet = dict(enable_dht=False, enable_lsd=False, enable_upnp=False, enable_natpmp=False, alert_mask=0,
             in_enc_policy=1, out_enc_policy=1, allowed_enc_level=3, connections_limit=10000,
             allow_multiple_connections_per_ip=True, listen_interfaces="127.0.0.1:" + sys.argv[3])
session = lt.session(quiet)
wanted = lt.add_torrent_params()
wanted.ti, wanted.save_path, wanted.flags = lt.torrent_info(sys.argv[1]), sys.argv[2], lt.torrent_flags.seed_mode
session.add_torrent(wanted)
sys.stdin.read()
"""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def start(client, folder, port):
    torrent = f"{folder}/file.torrent"
    if client == "libtorrent":
        command = [os.environ.get("LT_PYTHON", "python3"), "-c", LIBTORRENT, torrent, folder, str(port)]
    else:
        command = [DRIVER, "seed", torrent, "--dir", folder, "--port", str(port), "--no-dht", "--no-trackers",
                   "--no-lsd", "--no-repl"]
    home = dict(os.environ, HOME=folder, DRIVER_NO_PORTMAP="1")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=home)
    for _ in range(1000):
        with socket.socket() as it:
            if it.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    sys.exit(f"{client} does not listen")


def processor_seconds(pid):
    tasks = f"/proc/{pid}/task"
    return sum(int(open(f"{tasks}/{t}/schedstat").read().split()[0]) for t in os.listdir(tasks)) / 1e9


def exactly(link, length):
    heard = b""
    while len(heard) < length:
        part = link.recv(length - len(heard))
        if not part:
            raise ConnectionError("it closed the connection")
        heard += part
    return heard


def begin(port, private, chance):
    """A connection from a network of its own, and our key on it."""
    source = f"127.{chance.randrange(1, 255)}.{chance.randrange(255)}.{chance.randrange(1, 255)}"
    link = socket.create_connection(("127.0.0.1", port), source_address=(source, 0), timeout=10)
    link.sendall(number(pow(2, private, P)))
    return link


def ask(secret, skey, chance):
    """All that is said behind the key, and what the answer is hidden by."""
    ours, theirs = Cipher(b"keyA", secret, skey), Cipher(b"keyB", secret, skey)
    initial = b"\x13BitTorrent protocol" + bytes(8) + skey + b"-XX0000-" + chance.randbytes(12)
    offer = bytes(8) + (2).to_bytes(4, "big") + bytes(2) + len(initial).to_bytes(2, "big") + initial
    said = digest(b"req1", secret) + xor(digest(b"req2", skey), digest(b"req3", secret)) + ours(offer)
    return said, theirs


def hear(link, theirs):
    mark, heard = theirs(bytes(8)), b""
    while mark not in heard:
        heard += exactly(link, 1)
    assert theirs(exactly(link, 4)) == (2).to_bytes(4, "big"), "RC4 was to be chosen"
    theirs(exactly(link, int.from_bytes(theirs(exactly(link, 2)), "big")))
    assert theirs(exactly(link, 68)).startswith(b"\x13BitTorrent protocol")


def turn(process, port, skey, chance):
    """Milliseconds of processor time a handshake, a burst at a time."""
    before, start = processor_seconds(process.pid), time.time()
    for done in range(0, count, BURST):
        privates = [int.from_bytes(chance.randbytes(20), "big") for _ in range(BURST)]
        links = [begin(port, private, chance) for private in privates]
        keys = [int.from_bytes(exactly(link, 96), "big") for link in links]
        secrets = [number(pow(key, private, P)) for key, private in zip(keys, privates)]
        asked = [ask(secret, skey, chance) for secret in secrets]
        for link, (said, _) in zip(links, asked):
            link.sendall(said)
        for link, (_, theirs) in zip(links, asked):
            hear(link, theirs)
        for link in links:
            link.close()
        time.sleep(max(0, start + (done + BURST) / 200 - time.time()))
    return (processor_seconds(process.pid) - before) * 1000 / count


with tempfile.TemporaryDirectory() as folder:
    with open(f"{folder}/file.bin", "wb") as out:
        out.write(os.urandom(1 << 20))
    subprocess.run([DRIVER, "create", f"{folder}/file.bin", "-o", f"{folder}/file.torrent"], check=True,
                   stdout=subprocess.DEVNULL)
    shown = subprocess.run([DRIVER, "info", f"{folder}/file.torrent", "--json"], check=True, capture_output=True,
                           text=True).stdout
    skey = bytes.fromhex(json.loads(shown)["info_hash_v1"])
    chance = random.Random(1)
    running = {}
    try:
        for client in clients:
            port = free_port()
            running[client] = start(client, folder, port), port
        time.sleep(1)
        taken = {client: [] for client in clients}
        for _ in range(5):
            for client, (process, port) in running.items():
                taken[client].append(turn(process, port, skey, chance))
        for client, each in taken.items():
            print(f"{client:12} {statistics.median(each):.3f} ms a handshake ({min(each):.3f} to {max(each):.3f})")
    finally:
        for process, _ in running.values():
            process.terminate()
            process.wait()
