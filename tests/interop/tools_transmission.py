"""Uses the daemon through transmission-rpc, as programs in Python do: ADDRESS TOKEN HOME. Prints a
line for each thing that was done and seen done, and fails at the first that was not."""
import http.server
import pathlib
import sys
import threading
import time

from transmission_rpc import Client
from transmission_rpc.error import TransmissionAuthError, TransmissionError

address, token, home = sys.argv[1:]
host, port = address.rsplit(":", 1)
home = pathlib.Path(home)
LIMIT = 60


def done(what):
    print("ok", what, flush=True)


def until(what, is_so):
    deadline = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"never: {what}")
        time.sleep(0.05)
    done(what)


def is_so(what, left, right):
    if left != right:
        sys.exit(f"{what}: {left!r} is not {right!r}")
    done(what)


try:
    Client(host=host, port=int(port), username="me", password="wrong")
    sys.exit("a wrong password is taken")
except TransmissionAuthError:
    done("a wrong password is refused")
client = Client(host=host, port=int(port), username="me", password=token)
done("sign in")
is_so("version", client.rpc_version, 17)
is_so("nothing yet", client.get_torrents(), [])

film = client.add_torrent((home / "film.torrent").read_bytes(), labels=["tv", "x"])
done("add a file with labels")
until("it is whole", lambda: client.get_torrent(film.id).percent_done == 1)
it = client.get_torrent(film.id)
is_so("labels", it.labels, ["tv", "x"])
is_so("status", it.status.value, "seeding")
is_so("size", it.total_size, 350_000)
is_so("left", it.left_until_done, 0)
is_so("ratio mode", it.seed_ratio_mode.value, 0)
is_so("files", [(file.name, file.size, file.completed) for file in it.get_files()],
      [("film/a.bin", 300_000, 300_000), ("film/b.bin", 50_000, 50_000)])
extra = client.add_torrent((home / "extra.torrent").read_bytes(), paused=True)
done("add paused")
until("it rests", lambda: client.get_torrent(extra.id).status.value == "stopped")
client.add_torrent((home / "extra.torrent").read_bytes(), labels=["no"])
is_so("a duplicate changes nothing", client.get_torrent(extra.id).labels, [])
link = client.add_torrent("magnet:?xt=urn:btih:" + "ab" * 20 + "&dn=sought")
done("add a link")
is_so("it is sought", client.get_torrent(link.id).metadata_percent_complete, 0)
is_so("by hash", client.get_torrent("ab" * 20).name, "sought")
client.remove_torrent(link.id)
until("the link is gone", lambda: len(client.get_torrents()) == 2)


class Served(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (home / "film.torrent").read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served)
threading.Thread(target=server.serve_forever, daemon=True).start()
client.remove_torrent(film.id)
film = client.add_torrent(f"http://127.0.0.1:{server.server_port}/film.torrent")
is_so("add by URL", film.name, "film")
try:
    client.add_torrent("file:///etc/passwd")
    sys.exit("a path of the machine is taken")
except (TransmissionError, ValueError, FileNotFoundError):
    done("a path of the machine is refused")
try:
    client.add_torrent((home / "film.torrent").read_bytes(), download_dir="/etc")
except TransmissionError as error:
    assert "outside" in str(error), error
    done("a directory outside is refused")

until("whole again", lambda: client.get_torrent(film.id).percent_done == 1)
client.stop_torrent(film.id)
until("stop", lambda: client.get_torrent(film.id).status.value == "stopped")
client.start_torrent(film.id)
until("start", lambda: client.get_torrent(film.id).status.value == "seeding")
client.start_torrent([film.id, extra.id], bypass_queue=True)
until("start now", lambda: client.get_torrent(extra.id).status.value == "downloading")
client.verify_torrent(film.id)
done("verify")
until("verified", lambda: client.get_torrent(film.id).status.value == "seeding")
client.reannounce_torrent(extra.id)
done("reannounce")
client.change_torrent(extra.id, download_limit=77, download_limited=True, upload_limit=50,
                      upload_limited=True, labels=["a", "b"], seed_ratio_limit=1.5,
                      seed_ratio_mode=1, peer_limit=20)
it = client.get_torrent(extra.id)
is_so("limits", (it.download_limit, it.upload_limit), (77, 50))
is_so("labels are set", it.labels, ["a", "b"])
is_so("goal", (it.seed_ratio_limit, it.seed_ratio_mode.value), (1.5, 1))
client.change_torrent(extra.id, files_unwanted=[0], priority_high=[1])
until("selected", lambda: [(f.selected, f.priority.value) for f in client.get_torrent(extra.id).get_files()]
      == [(False, 0), (True, 1)])
until("its size", lambda: client.get_torrent(extra.id).size_when_done == 50_000)
trackers = client.get_torrent(extra.id).trackers
is_so("trackers", [tracker.announce for tracker in trackers], ["http://127.0.0.1:1024/announce"])
until("they are asked", lambda: client.get_torrent(extra.id).tracker_stats[0].last_announce_result != "")
client.change_torrent(extra.id, tracker_add=["http://127.0.0.1:1025/announce"])
named = lambda: [tracker.announce for tracker in client.get_torrent(extra.id).trackers]
is_so("one more", len(named()), 2)
client.change_torrent(extra.id, tracker_remove=[0])
is_so("one less", named(), ["http://127.0.0.1:1025/announce"])
client.change_torrent(extra.id, tracker_list=[["http://127.0.0.1:1024/announce"]])
is_so("others", named(), ["http://127.0.0.1:1024/announce"])
client.queue_top(extra.id)
is_so("to the top", client.get_torrent(extra.id).queue_position, 0)
client.queue_down(extra.id)
is_so("down", client.get_torrent(extra.id).queue_position, 1)
client.queue_up(extra.id)
client.queue_bottom(extra.id)
is_so("to the bottom", client.get_torrent(extra.id).queue_position, 1)
to = home / "out" / "moved"
client.move_torrent_data(film.id, str(to))
until("move", lambda: client.get_torrent(film.id).download_dir == str(to) and (to / "film/a.bin").exists())
is_so("rename", client.rename_torrent_path(film.id, "film", "cinema"), ("film", "cinema"))
until("its name", lambda: client.get_torrent(film.id).name == "cinema")
is_so("on disk", (to / "cinema/a.bin").exists(), True)

session = client.get_session()
is_so("directory", session.download_dir, str(home / "out"))
client.set_session(speed_limit_down=700, speed_limit_down_enabled=True, download_queue_size=3)
session = client.get_session()
is_so("preferences", (session.speed_limit_down, session.speed_limit_down_enabled,
                      session.download_queue_size), (700, True, 3))
stats = client.session_stats()
is_so("statistics", (stats.torrent_count, stats.current_stats.session_count), (2, 1))
free = client.free_space(str(home / "out"))
is_so("free space", free is not None and free > 0, True)
changed, removed = client.get_recently_active_torrents()
is_so("lately", {it.id for it in changed} >= {film.id, extra.id}, True)
is_so("gone lately", link.id in removed, True)
client.remove_torrent(film.id, delete_data=True)
until("delete with data", lambda: not (to / "cinema").exists())
client.remove_torrent(extra.id)
is_so("nothing is left", client.get_torrents(), [])
