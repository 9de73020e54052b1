"""Those who are on the other side of a router, and one neighbour on ours.

outside.py tracker ADDRESS              a tracker over HTTP at port 6969, which says each port that
                                        it is told: `port 7001`
outside.py dial ADDRESS PORT INFOHASH   connects as a peer; ends well if it is answered as one
outside.py ask ADDRESS PORT             asks as a node of the DHT; ends well if it is answered
outside.py occupy OWN GATEWAY PORT      has the gateway map a port to OWN, by NAT-PMP
"""

import http.server
import os
import socket
import struct
import sys
import urllib.parse

LIMIT = 5


class Tracker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "port" in asked:
            print("port", asked["port"][0], asked.get("event", ["-"])[0], flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"d8:intervali60e5:peers0:e")

    def log_message(self, *words):
        pass


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def dial(address, port, info_hash):
    with socket.socket(family(address)) as stream:
        stream.settimeout(LIMIT)
        stream.connect((address, int(port)))
        hello = b"\x13BitTorrent protocol" + bytes(8) + bytes.fromhex(info_hash)
        stream.sendall(hello + b"-XX0100-" + os.urandom(12))
        answer = b""
        while len(answer) < 68:
            more = stream.recv(68 - len(answer))
            if not more:
                sys.exit("it hung up")
            answer += more
        if answer[:20] != hello[:20] or answer[28:48] != hello[28:48]:
            sys.exit(f"it is no peer: {answer}")


def ask(address, port):
    with socket.socket(family(address), socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.sendto(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", (address, int(port)))
        if b"1:y1:r" not in sock.recv(1500):
            sys.exit("it is no node")


def occupy(own, gateway, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((own, 0))
        sock.settimeout(LIMIT)
        for opcode in (1, 2):
            sock.sendto(struct.pack(">BBHHHI", 0, opcode, 0, 9, int(port), 3600), (gateway, 5351))
            _, _, code, _, _, external, _ = struct.unpack(">BBHIHHI", sock.recv(16))
            if code != 0 or external != int(port):
                sys.exit(f"it is not mapped: {code}, {external}")


if sys.argv[1] == "tracker":
    http.server.ThreadingHTTPServer((sys.argv[2], 6969), Tracker).serve_forever()
else:
    {"dial": dial, "ask": ask, "occupy": occupy}[sys.argv[1]](*sys.argv[2:])
