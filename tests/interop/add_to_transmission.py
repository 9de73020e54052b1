"""Gives a .torrent or a magnet link to the transmission-daemon of this machine, once that answers."""
import json
import sys
import time
import urllib.error
import urllib.request

URL = "http://127.0.0.1:9091/transmission/rpc"
body = json.dumps({"method": "torrent-add", "arguments": {"filename": sys.argv[1]}}).encode()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
headers = {}
while True:
    try:
        answer = opener.open(urllib.request.Request(URL, body, headers), timeout=5).read()
        break
    except urllib.error.HTTPError as error:
        # 409 tells the word that has to come with every request.
        if error.code != 409:
            raise
        headers["X-Transmission-Session-Id"] = error.headers["X-Transmission-Session-Id"]
    except OSError:
        time.sleep(0.1)
print(answer.decode(), flush=True)
if json.loads(answer)["result"] != "success":
    sys.exit(1)
