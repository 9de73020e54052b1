"""Nodes of the DHT by libtorrent: ROLE ADDRESS:PORT... of ADDRESS:PORT... [-- WORD]

`net` keeps a node at each address and says "ready" when each knows others, also those behind `of`.
The others are one node that comes into the DHT by those: `announce HASH` stays, `find HASH` ends
with the first peers, `item TARGET` and `signed KEY` with what is kept; `put TEXT` says the target
and ends when nodes keep it, `sign TEXT` does so with a key of everybody's; `visit ADDRESS:PORT`
stays, and speaks to who is there again and again."""
import random
import signal
import sys
import time

import libtorrent as lt

# A table that holds so many is no lonely one.
KNOWN = 8
# What each of a net is told of at first.
TOLD = 20
# In seconds. Who asks too early is told nothing, and libtorrent does not ask again by itself.
AGAIN = 3

# The keys of BEP 44's test vectors; the private one is expanded.
PUBLIC = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
PRIVATE = bytes.fromhex("e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d"
                        "b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d")


def parse(text):
    ip, _, port = text.rpartition(":")
    return ip, int(port)


def node(address):
    ip, port = address
    return lt.session({
        # An address, since it takes a wildcard on loopback for local and gives it no node.
        "listen_interfaces": f"{ip}:{port}", "outgoing_interfaces": ip,
        "enable_dht": True, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "dht_bootstrap_nodes": "", "dht_ignore_dark_internet": False,
        # Many nodes of one machine look like one that floods.
        "dht_block_ratelimit": 100_000, "dht_upload_rate_limit": 10_000_000,
        "alert_mask": lt.alert.category_t.dht_operation_notification
        | lt.alert.category_t.dht_notification | lt.alert.category_t.error_notification,
    })


def alerts(session, *kinds):
    """Those of these kinds that come in a moment."""
    session.wait_for_alert(200)
    return [alert for alert in session.pop_alerts() if isinstance(alert, kinds)]


def known(session):
    """How many nodes its table holds."""
    session.post_dht_stats()
    tables = [alert.routing_table for alert in alerts(session, lt.dht_stats_alert)]
    return sum(bucket["num_nodes"] for bucket in tables[-1]) if tables else 0


def meet(session, others):
    """Waits until enough of the others are in its table."""
    others = random.sample(others, min(TOLD, len(others)))
    for other in others:
        session.add_dht_node(other)
    while known(session) < min(KNOWN, len(others)):
        time.sleep(0.1)


def asked(session, ask, kind):
    """Asks again and again; the alerts of this kind, one by one."""
    last = -AGAIN
    while True:
        if time.monotonic() - last > AGAIN:
            last = time.monotonic()
            ask()
        yield from alerts(session, kind)


def net(own, others):
    sessions = [node(address) for address in own]
    for session in sessions:
        meet(session, own + others)
    print("ready", flush=True)
    signal.pause()


def announce(session, port, text):
    # 0: with this port, not the one of the datagram (BEP 5, implied_port).
    session.dht_announce(lt.sha1_hash(bytes.fromhex(text)), port, 0)
    print("announces", flush=True)
    signal.pause()


def visit(session, text):
    print("visits", flush=True)
    while True:
        session.add_dht_node(parse(text))
        time.sleep(1)


def find(session, text):
    wanted = lt.sha1_hash(bytes.fromhex(text))
    ask = lambda: session.dht_get_peers(wanted)
    for alert in asked(session, ask, lt.dht_get_peers_reply_alert):
        for ip, port in alert.peers():
            print(f"peer {ip}:{port}", flush=True)
        if alert.num_peers():
            return


def put(session, text):
    print("target", session.dht_put_immutable_item(text.encode()), flush=True)
    is_kept(session)


def sign(session, text):
    session.dht_put_mutable_item(PRIVATE, PUBLIC, text.encode(), b"")
    print("key", PUBLIC.hex(), flush=True)
    is_kept(session)


def is_kept(session):
    while not (put := alerts(session, lt.dht_put_alert)):
        pass
    print("kept by", put[0].num_success, flush=True)


def item(session, text):
    target = lt.sha1_hash(bytes.fromhex(text))
    ask = lambda: session.dht_get_immutable_item(target)
    for alert in asked(session, ask, lt.dht_immutable_item_alert):
        if alert.item:
            print("item", alert.item.decode(), flush=True)
            return


def signed(session, text):
    ask = lambda: session.dht_get_mutable_item(bytes.fromhex(text), b"")
    for alert in asked(session, ask, lt.dht_mutable_item_alert):
        # Before that it tells of each that is newer than the last.
        if alert.item and alert.authoritative:
            print("item", alert.item.decode(), "number", alert.seq, flush=True)
            return


def main():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    role, *words = sys.argv[1:]
    front, _, word = " ".join(words).partition(" -- ")
    own, others = [[parse(it) for it in part.split()] for part in front.split(" of ")]
    if role == "net":
        return net(own, others)
    session = node(own[0])
    meet(session, others)
    if role == "announce":
        return announce(session, own[0][1], word)
    roles = {"find": find, "put": put, "sign": sign, "item": item, "signed": signed, "visit": visit}
    roles[role](session, word)


main()
