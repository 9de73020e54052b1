"""A line with a delay and a rate between two network namespaces, without netem: each has a TUN
device, and every packet waits for its place on the line and then for the delay. Needs root.

    link.py A B ONE_WAY_MS MBIT

A has 10.99.0.1 and B 10.99.0.2. It prints `ready` and takes both away when its standard input ends."""
import collections, ctypes, fcntl, os, select, struct, subprocess, sys, time

a, b, delay, rate = sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1e3, float(sys.argv[4]) * 1e6 / 8
QUEUE_S = 0.2  # what the line has room for
libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def device(name):
    """A TUN device inside a namespace, held by this process outside."""
    with open("/proc/self/ns/net") as back, open(f"/var/run/netns/{name}") as there:
        libc.setns(there.fileno(), 0)
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"link0", 0x1001))  # TUNSETIFF: TUN, NO_PI
        libc.setns(back.fileno(), 0)
    return fd


fds = []
try:
    for name, mine, other in ((a, "10.99.0.1", "10.99.0.2"), (b, "10.99.0.2", "10.99.0.1")):
        ip("netns", "add", name)
        fds.append(device(name))
        ip("-n", name, "addr", "add", mine, "peer", other, "dev", "link0")
        ip("-n", name, "link", "set", "link0", "mtu", "32000", "txqueuelen", "5000", "up")
        ip("-n", name, "link", "set", "lo", "up")
        for memory in ("wmem", "rmem"):  # room for what is on the line; the same for every client
            value = f"net.ipv4.tcp_{memory}=4096 1048576 67108864"
            ip("netns", "exec", name, "sysctl", "-qw", value)
    ways = [collections.deque(), collections.deque()]
    free = [0.0, 0.0]
    poll = select.epoll()
    for fd in (*fds, 0):
        poll.register(fd, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        due = min((way[0][0] for way in ways if way), default=time.monotonic() + 1)
        for fd, _ in poll.poll(max(0.0005, due - time.monotonic())):
            if fd == 0:
                sys.exit()
            side = fds.index(fd)
            for _ in range(64):
                try:
                    packet = os.read(fd, 65536)
                except BlockingIOError:
                    break
                now = time.monotonic()
                at = max(now, free[side])
                if at - now <= QUEUE_S:
                    free[side] = at + len(packet) / rate
                    ways[side].append((free[side] + delay, packet))
        now = time.monotonic()
        for side, way in enumerate(ways):
            while way and way[0][0] <= now:
                try:
                    os.write(fds[1 - side], way.popleft()[1])
                except OSError:
                    pass
finally:
    for name in (a, b):
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
