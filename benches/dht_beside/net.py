"""A net of DHT nodes (BEP 5) in one process: `count` nodes with an address and a /24 each on the
loopback device, of which a share never answers. Each knows eight others a bucket. The eight living
nodes nearest to any hash hold one peer of it. Answers leave after a delay, and every query is
noted with its time on the clock that all processes of the machine share, those to dead nodes, too.

    net.py COUNT DEAD_SHARE DELAY SEED LOG     DELAY: seconds of a round trip, or `lognormal`

It prints `ready` and ends with its standard input, having written LOG: a line a query,
`TIME PLACE SENDER METHOD HASH`. PLACE: how many living nodes are nearer to HASH, or `dead`.
"""
import heapq, random, select, socket, sys, time

K = 8


def address(i):
    return f"127.{10 + i // 250}.{i % 250 + 1}.1", 6881


def bdecode(b, i=0):
    c = b[i:i + 1]
    if c == b"d":
        i += 1
        d = {}
        while b[i:i + 1] != b"e":
            k, i = bdecode(b, i)
            d[k], i = bdecode(b, i)
        return d, i + 1
    if c == b"l":
        i += 1
        l = []
        while b[i:i + 1] != b"e":
            v, i = bdecode(b, i)
            l.append(v)
        return l, i + 1
    if c == b"i":
        e = b.index(b"e", i)
        return int(b[i + 1:e]), e + 1
    e = b.index(b":", i)
    n = int(b[i:e])
    return b[e + 1:e + 1 + n], e + 1 + n


class World:
    def __init__(self, count, dead, seed):
        rng = random.Random(seed)
        self.ids = [rng.randbytes(20) for _ in range(count)]
        self.ints = [int.from_bytes(i, "big") for i in self.ids]
        self.dead = set(rng.sample(range(count), int(count * dead)))
        self.compact = []
        for i in range(count):
            ip, port = address(i)
            self.compact.append(self.ids[i] + socket.inet_aton(ip) + port.to_bytes(2, "big"))
        self.known = []
        for i in range(count):
            buckets = {}
            for j in range(count):
                if i != j:
                    buckets.setdefault((self.ints[i] ^ self.ints[j]).bit_length(), []).append(j)
            own = []
            for members in buckets.values():
                own += rng.sample(members, min(K, len(members)))
            self.known.append(own)
        self.orders = {}

    def closest(self, i, target):
        return heapq.nsmallest(K, self.known[i], key=lambda j: self.ints[j] ^ target)

    def place(self, i, target):
        """How many living nodes are nearer to it."""
        order = self.orders.get(target)
        if order is None:
            alive = [j for j in range(len(self.ids)) if j not in self.dead]
            alive.sort(key=lambda j: self.ints[j] ^ target)
            order = self.orders[target] = {j: n for n, j in enumerate(alive)}
        return order.get(i, "dead")


def main():
    count, dead, delay, seed, log = sys.argv[1:]
    world = World(int(count), float(dead), int(seed))
    rng = random.Random(int(seed) + 1)
    if delay == "lognormal":
        wait = lambda: min(rng.lognormvariate(-2.302585, 0.7), 3.0)  # median 100 ms
    else:
        wait = lambda d=float(delay): d
    poll = select.epoll()
    sockets, index = [], {}
    for i in range(int(count)):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.bind(address(i))
        sockets.append(s)
        index[s.fileno()] = i
        poll.register(s.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN | select.EPOLLHUP)
    print("ready", flush=True)
    notes, due, n = [], [], 0
    while True:
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, i, to, reply = heapq.heappop(due)
            try:
                sockets[i].sendto(reply, to)
            except OSError:
                pass
        timeout = max(0, due[0][0] - now) if due else -1
        for fd, _ in poll.poll(timeout):
            if fd == sys.stdin.fileno():
                if not sys.stdin.readline():
                    with open(log, "w") as f:
                        f.writelines(" ".join(map(str, note)) + "\n" for note in notes)
                    return
                continue
            i = index[fd]
            for _ in range(32):
                try:
                    data, sender = sockets[i].recvfrom(2048)
                except BlockingIOError:
                    break
                now = time.monotonic()
                try:
                    m, _ = bdecode(data)
                    if m.get(b"y") != b"q":
                        continue
                    a, method, t = m[b"a"], m[b"q"].decode(), m[b"t"]
                except Exception:
                    continue
                target = a.get(b"info_hash") or a.get(b"target") or b""
                x = int.from_bytes(target, "big")
                place = world.place(i, x)
                notes.append((f"{now:.6f}", place, f"{sender[0]}:{sender[1]}", method, target.hex() or "-"))
                if place == "dead":
                    continue
                r = b"2:id20:" + world.ids[i]
                if len(target) == 20 and method in ("get_peers", "find_node", "get"):
                    nodes = b"".join(world.compact[j] for j in world.closest(i, x))
                    r += b"5:nodes%d:" % len(nodes) + nodes
                    if method == "get_peers":
                        r += b"5:token4:tokn"
                        if place < K:
                            r += b"6:valuesl6:\x0a\x01\x02\x03\x1a\xe1e"
                ip = socket.inet_aton(sender[0]) + sender[1].to_bytes(2, "big")
                reply = b"d2:ip6:" + ip + b"1:rd" + r + b"e1:t%d:" % len(t) + t + b"1:y1:re"
                n += 1
                heapq.heappush(due, (now + wait(), n, i, sender, reply))


main()
