#!/usr/bin/env bash
# libtorrent 2.1.1 (PyPI) as a seed of a torrent whose metadata has 62 pieces (BEP 9): whoever asks
# for all of them in one write gets ten at once and the others in batches of ten, one batch a second,
# so that a megabyte takes five seconds and more over a line without delay. Asked ten at a time, each
# batch when the one before is answered, it gives the same in some 40 milliseconds. Nothing is
# refused, and BEP 9 names no limit: only the time tells.
# Passes while this is so.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install libtorrent==2.1.1
cat >"$folder/ask.py" <<'PY'
import hashlib, os, socket, struct, sys, time
import libtorrent as lt

folder = sys.argv[1]
# A megabyte of metadata: 50,000 pieces of 16 KiB of zeros.
count = 50_000
data = os.path.join(folder, "data")
with open(data, "wb") as file:
    file.truncate(count * 16384)
zeros = hashlib.sha1(bytes(16384)).digest()
info = b"d6:lengthi%de4:name4:data12:piece lengthi16384e6:pieces%d:" % (count * 16384, count * 20)
info += zeros * count + b"e"
info_hash = hashlib.sha1(info).digest()
session = lt.session({
    "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "allow_multiple_connections_per_ip": True,
})
wanted = lt.add_torrent_params()
wanted.ti = lt.torrent_info(lt.bdecode(b"d4:info" + info + b"e"))
wanted.save_path = folder
wanted.flags |= lt.torrent_flags.seed_mode
session.add_torrent(wanted)
time.sleep(2)
port = session.listen_port()

def message(id, payload):
    return struct.pack(">IBB", len(payload) + 2, 20, id) + payload

def read_exactly(peer, length):
    parts = b""
    while len(parts) < length:
        part = peer.recv(length - len(parts))
        assert part, "the connection was closed"
        parts += part
    return parts

def fetch(batch):
    """Asks for `batch` pieces at a time; when each came, and the metadata."""
    peer = socket.create_connection(("127.0.0.1", port))
    peer.settimeout(30)
    reserved = b"\0\0\0\0\0\x10\0\0"
    peer.sendall(b"\x13BitTorrent protocol" + reserved + info_hash + b"-XX0100-" + os.urandom(12))
    read_exactly(peer, 68)
    peer.sendall(message(0, b"d1:md11:ut_metadatai3eee"))
    theirs, pieces, asked, begin, times = None, {}, 0, None, []
    total = -(-len(info) // 16384)
    while len(pieces) < total:
        length, = struct.unpack(">I", read_exactly(peer, 4))
        body = read_exactly(peer, length)
        if length < 2 or body[0] != 20:
            continue
        if body[1] == 0:
            at = body.index(b"11:ut_metadatai") + 15
            theirs = int(body[at:body.index(b"e", at)])
            begin = time.time()
        elif body[1] == 3:
            reply, rest = lt.bdecode(body[2:]), len(body) - 2
            number = reply[b"piece"]
            pieces[number] = body[-min(16384, len(info) - number * 16384):]
            times.append(time.time() - begin)
        if theirs and asked < total and asked == len(pieces):
            many = min(batch, total - asked)
            peer.sendall(b"".join(
                message(theirs, b"d8:msg_typei0e5:piecei%dee" % (asked + n)) for n in range(many)))
            asked += many
    peer.close()
    assert b"".join(pieces[n] for n in range(total)) == info
    return times

print("libtorrent", lt.__version__)
all_at_once, by_ten = fetch(62), fetch(10)
print(f"62 asked at once: the last after {all_at_once[-1]:.2f} s")
print(f"ten at a time: the last after {by_ten[-1]:.3f} s")
sys.stdout.flush()
is_so = all_at_once[-1] > 3 and by_ten[-1] < 1
os._exit(0 if is_so else 1)
PY
"$folder/venv/bin/python" "$folder/ask.py" "$folder"
