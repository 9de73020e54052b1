#!/usr/bin/env bash
# libtorrent 2.1.1 (PyPI) announces a torrent to the DHT (BEP 5) when its search has ended, and the
# search ends when the last node near the hash has answered or is given up. One node that was named
# and is silent holds the announces to all others back for some 15 seconds, although these have
# answered with their tokens within milliseconds. With all nodes alive they leave at once. In a net
# of any size some node near a hash is gone most of the time, so who looks for a torrent that was
# just started elsewhere finds it that much later. BEP 5 does not say when to announce.
# Passes while this is so.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install libtorrent==2.1.1
cat >"$folder/announce.py" <<'PY'
import hashlib, os, selectors, socket, sys, time
import libtorrent as lt

HASH = hashlib.sha1(b"a torrent").digest()

def near(number):
    """An id that has 12 bits in common with the hash."""
    rest = hashlib.sha1(bytes([number])).digest()
    return HASH[:1] + bytes([HASH[1] & 0xF0 | rest[1] & 0x0F]) + rest[2:]

def seconds_until_announced(silent):
    """From the order to announce until a node hears announce_peer. Six nodes, of which these
    never answer."""
    nodes, ids, addresses = selectors.DefaultSelector(), {}, []
    for number in range(6):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((f"127.{number + 1}.{number + 1}.1", 0))
        nodes.register(one, selectors.EVENT_READ)
        ids[one] = near(number)
        addresses.append(one.getsockname())
    compact = b"".join(near(n) + socket.inet_aton(ip) + port.to_bytes(2, "big")
                       for n, (ip, port) in enumerate(addresses))
    session = lt.session({
        # A wildcard would be taken for local and given no node.
        "listen_interfaces": "127.99.1.1:0", "enable_dht": True, "enable_lsd": False,
        "enable_upnp": False, "enable_natpmp": False, "dht_bootstrap_nodes": "",
        "dht_ignore_dark_internet": False, "dht_block_ratelimit": 100000,
    })
    for number, address in enumerate(addresses):
        if number not in silent:
            session.add_dht_node(address)
    begin, first, ordered = time.monotonic(), None, None
    while time.monotonic() - begin < 60:
        # Until then its table fills.
        if ordered is None and time.monotonic() - begin > 5:
            session.dht_announce(lt.sha1_hash(HASH), 6881, 0)
            ordered = time.monotonic()
        for key, _ in nodes.select(0.1):
            query, sender = key.fileobj.recvfrom(2000)
            query = lt.bdecode(query)
            if addresses.index(key.fileobj.getsockname()) in silent or query.get(b"y") != b"q":
                continue
            if query[b"q"] == b"announce_peer" and query[b"a"][b"info_hash"] == HASH:
                return time.monotonic() - ordered
            reply = {b"id": ids[key.fileobj], b"token": b"abcd"}
            if query[b"q"] != b"ping":
                reply[b"nodes"] = compact
            reply = {b"t": query[b"t"], b"y": b"r", b"r": reply}
            key.fileobj.sendto(lt.bencode(reply), sender)
    sys.exit("nothing was announced")

print("libtorrent", lt.__version__)
alive, behind = seconds_until_announced(set()), seconds_until_announced({3})
print(f"six nodes that answer: announced after {alive:.2f} s")
print(f"one of the six is silent: announced to the others after {behind:.2f} s")
sys.stdout.flush()
os._exit(0 if alive < 3 and behind > 10 else 1)
PY
"$folder/venv/bin/python" "$folder/announce.py"
