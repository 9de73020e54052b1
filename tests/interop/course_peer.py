#!/usr/bin/env python3
"""An independent peer of the course chunk protocol, in every role, for interoperability tests.

A file is cut into chunks, each named by its SHA-1.  Providers serve chunks, a tracker tells who has
which, and a client gathers them:

    course_peer.py cut FILE --config DIR [--chunk-size BYTES]
    course_peer.py merge --config DIR --out FILE
    course_peer.py provider NAME --config DIR [--fault KIND]
    course_peer.py tracker --config DIR [--discover-port N] [--quirk QUIRK]
    course_peer.py client (--config DIR | --tracker HOST:PORT | --discover) --out FILE
    course_peer.py probe HOST:PORT --hex HEX [--udp] [--count K]

`--fault` makes a provider and `--quirk` a tracker misbehave in one chosen way; FAULTS and QUIRKS,
below, list them.  This program needs the standard library only, and was written from the protocol's
specification, not from another program.  It reads from the bottom layer up: messages, sockets,
configuration, then one part for each role.
"""

import argparse
import configparser
import contextlib
import hashlib
import os
import queue
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import namedtuple
from pathlib import Path

# ---------------------------------------------------------------------------------------- messages

VERSION = 1
DISCOVER_TRACKER, TRACKER_INFO, GET_FILE_INFO, FILE_INFO, GET_CHUNK, CHUNK, ERROR = range(7)
INVALID_MESSAGE_FORMAT, INVALID_REQUEST, CHUNK_NOT_FOUND = range(3)

HEADER = struct.Struct(">BBHI")
HASH_BYTES = 20
CHUNK_PREFIX = HEADER.size + HASH_BYTES + 4     # what comes before a chunk's content
MAX_COUNT = 0xFFFF                              # of chunks, of a chunk's peers, of a name's bytes
MAX_MESSAGE = 64 << 20                          # bytes; a longer message is not believed
FIXED_DWORDS = {DISCOVER_TRACKER: 2, GET_FILE_INFO: 2, GET_CHUNK: 7, ERROR: 3}
LEAST_DWORDS = {TRACKER_INFO: 4, FILE_INFO: 3, CHUNK: 8}
NOISE = 0xA5                                    # a legal value of reserved and padding bytes

FileInfo = namedtuple("FileInfo", "name chunks")        # chunks: in file order
Chunk = namedtuple("Chunk", "digest peers")             # peers: a list of (host, port)


class Malformed(Exception):
    """These bytes are not a well-formed message."""


class Refused(Exception):
    """The other side answered with an ERROR."""


def padded(data, fill):
    return bytes(data) + bytes([fill]) * (-len(data) % 4)


def message(kind, body=b"", fill=0):
    """A whole message; `fill` is the value of every byte that receivers ignore."""
    body = padded(body, fill)
    return HEADER.pack(VERSION, kind, fill << 8 | fill, (HEADER.size + len(body)) // 4) + body


def counted(data):
    return len(data).to_bytes(2, "big")


def packed(address):
    host, port = address
    return socket.inet_aton(socket.gethostbyname(host)) + port.to_bytes(2, "big")


def error_message(code, fill=0):
    return message(ERROR, code.to_bytes(2, "big"), fill)


def chunk_message(digest, content, fill=0):
    return message(CHUNK, digest + len(content).to_bytes(4, "big") + content, fill)


def tracker_info_message(address, name, fill=0):
    return message(TRACKER_INFO, packed(address) + counted(name.encode()) + name.encode(), fill)


def file_info_message(info, fill=0):
    name = info.name.encode()
    parts = [padded(counted(info.chunks) + counted(name) + name, fill)]
    for chunk in info.chunks:
        parts.append(padded(chunk.digest + counted(chunk.peers), fill))
        parts.extend(padded(packed(peer), fill) for peer in chunk.peers)
    return message(FILE_INFO, b"".join(parts), fill)


class Body:
    """A message's body, taken apart from left to right."""

    def __init__(self, data):
        self.data, self.position = data, 0

    def take(self, count):
        start, self.position = self.position, self.position + count
        if self.position > len(self.data):
            raise Malformed("the message is shorter than its fields")
        return self.data[start:self.position]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def align(self):
        self.take(-self.position % 4)

    def digest(self):
        return self.take(HASH_BYTES)

    def address(self):
        return socket.inet_ntoa(self.take(4)), self.number(2)

    def name(self):
        try:
            return self.take(self.number(2)).decode()
        except UnicodeDecodeError:
            raise Malformed("a name is not UTF-8") from None


def read_file_info(body):
    count, name = body.number(2), body.name()
    body.align()
    return FileInfo(name, [read_chunk_entry(body) for _ in range(count)])


def read_chunk_entry(body):
    entry, count = Chunk(body.digest(), []), body.number(2)
    body.align()
    for _ in range(count):
        entry.peers.append(body.address())
        body.align()
    return entry


BODY_READERS = {
    DISCOVER_TRACKER: lambda body: None,
    TRACKER_INFO: lambda body: (body.address(), body.name()),
    GET_FILE_INFO: lambda body: None,
    FILE_INFO: read_file_info,
    GET_CHUNK: lambda body: body.digest(),
    CHUNK: lambda body: (body.digest(), body.take(body.number(4))),
    ERROR: lambda body: body.number(2),
}


def message_size(header):
    """The bytes of the whole message, as its header claims them."""
    return 4 * HEADER.unpack(header)[3]


def check_header(header):
    version, kind, _reserved, dwords = HEADER.unpack(header)
    if version != VERSION:
        raise Malformed(f"version {version}")
    if kind not in BODY_READERS:
        raise Malformed(f"unknown type {kind}")
    if dwords != FIXED_DWORDS.get(kind, dwords) or dwords < LEAST_DWORDS.get(kind, 0):
        raise Malformed(f"type {kind} cannot be {dwords} dwords long")
    return kind


def parse(data):
    """(type, fields) of one whole message, which must fill the data exactly."""
    header, body = data[:HEADER.size], Body(data[HEADER.size:])
    if len(header) < HEADER.size or message_size(header) != len(data):
        raise Malformed("the message's length is not its number of bytes")
    kind = check_header(header)
    fields = BODY_READERS[kind](body)
    body.align()
    if body.position != len(body.data):
        raise Malformed("the message is longer than its fields")
    return kind, fields


def with_type(kind, data):
    """The same message, but for the type in its header."""
    return data[:1] + bytes([kind]) + data[2:]


# ----------------------------------------------------------------------------------------- sockets

PIECE = 64 << 10            # bytes handled at a time
LINGER_SECONDS = 1.0        # how long a closing server lets its last words arrive


def receive(sock, count):
    """The next `count` bytes; fewer only if the stream ends."""
    data = bytearray()
    while len(data) < count and (piece := sock.recv(min(count - len(data), PIECE))):
        data += piece
    return bytes(data)


def receive_message(sock):
    header = receive(sock, HEADER.size)
    if len(header) < HEADER.size:
        raise Malformed("the connection ended")
    if not HEADER.size <= message_size(header) <= MAX_MESSAGE:
        raise Malformed(f"a message of {message_size(header)} bytes")
    return header + receive(sock, message_size(header) - HEADER.size)


def skip(sock, count=sys.maxsize):
    """Discards that many bytes, or everything until the stream ends."""
    while count > 0 and (piece := sock.recv(min(count, PIECE))):
        count -= len(piece)


def close_gently(sock):
    """Closes without the reset that unread bytes would cause, which could overtake our answer."""
    deadline = time.monotonic() + LINGER_SECONDS
    with sock, contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_SECONDS)
        while time.monotonic() < deadline and sock.recv(PIECE):
            pass


def send_zeros_forever(sock):
    while True:
        sock.sendall(bytes(PIECE))      # ends with the OSError of the peer's leaving


def listen(address):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(128)
    return listener


def stop_listening(listener):
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)     # also wakes the thread blocked in accept()
    listener.close()


def in_background(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def accept_forever(listener, handle):
    """A thread for each connection; if the listener is closed, the process just stays alive."""
    while listener.fileno() >= 0:
        try:
            connection, _source = listener.accept()
            in_background(handle, connection)
        except OSError:
            time.sleep(0.05)
    threading.Event().wait()


def converse(sock, answer, fill=0):
    """Serves one TCP connection for as long as it is known where its next message starts."""
    malformed = error_message(INVALID_MESSAGE_FORMAT, fill)
    while header := receive(sock, HEADER.size):
        size = message_size(header) if len(header) == HEADER.size else 0
        if not HEADER.size <= size <= MAX_MESSAGE:
            sock.sendall(malformed)
            return
        try:
            check_header(header)
        except Malformed:               # known before the body comes: say so at once
            sock.sendall(malformed)
            skip(sock, size - HEADER.size)
            continue
        try:
            request = parse(header + receive(sock, size - HEADER.size))
        except Malformed:
            sock.sendall(malformed)
        else:
            answer(sock, *request)


def serve_connection(server, sock):
    try:
        if server.misbehaviour == "silent":
            skip(sock)
        converse(sock, server.answer, server.fill)
    except OSError:
        pass                            # the peer has gone
    finally:
        close_gently(sock)


# ----------------------------------------------------------------------------------- configuration

PEERS_INI, FILE_INI = "peers.ini", "file.ini"
TRACKER_SECTION = "tracker"


def read_ini(path):
    ini = configparser.ConfigParser(strict=False)
    with open(path, encoding="utf-8-sig") as file:
        ini.read_file(file)
    return ini


def ini_value(ini, section, key):
    try:
        return ini.get(section, key).strip()
    except configparser.InterpolationError:         # written with a bare %
        return ini.get(section, key, raw=True).strip()


def peer_address(peers, name):
    return ini_value(peers, name, "ip_address"), int(ini_value(peers, name, "port_number"))


def read_listing(config):
    """(file name, [(digest, provider names)]) of file.ini."""
    ini, chunks = read_ini(config / FILE_INI), []
    for index in range(int(ini_value(ini, "description", "chunks_count"))):
        digest = bytes.fromhex(ini_value(ini, "chunks", str(index)))
        if len(digest) != HASH_BYTES:
            raise ValueError(f"chunk {index} in {FILE_INI} has no SHA-1")
        names = ini_value(ini, "chunks_peers", str(index)).split(",")
        chunks.append((digest, [name.strip() for name in names]))
    return ini_value(ini, "description", "filename"), chunks


def configured_file_info(config):
    """What the two ini files say, as a tracker tells it; unknown providers are left out."""
    peers = read_ini(config / PEERS_INI)
    filename, listing = read_listing(config)
    known = {name for _, names in listing for name in names if peers.has_section(name)}
    address_of = {name: peer_address(peers, name) for name in known}
    return FileInfo(filename, [
        Chunk(digest, [address_of[name] for name in names if name in known])
        for digest, names in listing])


def chunk_path(chunks, provider, digest):
    return chunks / provider / f"{digest.hex()}.bin"


# ----------------------------------------------------------------------------------- cut and merge

DEFAULT_CHUNK_SIZE = 512 << 10
ALICE, BOB = "alice", "bob"


def owners(number, total):
    """The thirds rule; chunk numbers count from 1."""
    if number <= -(-total // 3):
        return [ALICE]
    return [ALICE, BOB] if number <= -(-2 * total // 3) else [BOB]


def cut(args):
    total = -(-args.file.stat().st_size // args.chunk_size)
    if total > MAX_COUNT:
        raise ValueError(f"{total} chunks are more than FILE_INFO can count: take larger ones")
    for directory in (args.config, args.chunks / ALICE, args.chunks / BOB):
        directory.mkdir(parents=True, exist_ok=True)
    ini = configparser.ConfigParser()
    ini["description"] = {"filename": args.file.name.replace("%", "%%"), "chunks_count": total}
    ini["chunks"], ini["chunks_peers"] = {}, {}
    with open(args.file, "rb") as file:
        for index in range(total):
            content, names = file.read(args.chunk_size), owners(index + 1, total)
            digest = hashlib.sha1(content).digest()
            for name in names:
                chunk_path(args.chunks, name, digest).write_bytes(content)
            ini["chunks"][str(index)] = digest.hex()
            ini["chunks_peers"][str(index)] = ", ".join(names)
    with open(args.config / FILE_INI, "w", encoding="utf-8") as file:
        ini.write(file)


def merge(args):
    _filename, listing = read_listing(args.config)
    write_file(args.out, (stored_chunk(args.chunks, digest) for digest, _ in listing))


def stored_chunk(chunks, digest):
    """The chunk's content, from any provider's directory that has it right."""
    for provider in chunks.iterdir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            content = chunk_path(chunks, provider.name, digest).read_bytes()
            if hashlib.sha1(content).digest() == digest:
                return content
    sys.exit(f"missing {digest.hex()}")


def write_file(out, contents):
    """Writes the file whole or not at all; tells its SHA-1 and its length."""
    part, sha1, length = out.with_name(out.name + ".part"), hashlib.sha1(), 0
    try:
        with open(part, "wb") as file:
            for content in contents:
                file.write(content)
                sha1.update(content)
                length += len(content)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"done {sha1.hexdigest()} {length}", flush=True)


# ---------------------------------------------------------------------------------------- provider

FAULTS = {                  # each with the least value of its argument, if it takes one
    "none": None,
    "lacks": 1,             # lacks:K, every K-th distinct chunk asked for is not there
    "dies": 0,              # dies:BYTES, the process ends after so many bytes of a chunk's content
    "dies-once": 0,         # dies-once:BYTES, only one connection ends so
    "stalls": 0,            # stalls:BYTES, goes quiet after so many bytes of a chunk's content
    "slow": 1,              # slow:BYTES_PER_S
    "silent": None,         # never answers
    "endless": None,        # sends a chunk that does not end
    "lies": None,           # one byte of each chunk is changed
    "otherhash": None,      # answers about another chunk
    "badversion": None,
    "badlength": None,      # the chunk ends before its message does
    "garbage": None,
    "nonzero": None,        # legal: noise in reserved and padding bytes
}


def flip(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1:] if data else data


def longer_message(data):
    """Eight bytes more than the content length explains, though msg_length counts them."""
    return HEADER.pack(VERSION, CHUNK, 0, len(data) // 4 + 2) + data[HEADER.size:] + bytes(8)


ALTERED_ANSWERS = {
    "lies": lambda digest, content: chunk_message(digest, flip(content, len(content) // 2)),
    "otherhash": lambda digest, content: chunk_message(flip(digest, 0), content),
    "badversion": lambda digest, content: b"\2" + chunk_message(digest, content)[1:],
    "badlength": lambda digest, content: longer_message(chunk_message(digest, content)),
    "garbage": lambda digest, content: os.urandom(64),
    "nonzero": lambda digest, content: chunk_message(digest, content, NOISE),
}


class Provider:
    """Alice or Bob: serves the chunk files of one directory, honestly unless given a fault."""

    def __init__(self, name, chunks, listener, fault):
        self.name, self.chunks, self.listener = name, chunks, listener
        self.misbehaviour, self.argument = fault
        self.fill = NOISE if self.misbehaviour == "nonzero" else 0
        self.lock = threading.Lock()
        self.ordinals = {}              # digest -> when it was first asked for, counting from 1
        self.died = False

    def answer(self, sock, kind, digest):
        if kind != GET_CHUNK:
            return sock.sendall(error_message(INVALID_REQUEST, self.fill))
        content = self.content(digest)
        if content is None:
            return sock.sendall(error_message(CHUNK_NOT_FOUND, self.fill))
        answer = ALTERED_ANSWERS.get(self.misbehaviour, chunk_message)(digest, content)
        if self.misbehaviour in ("dies", "dies-once", "stalls"):
            self.break_off(sock, answer, CHUNK_PREFIX + min(self.argument, len(content)))
        elif self.misbehaviour == "endless":
            self.send_endlessly(sock, digest)
        elif self.misbehaviour == "slow":
            self.send_slowly(sock, answer)
        else:
            sock.sendall(answer)

    def content(self, digest):
        """The chunk as its file is now, or None."""
        with self.lock:
            ordinal = self.ordinals.setdefault(digest, len(self.ordinals) + 1)
        if self.misbehaviour == "lacks" and ordinal % self.argument == 0:
            return None
        with contextlib.suppress(FileNotFoundError):
            return chunk_path(self.chunks, self.name, digest).read_bytes()

    def break_off(self, sock, answer, shown):
        with self.lock:
            first, self.died = not self.died, True
        if self.misbehaviour == "dies-once" and not first:
            return sock.sendall(answer)
        if self.misbehaviour == "dies":
            stop_listening(self.listener)       # before the client can notice and come back
        sock.sendall(answer[:shown])
        if self.misbehaviour == "stalls":
            return skip(sock)
        close_gently(sock)
        if self.misbehaviour == "dies":
            os._exit(0)

    def send_endlessly(self, sock, digest):
        """The longest CHUNK that two lengths agreeing with each other can claim, and then more."""
        length = 0xFFFFFFFF
        dwords = -(-(CHUNK_PREFIX + length) // 4)
        sock.sendall(HEADER.pack(VERSION, CHUNK, 0, dwords) + digest + length.to_bytes(4, "big"))
        send_zeros_forever(sock)

    def send_slowly(self, sock, answer):
        step = max(1, self.argument // 10)
        for start in range(0, len(answer), step):
            sock.sendall(answer[start:start + step])
            time.sleep(step / self.argument)


def provider(args):
    listener = listen(peer_address(read_ini(args.config / PEERS_INI), args.name))
    server = Provider(args.name, args.chunks, listener, args.fault)
    print("ready", listener.getsockname()[1], flush=True)
    accept_forever(listener, lambda sock: serve_connection(server, sock))


# ----------------------------------------------------------------------------------------- tracker

DISCOVER_PORT = 9000
QUIRKS = {                          # like FAULTS
    "none": None,
    "type5": None,                  # FILE_INFO under CHUNK's type, as one existing tracker sends it
    "nonzero": None,                # legal: noise in reserved and padding bytes
    "broadcast-socket": None,       # answers discovery from a socket other than the one asked
    "huge": None,                   # a FILE_INFO that does not end
    "garbage": None,                # instead of FILE_INFO, and in a datagram before TRACKER_INFO
    "silent": None,                 # over TCP; it can still be discovered
    "die-after-discovery": None,    # one TRACKER_INFO, and then nobody listens where it points
    "error": 0,                     # error:CODE instead of FILE_INFO
}


class Tracker:
    """Tells by UDP where it is and by TCP who has which chunk; reads its files for each request."""

    def __init__(self, config, listener, discovery, quirk):
        self.config, self.listener, self.discovery = config, listener, discovery
        self.misbehaviour, self.argument = quirk
        self.fill = NOISE if self.misbehaviour == "nonzero" else 0
        self.address = listener.getsockname()
        self.reply_socket = discovery
        if self.misbehaviour == "broadcast-socket":
            self.reply_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def answer(self, sock, kind, _fields):
        if kind != GET_FILE_INFO:
            return sock.sendall(error_message(INVALID_REQUEST, self.fill))
        if self.misbehaviour == "garbage":
            return sock.sendall(os.urandom(64))
        if self.misbehaviour == "error":
            return sock.sendall(error_message(self.argument))
        if self.misbehaviour == "huge":
            return self.send_endlessly(sock)
        info = file_info_message(configured_file_info(self.config), self.fill)
        sock.sendall(with_type(CHUNK, info) if self.misbehaviour == "type5" else info)

    def send_endlessly(self, sock):
        most = MAX_COUNT.to_bytes(2, "big")
        sock.sendall(HEADER.pack(VERSION, FILE_INFO, 0, 0xFFFFFFFF) + most + counted(b"huge"))
        sock.sendall(b"huge" + padded(bytes(HASH_BYTES) + most, 0))
        send_zeros_forever(sock)

    def serve_discovery(self):
        while True:
            with contextlib.suppress(OSError):
                datagram, source = self.discovery.recvfrom(PIECE)
                for reply in self.discovery_replies(datagram):
                    self.reply_socket.sendto(reply, source)

    def discovery_replies(self, datagram):
        """One datagram is one message."""
        try:
            kind, _fields = parse(datagram)
        except Malformed:
            return [error_message(INVALID_MESSAGE_FORMAT, self.fill)]
        if kind != DISCOVER_TRACKER:
            return [error_message(INVALID_REQUEST, self.fill)]
        if self.listener.fileno() < 0:
            return []
        if self.misbehaviour == "die-after-discovery":
            stop_listening(self.listener)   # before the client can come
        noise = [os.urandom(64)] if self.misbehaviour == "garbage" else []
        return noise + [tracker_info_message(self.address, TRACKER_SECTION, self.fill)]


def discovery_socket(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if port:                            # trackers may share a port asked for, but not a free one
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("0.0.0.0", port))
    return sock


def tracker(args):
    configured_file_info(args.config)   # complains now rather than at the first request
    listener = listen(peer_address(read_ini(args.config / PEERS_INI), TRACKER_SECTION))
    discovery = discovery_socket(args.discover_port)
    server = Tracker(args.config, listener, discovery, args.quirk)
    in_background(server.serve_discovery)
    print("ready", server.address[1], flush=True)
    if args.discover_port == 0:
        print("discover", discovery.getsockname()[1], flush=True)
    accept_forever(listener, lambda sock: serve_connection(server, sock))


# ------------------------------------------------------------------------------------------ client

PATIENCE = 5.0              # seconds without a byte before a peer counts as gone
DISCOVER_ROUNDS = 3
DISCOVER_SECONDS = 1.0      # of each round
MAX_WORKERS = 64            # providers, and so connections, at once
MAX_STRIKES = 2             # a provider is left after so many broken connections in a row


def ask(sock, request):
    """The answer to a request, still in one piece."""
    sock.sendall(request)
    return receive_message(sock)


def expect(wanted, kind, fields):
    if kind == ERROR:
        raise Refused(f"ERROR {fields}")
    if kind != wanted:
        raise Malformed(f"type {kind} instead of {wanted}")
    return fields


def ask_chunk(sock, digest):
    named, content = expect(CHUNK, *parse(ask(sock, message(GET_CHUNK, digest))))
    if named != digest:
        raise Malformed("an answer about another chunk")
    return content


def ask_file_info(address):
    with socket.create_connection(address, PATIENCE) as sock:
        reply = ask(sock, message(GET_FILE_INFO))
    if reply[1] != CHUNK:
        return expect(FILE_INFO, *parse(reply))
    info = expect(FILE_INFO, *parse(with_type(FILE_INFO, reply)))    # nothing else can be meant
    print("warning: the tracker sent FILE_INFO with type 5", file=sys.stderr)
    return info


def discover(broadcast, port):
    """Addresses of trackers, each once, in the order they answered in."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(DISCOVER_ROUNDS):
            if not found:
                sock.sendto(message(DISCOVER_TRACKER), (broadcast, port))
                found.update(dict.fromkeys(answering_trackers(sock)))
    return list(found)


def answering_trackers(sock):
    deadline = time.monotonic() + DISCOVER_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        with contextlib.suppress(Malformed, OSError):
            kind, fields = parse(sock.recv(PIECE))
            if kind == TRACKER_INFO:
                yield fields[0]


class Download:
    """One worker for each provider, each with one connection, until every chunk is there.

    A chunk stays in `todo` with the providers it may still come from.  A worker prefers chunks that
    nobody is fetching, but rather than idle it joins in fetching one that another is slow with.
    """

    def __init__(self, info, store):
        self.store = store
        self.todo = {}                  # digest -> providers that have not failed to send it
        self.fetching = {}              # digest -> how many workers are at it
        self.changed = threading.Condition()
        for chunk in info.chunks:
            self.todo.setdefault(chunk.digest, set()).update(chunk.peers)
            self.fetching[chunk.digest] = 0
        self.missing = next((digest for digest, peers in self.todo.items() if not peers), None)

    def run(self):
        """The hash of a chunk that nobody can send, or None when all are stored."""
        addresses, providers = set().union(*self.todo.values()), queue.SimpleQueue()
        for address in addresses:
            providers.put(address)
        for _ in range(min(len(addresses), MAX_WORKERS)):
            in_background(self.work_through, providers)
        with self.changed:
            self.changed.wait_for(lambda: not self.todo or self.missing)
            return self.missing

    def work_through(self, providers):
        with contextlib.suppress(queue.Empty):
            while True:
                self.work_with(providers.get_nowait())

    def work_with(self, address):
        sock, strikes = None, 0
        while strikes < MAX_STRIKES and (digest := self.take(address)):
            try:
                sock = sock or socket.create_connection(address, PATIENCE)
                content, strikes = ask_chunk(sock, digest), 0
                self.put_back(digest)
                if hashlib.sha1(content).digest() == digest:
                    self.keep(digest, content)
                else:
                    self.give_up(address, digest)
            except Refused:
                self.put_back(digest)
                self.give_up(address, digest)
            except (OSError, Malformed):
                self.put_back(digest)
                sock, strikes = close(sock), strikes + 1
        close(sock)
        self.give_up(address)

    def take(self, address):
        """A chunk to ask this provider for, if there is any."""
        with self.changed:
            chosen = None
            for digest, peers in self.todo.items():
                if address in peers and not self.missing:
                    chosen = chosen or digest
                    if not self.fetching[digest]:
                        chosen = digest
                        break
            if chosen:
                self.fetching[chosen] += 1
            return chosen

    def put_back(self, digest):
        with self.changed:
            self.fetching[digest] -= 1

    def keep(self, digest, content):
        with self.changed:
            if self.todo.pop(digest, None) and not self.missing:
                (self.store / digest.hex()).write_bytes(content)
            self.changed.notify_all()

    def give_up(self, address, *digests):
        """Looks no longer for these chunks, or any, at this provider."""
        with self.changed:
            for digest in digests or list(self.todo):
                peers = self.todo.get(digest)
                if peers and address in peers:
                    peers.remove(address)
                    self.missing = self.missing or (None if peers else digest)
            self.changed.notify_all()


def close(sock):
    if sock:
        sock.close()


def find_file_info(args):
    if args.config:
        return configured_file_info(args.config)
    trackers = [args.tracker] if args.tracker else discover(args.broadcast, args.discover_port)
    reason = "no tracker answered"
    for address in trackers:
        try:
            return ask_file_info(address)
        except (OSError, Malformed, Refused) as problem:
            reason = f"{address[0]}:{address[1]}: {problem}"
    sys.exit(f"no FILE_INFO: {reason}")


def client(args):
    info = find_file_info(args)
    with tempfile.TemporaryDirectory(prefix=".chunks-", dir=args.out.parent) as directory:
        missing = Download(info, Path(directory)).run()
        if missing:
            sys.exit(f"missing {missing.hex()}")
        paths = (Path(directory, chunk.digest.hex()) for chunk in info.chunks)
        write_file(args.out, (path.read_bytes() for path in paths))


# ------------------------------------------------------------------------------------------- probe

def probe(args):
    kind = socket.SOCK_DGRAM if args.udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(PATIENCE)
        if args.udp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.sendto(args.hex, args.address)
        else:
            sock.connect(args.address)
            with contextlib.suppress(ConnectionError):      # it may answer and close before the end
                sock.sendall(args.hex)
        for number in range(1, args.count + 1):
            try:
                reply = sock.recv(PIECE) if args.udp else receive_message(sock)
            except (OSError, Malformed) as problem:
                sys.exit(f"no reply {number}: {problem}")
            print(reply.hex(), flush=True)


# ---------------------------------------------------------------------------------------- commands

def host_and_port(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def positive(text):
    if int(text) < 1:
        raise ValueError
    return int(text)


def choice_of(least_of):
    """An argparse type: KIND, or KIND:N where `least_of` has a least N for it."""
    def convert(text):
        kind, _, number = text.partition(":")
        least = least_of.get(kind)
        if kind not in least_of or (least is None) != (number == ""):
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(least_of)}")
        if number and int(number) < least:
            raise argparse.ArgumentTypeError(f"{kind} needs a number from {least}")
        return kind, int(number or 0)
    return convert


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="ROLE")
    add = {}
    for role in (cut, merge, provider, tracker, client, probe):
        sub = commands.add_parser(role.__name__)
        sub.set_defaults(run=role)
        add[role] = sub.add_argument

    add[cut]("file", type=Path)
    add[cut]("--chunk-size", type=positive, default=DEFAULT_CHUNK_SIZE)
    add[provider]("name")
    add[provider]("--fault", type=choice_of(FAULTS), default="none")
    add[tracker]("--quirk", type=choice_of(QUIRKS), default="none")
    add[probe]("address", type=host_and_port, metavar="HOST:PORT")
    add[probe]("--hex", type=bytes.fromhex, required=True)
    add[probe]("--udp", action="store_true")
    add[probe]("--count", type=positive, default=1, help="how many replies to wait for")
    for role in (cut, merge, provider, tracker):
        add[role]("--config", type=Path, required=True)
    for role in (cut, merge, provider):
        add[role]("--chunks", type=Path, default=Path("chunks"))
    for role in (merge, client):
        add[role]("--out", type=Path, required=True)
    for role in (tracker, client):
        add[role]("--discover-port", type=int, default=DISCOVER_PORT)

    add[client]("--broadcast", default="255.255.255.255")
    source = commands.choices["client"].add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path)
    source.add_argument("--tracker", type=host_and_port, metavar="HOST:PORT")
    source.add_argument("--discover", action="store_true")
    return parser.parse_args()


def main():
    args = arguments()
    if args.run in (provider, tracker):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        args.run(args)
    except (OSError, ValueError, configparser.Error) as problem:
        sys.exit(f"{args.run.__name__}: {' '.join(str(problem).split())}")


if __name__ == "__main__":
    main()
