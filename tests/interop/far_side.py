"""Everybody whom a program may speak to, at one address of each family: a name server, trackers over
HTTP and UDP, a server of files, a node of the DHT, a peer, a SOCKS5 proxy with a relay (RFC 1928), and
an HTTP proxy. Each says who spoke to it, a line each: `tracker 10.8.0.2`. Nobody has anything to give.

far_side.py ADDRESS[,ADDRESS6] [PROXY], where PROXY is works, silent, or refuses-udp.
"""

import socket
import struct
import sys
import threading

ADDRESSES = sys.argv[1].split(",")
ADDRESS = ADDRESSES[0]
PROXY = sys.argv[2] if len(sys.argv) > 2 else "works"
DNS, TRACKER, UDP_TRACKER, FILES, NODE, PEER, SOCKS, RELAY = 53, 6969, 6970, 80, 6771, 6881, 1080, 1081
HTTP_PROXY = 3128

SAYING = threading.Lock()


def say(*words):
    # In one piece: there are many threads.
    with SAYING:
        print(*words, flush=True)


def answer(question):
    """The address of whatever is asked for, of the family that is asked for, if there is one."""
    end = question.index(b"\0", 12) + 5
    kind = question[end - 4:end - 2]
    wanted = {b"\0\1": socket.AF_INET, b"\0\x1c": socket.AF_INET6}.get(kind)
    found = [socket.inet_pton(wanted, it) for it in ADDRESSES if family_of(it) == wanted]
    head = question[:2] + b"\x81\x80\0\1" + struct.pack(">H", len(found)) + b"\0\0\0\0"
    record = lambda it: b"\xc0\x0c" + kind + b"\0\1\0\0\0\x3c" + struct.pack(">H", len(it)) + it
    return head + question[12:end] + b"".join(map(record, found))


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def datagrams(address, port, reply):
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    sock.bind((address, port))
    while True:
        data, sender = sock.recvfrom(65536)
        out = reply(data, sender)
        if out:
            sock.sendto(out, sender)


def on_dns(data, sender):
    say("dns", sender[0])
    return answer(data)


def on_udp_tracker(data, sender):
    say("udp-tracker", sender[0])
    action, transaction = struct.unpack(">II", data[8:16])
    if action == 0:
        return struct.pack(">IIQ", 0, transaction, 7)
    return struct.pack(">IIIII", 1, transaction, 1800, 0, 0)


def on_node(data, sender):
    say("dht", sender[0])


def streams(address, port, serve):
    listener = socket.socket(family_of(address))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)
    while True:
        stream, sender = listener.accept()
        threading.Thread(target=guarded, args=(serve, stream, sender), daemon=True).start()


def guarded(serve, stream, sender):
    try:
        serve(stream, sender)
    except (OSError, ValueError, IndexError, struct.error):
        pass
    finally:
        stream.close()


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise OSError("it broke off")
        data += more
    return data


def on_dns_stream(stream, sender):
    say("dns", sender[0])
    (count,) = struct.unpack(">H", exactly(stream, 2))
    out = answer(exactly(stream, count))
    stream.sendall(struct.pack(">H", len(out)) + out)


def http(name, status, body):
    def serve(stream, sender):
        data = b""
        while b"\r\n\r\n" not in data:
            more = stream.recv(4096)
            if not more:
                return
            data += more
        say(name, sender[0], *[word.decode() for word in data.split(b"\r\n")[0].split(b"?")[:1]])
        head = "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
        stream.sendall(head.encode() + body)
    return serve


def on_peer(stream, sender):
    say("peer", sender[0])
    stream.recv(68)


def on_socks(stream, sender):
    if PROXY == "silent":
        stream.recv(1)
        threading.Event().wait()
    version, count = exactly(stream, 2)
    exactly(stream, count)
    stream.sendall(b"\5\0")
    _, command, _, kind = exactly(stream, 4)
    if kind == 1:
        host = socket.inet_ntoa(exactly(stream, 4))
    elif kind == 3:
        host = exactly(stream, exactly(stream, 1)[0]).decode()
    else:
        host = socket.inet_ntop(socket.AF_INET6, exactly(stream, 16))
    (port,) = struct.unpack(">H", exactly(stream, 2))
    say("socks", "associate" if command == 3 else "connect", host, port)
    if command == 3:
        if PROXY == "refuses-udp":
            stream.sendall(b"\5\7\0\1" + bytes(6))
            return
        # 0.0.0.0 is the proxy's own address.
        stream.sendall(b"\5\0\0\1" + bytes(4) + struct.pack(">H", RELAY))
        while stream.recv(64):
            pass
        return
    # Whatever is asked for by name is here.
    there = socket.create_connection((ADDRESS if kind == 3 else host, port), timeout=5)
    stream.sendall(b"\5\0\0\1" + bytes(6))
    other = threading.Thread(target=pump, args=(there, stream), daemon=True)
    other.start()
    pump(stream, there)
    other.join()


def on_http_proxy(stream, sender):
    """Connects, and passes on what is asked for by a whole URL."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += exactly(stream, 1)
    method, target, _ = data.split(b"\r\n")[0].decode().split(" ")
    if method == "OPTIONS":
        return
    rest = target.split("://", 1)[-1]
    place, _, path = rest.partition("/")
    host, _, port = place.partition(":")
    say("http", method.lower(), host, port or 80)
    is_name = any(letter.isalpha() for letter in host)
    there = socket.create_connection((ADDRESS if is_name else host, int(port or 80)), timeout=5)
    if method == "CONNECT":
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        there.sendall(data.replace(target.encode(), b"/" + path.encode(), 1))
    other = threading.Thread(target=pump, args=(there, stream), daemon=True)
    other.start()
    pump(stream, there)
    other.join()


def pump(source, sink):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay():
    """Carries datagrams both ways; who sent them last gets what comes back."""
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.bind((ADDRESS, RELAY))
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client = []

    def back():
        while True:
            data, sender = far.recvfrom(65536)
            head = b"\0\0\0\1" + socket.inet_aton(sender[0]) + struct.pack(">H", sender[1])
            if client:
                near.sendto(head + data, client[-1])

    threading.Thread(target=back, daemon=True).start()
    while True:
        data, sender = near.recvfrom(65536)
        client[:] = [sender]
        if data[:4] == b"\0\0\0\1":
            host, (port,) = socket.inet_ntoa(data[4:8]), struct.unpack(">H", data[8:10])
            say("relay", host, port)
            far.sendto(data[10:], (host, port))


def main():
    reply = b"d8:intervali1800e12:min intervali1e5:peers0:e"
    jobs = [(streams, ADDRESS, SOCKS, on_socks), (streams, ADDRESS, HTTP_PROXY, on_http_proxy), (relay,)]
    for address in ADDRESSES:
        jobs += [
            (datagrams, address, DNS, on_dns),
            (datagrams, address, UDP_TRACKER, on_udp_tracker),
            (datagrams, address, NODE, on_node),
            (streams, address, DNS, on_dns_stream),
            (streams, address, TRACKER, http("tracker", "200 OK", reply)),
            (streams, address, FILES, http("files", "404 Not Found", b"")),
            (streams, address, PEER, on_peer),
        ]
    threads = [threading.Thread(target=job, args=args, daemon=True) for job, *args in jobs]
    for thread in threads:
        thread.start()
    say("ready")
    for thread in threads:
        thread.join()


main()
