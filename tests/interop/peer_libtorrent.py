"""Seeds or fetches one torrent with libtorrent: WHAT DIR IP PORT [WAY]...

WHAT is a .torrent or a magnet link. Others are met through trackers and the link alone, but for
the ways that are named: pex, lsd, and the DHT as dht=IP:PORT, a node of it. With "slow" it
downloads 16 KiB a second; with mse=off, mse=handshake or mse=rc4 nothing is encrypted, all
handshakes are, or everything is. Says "complete" when it has everything."""
import signal
import sys

import libtorrent as lt

what, folder, ip, port, *ways = sys.argv[1:]
nodes = [way.removeprefix("dht=") for way in ways if way.startswith("dht=")]
ENCRYPTION = {
    "mse=off": {"in_enc_policy": 2, "out_enc_policy": 2},
    "mse=handshake": {"in_enc_policy": 0, "out_enc_policy": 0, "allowed_enc_level": 1},
    "mse=rc4": {"in_enc_policy": 0, "out_enc_policy": 0, "allowed_enc_level": 2},
}
encryption = {}
for way in ways:
    encryption.update(ENCRYPTION.get(way, {}))
session = lt.session({
    **encryption,
    "listen_interfaces": f"{ip}:{port}", "outgoing_interfaces": ip,
    "enable_dht": bool(nodes), "dht_bootstrap_nodes": ",".join(nodes),
    # Many nodes of one machine look like one that floods.
    "dht_block_ratelimit": 100_000, "dht_ignore_dark_internet": False,
    "enable_lsd": "lsd" in ways, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "alert_mask": lt.alert.category_t.error_notification | lt.alert.category_t.tracker_notification
    | lt.alert.category_t.connect_notification | lt.alert.category_t.status_notification,
})
# A torrent that is added before any node is known has its turn, finds nobody to ask, and has its
# next one a quarter of an hour later.
knows_nodes = not nodes
while not knows_nodes:
    session.post_dht_stats()
    session.wait_for_alert(200)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.dht_stats_alert):
            knows_nodes = sum(bucket["num_nodes"] for bucket in alert.routing_table) > 0
if what.startswith("magnet:"):
    params = lt.parse_magnet_uri(what)
else:
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(what)
params.save_path = folder
params.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
if "pex" not in ways:
    params.flags |= lt.torrent_flags.disable_pex
if "lsd" not in ways:
    params.flags |= lt.torrent_flags.disable_lsd
if "slow" in ways:
    params.download_limit = 16 << 10
handle = session.add_torrent(params)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
complete = False
while True:
    session.wait_for_alert(200)
    for alert in session.pop_alerts():
        print(alert.what(), alert.message(), flush=True)
    if not complete and handle.status().is_seeding:
        complete = True
        print("complete", flush=True)
