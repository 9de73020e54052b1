"""qbittorrent-api against a server that speaks qBittorrent's WebAPI: what its users do, one after
the other. Each action is looked at by what the server tells afterwards.

    tools_qbittorrent.py ADDRESS TOKEN HOME

Downloads go to `out` in HOME. Prints a line for each action, and `N passed, N failed` at the end."""

import hashlib
import http.server
import pathlib
import sys
import threading
import time

import qbittorrentapi

LIMIT_S = 30


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, str):
        return bencode(value.encode())
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"


def content(name, size):
    block = hashlib.sha256(name.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def torrent(name, files=None, size=100_000, length=16384):
    """A torrent of one file, or of a folder; its bytes, its hash, and its files with theirs."""
    names = [[name, *path.split("/")] for path in files] if files else [[name]]
    data = [("/".join(path), content("/".join(path), size)) for path in names]
    whole = b"".join(bytes for _, bytes in data)
    pieces = b"".join(
        hashlib.sha1(whole[at : at + length]).digest() for at in range(0, len(whole), length)
    )
    info = {"name": name, "piece length": length, "pieces": pieces}
    if files:
        info["files"] = [{"length": size, "path": path[1:]} for path in names]
    else:
        info["length"] = size
    bytes = bencode({"announce": "http://127.0.0.1:1/announce", "info": info})
    return bytes, hashlib.sha1(bencode(info)).hexdigest(), data


class Trial:
    """Actions in their order."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def __call__(self, name, action):
        try:
            action()
        except Exception as error:  # whatever it is, the action did not do what it should
            self.failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
        else:
            self.passed += 1
            print(f"ok {name}", flush=True)


def until(what, is_so):
    deadline = time.monotonic() + LIMIT_S
    while True:
        seen = is_so()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def same(left, right):
    assert left == right, f"{left!r} is not {right!r}"


def refused(error, action):
    try:
        action()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


def main():
    address, password, home = sys.argv[1:]
    url, user, downloads = f"http://{address}", "anybody", pathlib.Path(home).resolve() / "out"
    client = qbittorrentapi.Client(url, username=user, password=password)
    trial = Trial()
    one, one_hash, one_data = torrent("one.bin")
    show, show_hash, _ = torrent("show", ["a.bin", "sub/b.bin"])
    third, third_hash, _ = torrent("third.bin")
    link_hash = "ab" * 20
    downloads.mkdir(parents=True, exist_ok=True)
    for path, bytes in one_data:
        (downloads / path).write_bytes(bytes)

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(third)))
            self.end_headers()
            self.wfile.write(third)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    third_url = f"http://127.0.0.1:{web.server_address[1]}/third.torrent"

    def info(hash):
        found = client.torrents_info(torrent_hashes=hash)
        return found[0] if found else None

    def is_state(hash, *states):
        return until(f"{states}", lambda: (it := info(hash)) and it.state in states and it)

    wrong = qbittorrentapi.Client(url, username=user, password="wrong")
    trial("a wrong password", lambda: refused(qbittorrentapi.LoginFailed, wrong.auth_log_in))
    trial("log in", client.auth_log_in)
    trial("version", lambda: same(client.app.version[0], "v"))
    trial("version of the API", lambda: client.app.web_api_version.split(".")[1])
    trial("build", lambda: client.app.build_info["bitness"])
    trial("default folder", lambda: same(pathlib.Path(client.app.default_save_path), downloads))

    def preferences():
        client.app.preferences = {"max_connec": 77, "dl_limit": 0, "web_ui_custom_http_headers": ""}
        same(client.app.preferences["max_connec"], 77)
        assert isinstance(client.app.preferences["queueing_enabled"], bool)

    trial("preferences", preferences)

    def add_file():
        same(client.torrents_create_category("tv", save_path=""), None)
        said = client.torrents_add(
            torrent_files=show, is_paused=True, is_stopped=True, category="tv", tags=["x", "y"]
        )
        same(said, "Ok.")
        it = is_state(show_hash, "stoppedDL", "pausedDL")
        same((it.category, sorted(it.tags.split(", "))), ("tv", ["x", "y"]))
        same(pathlib.Path(it.content_path), downloads / "show")

    trial("add a file that rests, with category and tags", add_file)
    trial("add it again", lambda: same(client.torrents_add(torrent_files=show), "Fails."))

    def add_bad():
        error = qbittorrentapi.UnsupportedMediaType415Error
        refused(error, lambda: client.torrents_add(torrent_files=b"d3:fooe"))

    trial("add what is no torrent", add_bad)

    def add_link():
        link = f"magnet:?xt=urn:btih:{link_hash}&dn=link&tr=http://127.0.0.1:1/announce"
        same(client.torrents_add(urls=link), "Ok.")
        it = is_state(link_hash, "metaDL", "checkingResumeData")
        same((it.name, it.size), ("link", 0))

    trial("add a magnet link", add_link)

    def add_url():
        same(client.torrents_add(urls=third_url, is_paused=True, is_stopped=True), "Ok.")
        until("it is here", lambda: info(third_hash))

    trial("add a URL", add_url)

    def add_seed():
        same(client.torrents_add(torrent_files=one), "Ok.")
        it = is_state(one_hash, "stalledUP", "uploading", "queuedUP")
        same((it.progress, it.amount_left), (1, 0))
        assert it.completion_on > 0

    trial("add what is here already", add_seed)
    trial("list", lambda: same(len(client.torrents_info()), 4))
    trial("count", lambda: same(client.torrents_count(), 4))
    trial("list by category", lambda: same([t.hash for t in client.torrents_info(category="tv")], [show_hash]))
    trial("list by tag", lambda: same([t.hash for t in client.torrents_info(tag="x")], [show_hash]))
    trial("list seeds", lambda: same([t.hash for t in client.torrents_info(status_filter="completed")], [one_hash]))

    def ordered():
        names = [t.name for t in client.torrents_info(sort="name", reverse=True, limit=2)]
        same(names, ["third.bin", "show"])

    trial("list in order", ordered)

    def properties():
        it = client.torrents_properties(show_hash)
        same((it.piece_size, it.pieces_num, it.total_size), (16384, 13, 200_000))

    trial("properties", properties)
    trial("of what is not there", lambda: refused(qbittorrentapi.NotFound404Error, lambda: client.torrents_properties("0" * 40)))
    trial("trackers", lambda: same(client.torrents_trackers(show_hash)[3].url, "http://127.0.0.1:1/announce"))

    def others():
        named = lambda: [it.url for it in client.torrents_trackers(show_hash)[3:]]
        first, second, third = (f"http://127.0.0.1:{port}/announce" for port in (1, 2, 3))
        client.torrents_add_trackers(show_hash, urls=[second])
        same(named(), [first, second])
        client.torrents_edit_tracker(show_hash, original_url=second, new_url=third)
        client.torrents_remove_trackers(show_hash, urls=[first])
        same(named(), [third])
        client.torrents_edit_tracker(show_hash, original_url=third, new_url=first)
        same(named(), [first])

    trial("other trackers", others)
    trial("servers", lambda: same(len(client.torrents_webseeds(show_hash)), 0))
    trial("files", lambda: same([f.name for f in client.torrents_files(show_hash)], ["show/a.bin", "show/sub/b.bin"]))
    trial("pieces", lambda: same(set(client.torrents_piece_states(one_hash)), {2}))
    trial("hashes", lambda: same(len(client.torrents_piece_hashes(one_hash)), 7))
    trial("export", lambda: same(client.torrents_export(one_hash)[:1], b"d"))

    def select():
        client.torrents_file_priority(show_hash, file_ids=1, priority=0)
        until("it is so", lambda: client.torrents_files(show_hash)[1].priority == 0)
        client.torrents_file_priority(show_hash, file_ids=[0, 1], priority=6)
        until("it is so", lambda: client.torrents_files(show_hash)[1].priority == 6)

    trial("select files", select)

    def start():
        client.torrents_start(show_hash)
        is_state(show_hash, "stalledDL", "downloading", "queuedDL")

    trial("start", start)

    def stop():
        client.torrents_stop(show_hash)
        is_state(show_hash, "stoppedDL", "pausedDL")

    trial("stop", stop)

    def force():
        client.torrents_set_force_start(enable=True, torrent_hashes=show_hash)
        is_state(show_hash, "forcedDL", "stalledDL", "downloading")
        client.torrents_stop(show_hash)
        is_state(show_hash, "stoppedDL", "pausedDL")

    trial("start by force", force)

    def limits():
        client.torrents_set_download_limit(limit=51200, torrent_hashes=show_hash)
        client.torrents_set_upload_limit(limit=10240, torrent_hashes=show_hash)
        same(client.torrents_download_limit(show_hash)[show_hash], 51200)
        until("it is told", lambda: info(show_hash).up_limit == 10240)
        same(client.torrents_properties(one_hash).dl_limit, -1)

    trial("limits", limits)

    def shares():
        client.torrents_set_share_limits(
            ratio_limit=2.5, seeding_time_limit=90, inactive_seeding_time_limit=-2,
            torrent_hashes=show_hash,
        )
        it = until("it is told", lambda: (it := info(show_hash)).ratio_limit == 2.5 and it)
        same((it.seeding_time_limit, it.max_ratio), (90, 2.5))

    trial("share limits", shares)

    def queue():
        client.torrents_bottom_priority(show_hash)
        client.torrents_top_priority(third_hash)
        until("it is the first", lambda: info(third_hash).priority == 1)
        client.torrents_increase_priority(show_hash)
        client.torrents_decrease_priority(show_hash)

    trial("queue", queue)

    def toggles():
        client.torrents_toggle_sequential_download(show_hash)
        client.torrents_toggle_first_last_piece_priority(show_hash)
        until("both are so", lambda: (it := info(show_hash)).seq_dl and it.f_l_piece_prio)

    trial("in order, ends first", toggles)
    trial("super seeding", lambda: client.torrents_set_super_seeding(enable=False, torrent_hashes=one_hash))
    trial("moves by category", lambda: client.torrents_set_auto_management(enable=False, torrent_hashes=one_hash))
    trial("recheck", lambda: (client.torrents_recheck(one_hash), is_state(one_hash, "stalledUP", "uploading", "queuedUP")))
    trial("reannounce", lambda: client.torrents_reannounce(one_hash))

    def categories():
        client.torrents_create_category("films", save_path=str(downloads / "films"))
        client.torrents_edit_category("films", save_path=str(downloads / "movies"))
        same(client.torrents_categories()["films"].savePath, str(downloads / "movies"))
        client.torrents_set_category("films", torrent_hashes=show_hash)
        until("it is told", lambda: info(show_hash).category == "films")
        refused(qbittorrentapi.Conflict409Error, lambda: client.torrents_set_category("none", torrent_hashes=show_hash))
        client.torrents_remove_categories(["films", "tv"])
        until("it has none", lambda: info(show_hash).category == "")
        same(dict(client.torrents_categories()), {})

    trial("categories", categories)

    def tags():
        client.torrents_create_tags(["z"])
        client.torrents_add_tags(["z", "w"], torrent_hashes=show_hash)
        until("they are told", lambda: info(show_hash).tags == "w, x, y, z")
        client.torrents_remove_tags(["w"], torrent_hashes=show_hash)
        client.torrents_delete_tags(["x", "y"])
        until("they are gone", lambda: info(show_hash).tags == "z")
        same(sorted(client.torrents_tags()), ["w", "z"])

    trial("tags", tags)

    def rename():
        client.torrents_rename(show_hash, new_torrent_name="My show")
        until("it is told", lambda: info(show_hash).name == "My show")
        client.torrents_rename_file(show_hash, old_path="show/a.bin", new_path="show/c.bin")
        until("it is told", lambda: client.torrents_files(show_hash)[0].name == "show/c.bin")
        client.torrents_rename_folder(show_hash, old_path="show", new_path="series")
        until("it is told", lambda: client.torrents_files(show_hash)[1].name == "series/sub/b.bin")
        refused(qbittorrentapi.Conflict409Error, lambda: client.torrents_rename_file(show_hash, old_path="show/no", new_path="show/x"))

    trial("rename", rename)

    def move():
        client.torrents_set_location(location=str(downloads / "below"), torrent_hashes=one_hash)
        moved = downloads / "below" / "one.bin"
        until("it is told", lambda: pathlib.Path(info(one_hash).content_path) == moved)
        until("it is there", lambda: moved.exists() and info(one_hash).state == "stalledUP")

    trial("move", move)
    trial("add a peer", lambda: same(client.torrents_add_peers(peers="127.0.0.1:1", torrent_hashes=one_hash)[one_hash], {"added": 1, "failed": 0}))
    trial("peers", lambda: same(client.sync_torrent_peers(one_hash).full_update, True))

    def changes():
        full = client.sync_maindata()
        same((full.full_update, sorted(full.torrents)), (True, sorted([one_hash, show_hash, third_hash, link_hash])))
        client.torrents_set_download_limit(limit=4096, torrent_hashes=third_hash)
        rid, told = full.rid, {}

        def is_told():
            nonlocal rid
            news = client.sync_maindata(rid=rid)
            rid = news.rid
            assert not news.get("full_update"), news
            told.update(news.get("torrents", {}).get(third_hash, {}))
            return told.get("dl_limit") == 4096

        until("it is told", is_told)
        assert "name" not in told, told

    trial("changes", changes)

    def transfer():
        info = client.transfer_info()
        assert isinstance(info.dl_info_speed, int) and info.connection_status, info
        client.transfer_set_download_limit(102400)
        same(client.transfer_download_limit(), 102400)
        client.transfer_set_speed_limits_mode(intended_state=True)
        same(client.transfer_speed_limits_mode(), "1")
        client.transfer_set_speed_limits_mode(intended_state=False)
        client.transfer_set_download_limit(0)
        same(client.transfer_download_limit(), 0)

    trial("all transfers", transfer)
    trial("log", lambda: list(client.log_main()))
    trial("feeds", lambda: same(dict(client.rss_items()), {}))
    trial("search", lambda: list(client.search_plugins()))
    trial("give up a link", lambda: (client.torrents_delete(torrent_hashes=link_hash), until("it is gone", lambda: not info(link_hash))))

    def delete():
        client.torrents_delete(delete_files=False, torrent_hashes=third_hash)
        until("it is gone", lambda: not info(third_hash))
        path = downloads / "below" / "one.bin"
        assert path.exists()
        client.torrents_delete(delete_files=True, torrent_hashes=one_hash)
        until("it is gone", lambda: not info(one_hash))
        until("its files are, too", lambda: not path.exists())

    trial("delete, with files too", delete)
    trial("delete all", lambda: (client.torrents_delete(torrent_hashes="all"), until("none", lambda: not client.torrents_info())))
    trial("log out", client.auth_log_out)
    print(f"{trial.passed} passed, {trial.failed} failed")
    sys.exit(1 if trial.failed else 0)


main()
