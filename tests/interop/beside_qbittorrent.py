"""The same calls to the qbittorrent-nox of this machine, which is 4.5 or older than that, and to a
server that speaks its WebAPI. What both answer is compared by shape: status, type of the body,
keys, kinds of values. Every difference that there may be stands in `DIFFERENCES` with its reason;
one that is not there is a failure, and so is one that was not seen.

    beside_qbittorrent.py ADDRESS TOKEN HOME"""

import hashlib
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SINCE_5 = "the server here speaks as 5.1 does, which this one is older than"
NEVER = "a key of this version that 5.1 has dropped"

# What differs: a call and a path in its answer, and why.
DIFFERENCES = {
    ("POST torrents/stop", "status"): "4.5 knows pause alone, here both words do the same",
    ("POST torrents/start", "status"): "4.5 knows resume alone, here both words do the same",
    ("POST torrents/setTags", "status"): SINCE_5,
    ("GET torrents/count", "status"): SINCE_5,
    ("POST torrents/delete, without deleteFiles", "status"):
        "programs leave it out to keep the files, and are taken at that",
    ("POST torrents/filePrio, 3", "status"): "earlier versions had such ones: it is normal",
    ("POST torrents/setShareLimits, one", "status"): "what is not named stays as it is",
    ("GET app/preferences", "proxy_type"): SINCE_5,
    ("POST auth/login, logged in, wrong", "text"): "a password is looked at whoever shows it",
    ("GET torrents/export", "type"): SINCE_5,
    ("HEAD app/version", "status"): SINCE_5,
    ("GET app/version, rebound", "status"): "any name leads there as it is set up, and none here",
}
# Keys that one side has and the other has not, by call; `<` is the real one's, `>` is ours.
KEYS = {
    "info": {
        ">": {
            "comment", "has_metadata", "inactive_seeding_time_limit", "max_inactive_seeding_time",
            "popularity", "private", "reannounce", "root_path",
        },
        "<": set(),
    },
    "properties": {">": {"has_metadata", "popularity", "private", "progress"}, "<": set()},
    "transfer": {">": {"last_external_address_v4", "last_external_address_v6"}, "<": set()},
    "session": {
        ">": {"last_external_address_v4", "last_external_address_v6", "use_subcategories"},
        "<": set(),
    },
    "buildInfo": {">": {"platform"}, "<": set()},
}


class Server:
    """One of both, with its cookie."""

    def __init__(self, url, password):
        self.url, self.password, self.cookie = url, password, None

    def call(self, verb, path, fields=None, files=(), headers=None):
        headers, body = dict(headers or {}), None
        if self.cookie:
            headers["Cookie"] = self.cookie
        if files:
            parts = [
                f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode()
                for k, v in (fields or {}).items()
            ]
            for name, data in files:
                head = f'Content-Disposition: form-data; name="torrents"; filename="{name}"'
                parts.append(f"--b\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
            body = b"".join(parts) + b"--b--\r\n"
            headers["Content-Type"] = "multipart/form-data; boundary=b"
        elif verb == "POST":
            body = urllib.parse.urlencode(fields or {}).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif fields:
            path += "?" + urllib.parse.urlencode(fields)
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", body, headers, method=verb)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers, answer.read()

    def log_in(self):
        told = self.call("POST", "auth/login", {"username": "admin", "password": self.password})
        status, headers, body = told
        assert (status, body) == (200, b"Ok."), told
        self.cookie = headers["Set-Cookie"].split(";")[0]

    def json(self, path, **fields):
        status, _, body = self.call("GET", path, fields)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def until(self, what, is_so):
        deadline = time.monotonic() + 30
        while not (seen := is_so(self)):
            assert time.monotonic() < deadline, f"{self.url}: never {what}"
            time.sleep(0.05)
        return seen


def kind(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    # A whole number is written without a point by both, also where another one could stand.
    if isinstance(value, (int, float)):
        return "number"
    return {str: "text", list: "list", dict: "object"}[type(value)]


def kinds(value):
    """The keys of an object with the kinds of their values; of a list, those of its first."""
    if isinstance(value, list):
        return kinds(value[0]) if value else {}
    if isinstance(value, dict):
        return {key: kind(it) for key, it in value.items()}
    return {}


class Comparison:
    def __init__(self, real, ours):
        self.real, self.ours = real, ours
        self.seen, self.unknown, self.count = set(), [], 0

    def differ(self, call, at, left, right):
        self.seen.add((call, at))
        if (call, at) in DIFFERENCES:
            print(f"differs  {call}  {at}: {left!r} / {right!r}: {DIFFERENCES[call, at]}")
        else:
            self.unknown.append((call, at, left, right))
            print(f"UNKNOWN  {call}  {at}: {left!r} / {right!r}")

    def both(self, verb, path, fields=None, note="", keys="", pick=None, **more):
        call = f"{verb} {path}" + (f", {note}" if note else "")
        self.count += 1
        (status_l, head_l, body_l), (status_r, head_r, body_r) = (
            server.call(verb, path, fields, **more) for server in (self.real, self.ours)
        )
        if status_l != status_r:
            return self.differ(call, "status", status_l, status_r)
        type_l, type_r = (head.get_content_type() for head in (head_l, head_r))
        if status_l == 200 and type_l != type_r:
            self.differ(call, "type", type_l, type_r)
        if type_l != "application/json":
            if status_l == 200 and verb == "POST" and body_l != body_r:
                self.differ(call, "text", body_l, body_r)
            return
        left, right = json.loads(body_l), json.loads(body_r)
        if kind(left) != kind(right):
            return self.differ(call, "kind", kind(left), kind(right))
        if pick:
            left, right = pick(left), pick(right)
        left, right = kinds(left), kinds(right)
        wanted = KEYS.get(keys, {"<": set(), ">": set()})
        if path == "app/preferences":
            # Of the many that only its own page reads, some are not here.
            wanted = {"<": left.keys() - right.keys(), ">": right.keys() - left.keys()}
        if left.keys() - right.keys() != wanted["<"] or right.keys() - left.keys() != wanted[">"]:
            self.differ(call, "keys", left.keys() - right.keys(), right.keys() - left.keys())
        for key in sorted(left.keys() & right.keys()):
            if left[key] != right[key]:
                self.differ(call, key, left[key], right[key])


def start_real(home):
    """The real one, and where it is asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = home / "nox/qBittorrent/config"
    config.mkdir(parents=True)
    settings = [
        "[LegalNotice]",
        "Accepted=true",
        "[BitTorrent]",
        "Session\\DHTEnabled=false",
        "Session\\PeXEnabled=false",
        "Session\\LSDEnabled=false",
        "Session\\InterfaceAddress=127.0.0.1",
        "[Network]",
        "PortForwardingEnabled=false",
        "[Preferences]",
        "WebUI\\Address=127.0.0.1",
        f"WebUI\\Port={port}",
    ]
    (config / "qBittorrent.conf").write_text("\n".join(settings) + "\n")
    out = home / "nox-out"
    words = ["qbittorrent-nox", f"--profile={home / 'nox'}", f"--save-path={out}"]
    with (home / "nox.log").open("w") as log:
        real = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return real, f"http://127.0.0.1:{port}"
        except OSError:
            assert real.poll() is None and time.monotonic() < deadline, "it does not begin"
            time.sleep(0.05)


def main():
    address, token, home = sys.argv[1:]
    home = pathlib.Path(home)
    real, url = start_real(home)
    try:
        servers = Server(url, "adminadmin"), Server(f"http://{address}", token)
        compare_all(*servers, (home / "extra.torrent").read_bytes())
    finally:
        real.terminate()
        real.wait(30)


def compare_all(real, ours, torrent):
    at = torrent.index(b"4:info") + 6
    hash = hashlib.sha1(torrent[at:-1]).hexdigest()
    compare, servers = Comparison(real, ours), (real, ours)
    both, none = compare.both, "0" * 40
    both("GET", "app/webapiVersion", note="not logged in")
    both("GET", "app/nothing", note="not logged in")
    both("POST", "auth/login", {"username": "admin", "password": "wrong"}, note="wrong")
    for server in servers:
        server.log_in()
    both("POST", "auth/login", {"username": "admin", "password": "wrong"}, note="logged in, wrong")
    both("GET", "app/version", headers={"Origin": "http://evil.example"}, note="foreign")
    both("GET", "app/version", headers={"Referer": "http://evil.example/"}, note="referred")
    both("GET", "app/version", headers={"Host": "evil.example"}, note="rebound")
    both("HEAD", "app/version")
    for name in ["version", "webapiVersion", "defaultSavePath", "preferences"]:
        both("GET", f"app/{name}")
    both("GET", "app/buildInfo", keys="buildInfo")
    both("POST", "app/setPreferences", {"json": '{"max_connec": 60}'})
    both("POST", "app/setPreferences", {"json": "{"}, note="broken")
    both("POST", "app/setPreferences", note="without json")
    both("GET", "app/setPreferences")
    for name in ["nothing", "Version", "version/"]:
        both("GET", f"app/{name}")
    rests = {"paused": "true", "stopped": "true", "category": "tv", "tags": "a,b"}
    both("POST", "torrents/add", rests, files=[("x.torrent", torrent)])
    for server in servers:
        server.until("listed", lambda it: it.json("torrents/info", hashes=hash))
        rest = ("pausedDL", "stoppedDL")
        server.until("at rest", lambda it: it.json("torrents/info")[0]["state"] in rest)
    both("POST", "torrents/add", files=[("x.torrent", torrent)], note="again")
    both("POST", "torrents/add", files=[("bad", b"d3:fooe")], note="bad")
    both("POST", "torrents/add", {"urls": "nonsense"}, files=[], note="nonsense")
    both("GET", "torrents/info", keys="info")
    both("GET", "torrents/info", {"sort": "nothing"}, note="wrong order")
    both("GET", "torrents/count")
    both("GET", "torrents/properties", {"hash": hash}, keys="properties")
    for name in ["trackers", "webseeds", "files", "pieceStates", "pieceHashes", "export"]:
        both("GET", f"torrents/{name}", {"hash": hash})
    for name in ["properties", "trackers", "files"]:
        both("GET", f"torrents/{name}", {"hash": none}, note="unknown")
        both("GET", f"torrents/{name}", note="without hash")
    both("GET", "torrents/trackers", {"hash": hash}, note="a real one", pick=lambda it: it[3:])
    both("GET", "torrents/files", {"hash": hash, "indexes": "99"}, note="99")
    both("POST", "torrents/filePrio", {"hash": hash, "id": "0", "priority": "6"})
    both("POST", "torrents/filePrio", {"hash": hash, "id": "0", "priority": "3"}, note="3")
    both("POST", "torrents/filePrio", {"hash": hash, "id": "99", "priority": "1"}, note="99")
    both("POST", "torrents/filePrio", {"hash": hash, "id": "x", "priority": "1"}, note="x")
    both("POST", "torrents/filePrio", {"hash": none, "id": "0", "priority": "1"}, note="unknown")
    of = {"hashes": hash}
    for name in ["start", "stop", "resume", "pause", "reannounce"]:
        if name not in ("resume", "pause"):
            both("POST", f"torrents/{name}", of)
    both("POST", "torrents/setForceStart", {**of, "value": "false"})
    both("POST", "torrents/recheck", {"hashes": none}, note="unknown")
    both("POST", "torrents/setDownloadLimit", {**of, "limit": "10000"})
    both("POST", "torrents/setUploadLimit", {**of, "limit": "10000"})
    both("POST", "torrents/downloadLimit", {"hashes": f"{hash}|{none}"})
    shares = {**of, "ratioLimit": "2", "seedingTimeLimit": "60"}
    both("POST", "torrents/setShareLimits", {**shares, "inactiveSeedingTimeLimit": "-2"})
    both("POST", "torrents/setShareLimits", {**of, "ratioLimit": "2"}, note="one")
    for name in ["toggleSequentialDownload", "toggleFirstLastPiecePrio"]:
        both("POST", f"torrents/{name}", of)
    both("POST", "torrents/setSuperSeeding", {**of, "value": "false"})
    both("POST", "torrents/setAutoManagement", {**of, "enable": "false"})
    both("POST", "torrents/createCategory", {"category": "films", "savePath": ""})
    both("POST", "torrents/createCategory", {"category": "films", "savePath": ""}, note="again")
    both("POST", "torrents/createCategory", {"category": ""}, note="empty")
    both("POST", "torrents/createCategory", {"category": "a//b"}, note="wrong")
    both("POST", "torrents/editCategory", {"category": "films", "savePath": "films"})
    both("POST", "torrents/editCategory", {"category": "none", "savePath": "x"}, note="unknown")
    both("GET", "torrents/categories", pick=lambda it: it["films"])
    both("POST", "torrents/setCategory", {**of, "category": "films"})
    both("POST", "torrents/setCategory", {**of, "category": "none"}, note="unknown")
    both("POST", "torrents/removeCategories", {"categories": "films\nnone"})
    both("POST", "torrents/createTags", {"tags": "c,d"})
    both("POST", "torrents/addTags", {**of, "tags": "c"})
    both("POST", "torrents/setTags", {**of, "tags": "c"})
    both("POST", "torrents/removeTags", {**of, "tags": "c"})
    both("POST", "torrents/deleteTags", {"tags": "d"})
    both("GET", "torrents/tags")
    both("POST", "torrents/rename", {"hash": hash, "name": "renamed"})
    both("POST", "torrents/rename", {"hash": hash, "name": ""}, note="empty")
    wrong = {"hash": hash, "oldPath": "no", "newPath": "x"}
    both("POST", "torrents/renameFile", wrong, note="unknown")
    both("POST", "torrents/setLocation", {**of, "location": ""}, note="empty")
    both("POST", "torrents/addTrackers", {"hash": hash, "urls": "http://127.0.0.1:1/b"})
    both("POST", "torrents/addPeers", {**of, "peers": "x"}, note="none")
    both("GET", "transfer/info", keys="transfer")
    for name in ["speedLimitsMode", "downloadLimit", "uploadLimit"]:
        both("GET", f"transfer/{name}")
    both("POST", "transfer/setDownloadLimit", {"limit": "102400"})
    both("POST", "transfer/toggleSpeedLimitsMode")
    both("POST", "transfer/toggleSpeedLimitsMode", note="back")
    both("GET", "sync/maindata", note="session", keys="session", pick=lambda it: it["server_state"])
    whole = {key: it - {"hash"} for key, it in KEYS["info"].items()}
    KEYS["changes"] = whole
    first = lambda it: next(iter(it["torrents"].values()))
    both("GET", "sync/maindata", note="torrents", keys="changes", pick=first)
    both("GET", "sync/torrentPeers", {"hash": hash})
    both("GET", "sync/torrentPeers", {"hash": none}, note="unknown")
    both("GET", "log/main", pick=lambda it: [])
    both("GET", "log/peers")
    both("GET", "rss/items")
    both("GET", "rss/rules")
    both("GET", "search/status")
    both("POST", "torrents/delete", of, note="without deleteFiles")
    both("POST", "torrents/delete", {**of, "deleteFiles": "false"})
    both("POST", "torrents/delete", {"hashes": none, "deleteFiles": "true"}, note="unknown")
    both("POST", "auth/logout")
    both("GET", "app/version", note="logged out")
    unseen = sorted(set(DIFFERENCES) - compare.seen)
    for call, at in unseen:
        print(f"UNSEEN   {call}  {at}")
    failed = len(compare.unknown) + len(unseen)
    print(f"{compare.count - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
