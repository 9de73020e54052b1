"""libtorrent seeds all torrents of a directory, whose files are there: lt.py DIRECTORY PORT
It believes that they are whole, as with a record of them, and runs until its input closes."""
import os
import sys

import libtorrent as lt

directory, port = sys.argv[1:]
session = lt.session({
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "listen_interfaces": f"127.0.0.1:{port}", "alert_mask": 0, "active_limit": 100000,
    "active_seeds": -1, "allow_multiple_connections_per_ip": True,
})
flags = lt.torrent_flags
for name in sorted(os.listdir(directory)):
    if name.endswith(".torrent"):
        wish = lt.add_torrent_params()
        wish.ti, wish.save_path = lt.torrent_info(f"{directory}/{name}"), directory
        wish.flags = (wish.flags | flags.seed_mode) & ~(flags.paused | flags.auto_managed)
        session.async_add_torrent(wish)
sys.stdin.read()
os._exit(0)
