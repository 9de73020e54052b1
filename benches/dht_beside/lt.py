"""libtorrent as one that asks: reads `find HASH`, `announce HASH` and prints `peer HASH` at the
first peer. lt.py ADDRESS NODES"""
import sys, threading
import libtorrent as lt

own, nodes = sys.argv[1:]
s = lt.session({
    "listen_interfaces": f"{own}:7881", "enable_dht": True, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "dht_bootstrap_nodes": "",
    "dht_ignore_dark_internet": False, "dht_block_ratelimit": 100000,
    "dht_upload_rate_limit": 1000000, "dht_prefer_verified_node_ids": False,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification,
})
for line in open(nodes):
    ip, port = line.split()
    s.add_dht_node((ip, int(port)))
print("ready", flush=True)
done = set()


def watch():
    while True:
        s.wait_for_alert(1000)
        for a in s.pop_alerts():
            if isinstance(a, lt.dht_get_peers_reply_alert):
                h = str(a.info_hash)
                if h not in done and a.num_peers() > 0:
                    done.add(h)
                    print(f"peer {h}", flush=True)
            elif isinstance(a, lt.dht_stats_alert):
                print("nodes", sum(b["num_nodes"] for b in a.routing_table), flush=True)


threading.Thread(target=watch, daemon=True).start()
for line in sys.stdin:
    word, *rest = line.split()
    if word == "find":
        s.dht_get_peers(lt.sha1_hash(bytes.fromhex(rest[0])))
    elif word == "announce":
        s.dht_announce(lt.sha1_hash(bytes.fromhex(rest[0])), 6881, 0)
    elif word == "stats":
        s.post_dht_stats()
