"""libtorrent downloads a torrent from its web seeds alone: lt.py TORRENT DIRECTORY"""
import sys
import time

import libtorrent as lt

session = lt.session({
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "listen_interfaces": "127.0.0.1:0", "alert_mask": 0,
})
handle = session.add_torrent({"ti": lt.torrent_info(sys.argv[1]), "save_path": sys.argv[2]})
while not handle.status().is_seeding:
    time.sleep(0.005)
