"""Seeds of a torrent, each a libtorrent session that sends so many bytes a second:
peers.py TORRENT DIRECTORY COUNT RATE. It prints their ports, and ends with its standard input."""
import sys

import libtorrent as lt

torrent, directory, count, rate = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sessions = []
for number in range(count):
    session = lt.session({
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "listen_interfaces": f"127.0.1.{number + 1}:0", "alert_mask": 0,
    })
    wish = lt.add_torrent_params()
    wish.ti, wish.save_path, wish.flags = lt.torrent_info(torrent), directory, lt.torrent_flags.seed_mode
    # The limit of a session does not hold on one's own network.
    session.add_torrent(wish).set_upload_limit(rate)
    sessions.append(session)
print(*(f"127.0.1.{number + 1}:{session.listen_port()}" for number, session in enumerate(sessions)), flush=True)
sys.stdin.read()
