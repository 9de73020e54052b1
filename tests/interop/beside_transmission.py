"""Asks the daemon and a transmission-daemon of this machine the same, and compares the shapes of
their answers: status, headers, names, types: ADDRESS TOKEN HOME. Each difference has its reason in
the table below; one without, and a reason that no difference needs, is a failure."""
import base64
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

address, token, home = sys.argv[1:]
home = pathlib.Path(home)

# What differs, as a pattern of where; and why. We say that we are 4.0.6, and this is 3.00.
REASONS = [
    (r"status of OPTIONS", "a method that is none is refused as the other wrong ones, with 405"),
    (r"session-get.* only here: (anti-brute|default-trackers|rpc-version-semver|script-torrent-(added|done-seeding)|tcp-enabled)",
     "of 4.x"),
    (r"torrent-get.* only here: torrents\[\]\.(files\[\]\.(begin|end)_piece|(trackers|trackerStats)\[\]\.(sitename|downloader_count))",
     "of 4.x"),
    (r"torrent-get.* (only here: torrents\[\]\.(file-count|availability|trackerList|group|percentComplete|sequential)|type of torrents\[\]\.(file-count|availability|trackerList|group|percentComplete|sequential))",
     "of 4.x: 3.00 tells 0 for what it does not know"),
    (r"torrent-get.* only there: torrents\[\]\.nonsense", "what is not known is left out, as 4.x does"),
    (r"(result of )?no fields.*", "an error, as 4.x has it; 3.00 lists torrents without fields"),
    (r"free-space.* only here: total_size", "of 4.x"),
    (r"(result of )?group-(get|set).*", "of 4.x: 3.00 does not know the method"),
    (r"result of blocklist-update", "both fail without a network, in words of their own"),
    (r"result of torrent-add of nonsense", "why a torrent cannot be read is told"),
    (r"result of torrent-add of a path", "why no path is read is told"),
    (r"result of labels twice", "each is kept once, as 4.x does"),
    (r"tag of .*", "whatever it is comes back: tools insist on theirs"),
]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def real_server():
    config = home / "real"
    config.mkdir()
    port = free_port()
    settings = {
        "rpc-port": port, "rpc-bind-address": "127.0.0.1", "rpc-username": "me",
        "rpc-password": token, "rpc-authentication-required": True, "dht-enabled": False,
        "lpd-enabled": False, "utp-enabled": False, "pex-enabled": False, "peer-port": free_port(),
        "port-forwarding-enabled": False, "bind-address-ipv4": "127.0.0.1",
        "download-dir": str(home / "real-out"), "rpc-whitelist-enabled": False,
    }
    (config / "settings.json").write_text(json.dumps(settings))
    command = ["transmission-daemon", "-f", "-g", str(config)]
    with open(home / "real.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log), f"127.0.0.1:{port}"


class Server:
    def __init__(self, address):
        self.address, self.id = address, ""
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def send(self, method="POST", path="/transmission/rpc", body=None, auth=True, named=True):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if auth:
            word = token if auth is True else auth
            headers["Authorization"] = "Basic " + base64.b64encode(f"me:{word}".encode()).decode()
        if named:
            headers["X-Transmission-Session-Id"] = self.id
        asked = urllib.request.Request(f"http://{self.address}{path}", body, headers, method=method)
        try:
            told = self.opener.open(asked, timeout=30)
        except urllib.error.HTTPError as error:
            told = error
        return told.status, told.headers, told.read()

    def sign_in(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                status, headers, _ = self.send(named=False)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        assert status == 409, status
        self.id = headers["X-Transmission-Session-Id"]

    def call(self, method, arguments=None, **more):
        asked = {"method": method, "tag": 7, **more}
        if arguments is not None:
            asked["arguments"] = arguments
        status, headers, body = self.send(body=json.dumps(asked).encode())
        assert status == 200, (method, status)
        return json.loads(body)


def shape(value):
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


# Whole numbers may stand for these.
NUMBERS = ["int", "float"]
FRACTIONS = re.compile(r"percentDone|recheckProgress|metadataPercentComplete|uploadRatio|seedRatioLimit|progress$")


def differ(where, ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{name}".lstrip(".")
            if name not in theirs:
                yield f"{where}: only here: {inner}"
            elif name not in ours:
                yield f"{where}: only there: {inner}"
            else:
                yield from differ(where, ours[name], theirs[name], inner)
    elif isinstance(ours, list) and isinstance(theirs, list):
        if ours and theirs:
            yield from differ(where, ours[0], theirs[0], path + "[]")
    elif ours != theirs:
        are_numbers = ours in NUMBERS and theirs in NUMBERS
        if are_numbers and FRACTIONS.search(path):
            return
        yield f"{where}: type of {path}: {ours} here, {theirs} there"


FIELDS = """activityDate addedDate availability bandwidthPriority comment corruptEver creator dateCreated
desiredAvailable doneDate downloadDir downloadLimit downloadLimited downloadedEver editDate error
errorString eta etaIdle file-count fileStats files group hashString haveUnchecked haveValid
honorsSessionLimits id isFinished isPrivate isStalled labels leftUntilDone magnetLink
manualAnnounceTime maxConnectedPeers metadataPercentComplete name peer-limit peers peersConnected
peersFrom peersGettingFromUs peersSendingToUs percentComplete percentDone pieceCount pieceSize pieces
priorities queuePosition rateDownload rateUpload recheckProgress secondsDownloading secondsSeeding
seedIdleLimit seedIdleMode seedRatioLimit seedRatioMode sequential_download sizeWhenDone startDate
status torrentFile totalSize trackerList trackerStats trackers uploadLimit uploadLimited uploadRatio
uploadedEver wanted webseeds webseedsSendingToUs nonsense""".split()


def both(ours, theirs):
    """All differences, as texts."""
    def http(what, **asked):
        (status, headers, _), (there, theirs_, _) = ours.send(**asked), theirs.send(**asked)
        if status != there:
            yield f"status of {what}: {status} here, {there} there"
        for name in ["WWW-Authenticate", "X-Transmission-Session-Id", "X-Transmission-Rpc-Version"]:
            if (name in headers) != (name in theirs_):
                yield f"header {name} of {what}: {name in headers} here, {name in theirs_} there"

    for method in ["GET", "POST", "PUT", "DELETE"]:
        yield from http(f"{method} without an id", method=method, named=False)
        yield from http(f"{method} without a password", method=method, auth=False)
        yield from http(f"{method} with a wrong one", method=method, auth="wrong")
    for method in ["GET", "PUT", "DELETE"]:
        yield from http(f"{method} with an id", method=method)
    yield from http("OPTIONS", method="OPTIONS")
    yield from http("a slash behind", path="/transmission/rpc/", body=b"{}")
    yield from http("a query", path="/transmission/rpc?x=1", body=b"{}")
    for body in [b"", b"{", b"[1]x", b'{"method":7}']:
        yield from http(f"{body}", body=body)
        a, b = (json.loads(server.send(body=body)[2]) for server in (ours, theirs))
        yield from differ(f"{body}", shape(a), shape(b))
        if a["result"] != b["result"]:
            yield f"result of {body}: {a['result']} here, {b['result']} there"

    def calls(method, arguments=None, what=None, **more):
        what = what or method
        a, b = ours.call(method, arguments, **more), theirs.call(method, arguments, **more)
        # Torrents that are listed are the same ones in the same order.
        yield from differ(what, shape(a["arguments"]), shape(b["arguments"]))
        if a["result"] != b["result"]:
            yield f"result of {what}: {a['result']} here, {b['result']} there"
        if a.get("tag") != b.get("tag"):
            yield f"tag of {what}: {a.get('tag')} here, {b.get('tag')} there"

    def torrent(name):
        return base64.b64encode((home / name).read_bytes()).decode()

    yield from calls("session-get")
    yield from calls("session-get", {"fields": ["version", "nonsense"]}, "session-get of some")
    yield from calls("session-stats")
    yield from calls("torrent-get", {"fields": ["id"]}, "torrent-get of none")
    for name in ["extra", "film"]:
        arguments = {"metainfo": torrent(f"{name}.torrent"), "paused": True}
        yield from calls("torrent-add", arguments)
        yield from calls("torrent-add", arguments, "torrent-add again")
    yield from calls("torrent-get", {"fields": FIELDS, "ids": [1]})
    yield from calls("torrent-get", {"fields": ["id", "name"], "format": "table"}, "torrent-get table")
    yield from calls("torrent-get", {"fields": ["id"], "ids": "recently-active"}, "torrent-get lately")
    yield from calls("torrent-get", {"fields": []}, "no fields")
    for ids in [[], None, "", [99], "2", [1, 1]]:
        a, b = (server.call("torrent-get", {"fields": ["id"], "ids": ids}) for server in (ours, theirs))
        if a["arguments"] != b["arguments"]:
            yield f"ids {ids}: {a['arguments']} here, {b['arguments']} there"
    for what, arguments in [
        ("nothing", {}), ("nonsense", {"metainfo": "bm9uc2Vuc2U="}), ("a path", {"filename": "/nowhere"}),
        ("a relative place", {"metainfo": torrent("film.torrent"), "download-dir": "x"}),
    ]:
        yield from calls("torrent-add", arguments, f"torrent-add of {what}")
    for what, arguments in [
        ("limits", {"downloadLimit": 77, "downloadLimited": True}),
        ("labels twice", {"labels": ["a", "a"]}), ("labels", {"labels": ["a", "b"]}), ("an empty label", {"labels": [""]}),
        ("a comma", {"labels": ["a,b"]}), ("files", {"files-unwanted": [0]}),
        ("no such file", {"files-wanted": [9]}), ("all files", {"files-wanted": []}),
        ("trackers", {"trackerAdd": ["http://127.0.0.1:1024/other"]}), ("nothing", {}),
        ("location", {"location": "/nowhere"}), ("ratio", {"seedRatioLimit": 1.5, "seedRatioMode": 1}),
    ]:
        yield from calls("torrent-set", {"ids": [1], **arguments}, what)
    for server in (ours, theirs):
        told = server.call("torrent-get", {"ids": [1], "fields": ["downloadLimit", "downloadLimited", "labels", "seedRatioLimit", "seedRatioMode", "wanted"]})
        del told["tag"]
        server.told = told
    if ours.told != theirs.told:
        yield f"what was set: {ours.told} here, {theirs.told} there"
    for method in ["queue-move-top", "queue-move-up", "queue-move-down", "queue-move-bottom",
                   "torrent-start", "torrent-start-now", "torrent-stop", "torrent-verify", "torrent-reannounce"]:
        yield from calls(method, {"ids": [1]})
        yield from calls(method, {"ids": [99]}, f"{method} of none")
    yield from calls("torrent-set-location", {"ids": [1]})
    yield from calls("torrent-set-location", {"ids": [1], "location": "x"}, "torrent-set-location to a relative place")
    for arguments in [{"path": "x", "name": "a/b"}, {"path": "extra", "name": ""}]:
        yield from calls("torrent-rename-path", {"ids": [1], **arguments})
    yield from calls("torrent-rename-path", {"ids": [], "path": "x", "name": "y"}, "torrent-rename-path of none")
    yield from calls("session-set", {"speed-limit-down": 700, "nonsense": 1})
    yield from calls("session-set", {"download-dir": "x"}, "session-set of a relative place")
    yield from calls("free-space", {"path": str(home / "out")})
    yield from calls("free-space", {"path": str(home / "out/nowhere")}, "free-space of nothing")
    yield from calls("free-space", {"path": "x"}, "free-space of a relative place")
    for method in ["group-get", "group-set", "blocklist-update", "nonsense"]:
        yield from calls(method, {})
    for tag in ["a", 1.5, None]:
        yield from calls("session-stats", what=f"a tag {tag}", tag=tag)
    yield from calls("torrent-remove", {"ids": [1, 99]})
    yield from calls("torrent-get", {"fields": ["id"], "ids": "recently-active"}, "torrent-get lately")


real, there = real_server()
try:
    ours, theirs = Server(address), Server(there)
    ours.sign_in()
    theirs.sign_in()
    found = list(dict.fromkeys(both(ours, theirs)))
finally:
    real.kill()
    real.wait()
used, lonely = set(), []
for difference in found:
    nth = next((nth for nth, (pattern, _) in enumerate(REASONS) if re.match(pattern, difference)), None)
    if nth is None:
        lonely.append(difference)
        continue
    used.add(nth)
    print(f"| {difference} | {REASONS[nth][1]} |")
for difference in lonely:
    print("without a reason:", difference)
idle = [pattern for nth, (pattern, _) in enumerate(REASONS) if nth not in used]
for pattern in idle:
    print("a reason for nothing:", pattern)
if lonely or idle:
    sys.exit(1)
print(f"{len(found)} differences, no difference without a reason")
