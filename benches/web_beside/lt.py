"""libtorrent downloads torrents from their web seeds, and from peers if any are named, until they
are complete or it is interrupted: lt.py DIRECTORY [--peer ADDRESS:PORT]... TORRENT...
It prints how many bytes came in all, as an object of JSON."""
import argparse
import json
import signal
import time

import libtorrent as lt

p = argparse.ArgumentParser()
p.add_argument("directory")
p.add_argument("torrents", nargs="+")
p.add_argument("--peer", action="append", default=[])
o = p.parse_args()
session = lt.session({
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "listen_interfaces": "127.0.0.1:0", "alert_mask": 0, "active_downloads": 50,
    "active_limit": 5000, "active_seeds": 5000, "allow_multiple_connections_per_ip": True,
})
is_over = []
signal.signal(signal.SIGINT, lambda *_: is_over.append(True))
handles = []
for path in o.torrents:
    wish = lt.add_torrent_params()
    wish.ti, wish.save_path = lt.torrent_info(path), o.directory
    handles.append(session.add_torrent(wish))
for peer in o.peer:
    address, port = peer.rsplit(":", 1)
    handles[0].connect_peer((address, int(port)))
while not is_over and not all(handle.status().is_seeding for handle in handles):
    time.sleep(0.005 * len(handles))
print(json.dumps({"downloaded": sum(handle.status().total_payload_download for handle in handles)}))
