"""Seeds one torrent with libtorrent: TORRENT DIR IP PORT. Found only through its tracker."""
import signal
import sys

import libtorrent as lt

torrent, folder, ip, port = sys.argv[1:]
session = lt.session({
    "listen_interfaces": f"{ip}:{port}", "outgoing_interfaces": ip,
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.tracker_notification,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
handle = session.add_torrent(params)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(alert.what(), alert.message(), flush=True)
