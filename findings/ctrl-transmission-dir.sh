#!/usr/bin/env bash
# @ctrl/transmission 7.4.0 (npm) names a directory of its own choice with every torrent that it adds
# while its caller names none: `download-dir` is `/downloads`, the path of a container image. A server
# then puts the files there instead of where its own settings say, or refuses them where there is no
# such directory. transmission-rpc 7.0.12 (PyPI) leaves the argument out for the same call, and the
# specification says of an absent one that the session's directory is meant.
# Passes while this is so.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts @ctrl/transmission@7.4.0
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install transmission-rpc==7.0.12
cat >"$folder/server.py" <<'PY'
# Notes the arguments of each torrent-add, and takes everything.
import http.server, json, sys

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = asked["method"]
        if method == "torrent-add":
            given = asked["arguments"]
            print(sorted(name for name in given if name != "metainfo"), given.get("download-dir"), flush=True)
        told = {
            "session-get": {"rpc-version": 17, "rpc-version-minimum": 14, "version": "4.0.6", "rpc-version-semver": "5.3.0"},
            "torrent-add": {"torrent-added": {"id": 1, "name": "x", "hashString": "a" * 40}},
        }.get(method, {})
        answer = json.dumps({"result": "success", "arguments": told, "tag": asked.get("tag")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
open(sys.argv[1], "w").write(str(server.server_port))
server.serve_forever()
PY
python3 "$folder/server.py" "$folder/port" >"$folder/heard" &
server=$!
trap 'kill $server; rm -rf "$folder"' EXIT
until [ -s "$folder/port" ]; do sleep 0.1; done
port="$(cat "$folder/port")"
printf 'd4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:xxxxxxxxxxxxxxxxxxxxee' >"$folder/x.torrent"
cat >"$folder/add.mjs" <<'JS'
import { readFileSync } from 'node:fs';
import { Transmission } from '@ctrl/transmission';
const [, , port, file] = process.argv;
await new Transmission({ baseUrl: `http://127.0.0.1:${port}/` }).addTorrent(readFileSync(file));
JS
(cd "$folder" && node add.mjs "$port" x.torrent)
"$folder/venv/bin/python" - "$port" "$folder/x.torrent" <<'PY'
import sys, transmission_rpc
client = transmission_rpc.Client(host="127.0.0.1", port=int(sys.argv[1]))
client.add_torrent(open(sys.argv[2], "rb"))
PY
cat "$folder/heard"
[ "$(sed -n 1p "$folder/heard" | awk '{ print $NF }')" = /downloads ]
[ "$(sed -n 2p "$folder/heard" | awk '{ print $NF }')" = None ]
