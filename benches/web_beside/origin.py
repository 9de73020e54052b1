"""An HTTP/1.1 server of one file for what nginx cannot do: links that expire, and a rate that all
connections share.

    origin.py PORT FILE LOG [--requests N | --seconds S] [--rate BYTES_PER_S]

With --requests or --seconds, the file's URL answers 302 to a link that is good for so many requests
or so long, and 403 after that. LOG gets a line for each answer: status, end, duration, connection,
bytes of the body, path."""
import argparse, itertools, os, socketserver, threading, time

p = argparse.ArgumentParser()
p.add_argument("port", type=int)
p.add_argument("file")
p.add_argument("log")
p.add_argument("--requests", type=int)
p.add_argument("--seconds", type=float)
p.add_argument("--rate", type=float)
o = p.parse_args()
CHUNK = 64 << 10
size = os.path.getsize(o.file)
lock, numbers = threading.Lock(), itertools.count(1)
links, free = {}, [0.0]


def signed():
    with lock:
        links[f"/signed/{len(links)}"] = [time.monotonic(), 0]
        return f"/signed/{len(links) - 1}"


def is_good(path):
    with lock:
        made, used = links.get(path, (0, 1 << 60))
        if o.seconds and time.monotonic() > made + o.seconds or o.requests and used >= o.requests:
            return False
        links[path][1] += 1
        return True


def pace(length):
    """Waits until the line has room for so many bytes; a moment's worth may be sent late."""
    with lock:
        now = time.monotonic()
        free[0] = max(free[0], now - 0.02) + length / o.rate
        wait = free[0] - now
    if wait > 0:
        time.sleep(wait)


class Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        self.number = next(numbers)
        with open(self.server.path, "rb") as self.data:
            while self.answer():
                pass

    def answer(self):
        lines = []
        while (line := self.rfile.readline().strip()):
            lines.append(line.decode())
        if not lines:
            return False
        begin, path = time.time(), lines[0].split()[1]
        fields = {key.lower(): value.strip() for key, value in (x.split(":", 1) for x in lines[1:])}
        redirects = o.requests or o.seconds
        status, sent = 302, 0
        if redirects and not path.startswith("/signed/"):
            self.head(f"302 Found\r\nLocation: {signed()}\r\nContent-Length: 0")
        elif redirects and not is_good(path):
            status = 403
            self.head("403 Forbidden\r\nContent-Length: 0")
        else:
            first, last = 0, size - 1
            if "range" in fields:
                first, last = (int(at) for at in fields["range"].split("=")[1].split("-"))
            status = 206 if "range" in fields else 200
            self.head(f"{status} OK\r\nContent-Length: {last + 1 - first}"
                      + f"\r\nContent-Range: bytes {first}-{last}/{size}" * (status == 206))
            sent = self.body(first, last + 1)
        with open(o.log, "a") as log:
            log.write(f"{status} {time.time():.3f} {time.time() - begin:.3f} {self.number} {sent} {path}\n")
        return True

    def head(self, text):
        self.wfile.write(f"HTTP/1.1 {text}\r\n\r\n".encode())

    def body(self, first, end):
        at = first
        try:
            while at < end:
                length = min(CHUNK, end - at) if o.rate else end - at
                if o.rate:
                    pace(length)
                at += os.sendfile(self.connection.fileno(), self.data.fileno(), at, length)
        except OSError:
            self.rfile.close()
        return at - first


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64
    path = o.file

    def handle_error(self, request, client_address):
        """Whoever hangs up in the middle is no error."""


Server(("127.0.0.1", o.port), Connection).serve_forever()
