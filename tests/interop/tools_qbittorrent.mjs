// @ctrl/qbittorrent against a server that speaks qBittorrent's WebAPI.
//
//     node tools_qbittorrent.mjs MODULES ADDRESS TOKEN HOME
//
// Prints a line for each action, and `N passed, N failed` at the end.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { setTimeout } from "node:timers/promises";
import assert from "node:assert/strict";

const [modules, address, token, home] = process.argv.slice(2);
const module = pathToFileURL(`${modules}/node_modules/@ctrl/qbittorrent/dist/src/index.js`);
const { QBittorrent } = await import(module);
const client = new QBittorrent({ baseUrl: `http://${address}`, username: "anybody", password: token });
const LIMIT_MS = 30_000;
let passed = 0;
let failed = 0;

async function trial(name, action) {
  try {
    await action();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
  }
}

async function until(isSo) {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const seen = await isSo();
    if (seen) return seen;
    assert(Date.now() < deadline, `never: ${isSo}`);
    await setTimeout(50);
  }
}

const torrent = new Uint8Array(readFileSync(`${home}/extra.torrent`));
let hash;
const one = async () => (await client.listTorrents({ hashes: hash }))[0];

await trial("log in", async () => assert.equal(await client.login(), true));
await trial("version", async () => assert.match(await client.getAppVersion(), /^v/));
await trial("version of the API", async () => assert.match(await client.getApiVersion(), /^2\./));
await trial("build", async () => assert((await client.getBuildInfo()).bitness));
await trial("preferences", async () => {
  await client.setPreferences({ max_connec: 66 });
  assert.equal((await client.getPreferences()).max_connec, 66);
});
await trial("add a file", async () => {
  assert(await client.addTorrent(torrent, { paused: "true", stopped: "true", category: "tv" }));
  const [it] = await until(async () => {
    const list = await client.listTorrents({ category: "tv" });
    return list.length > 0 && list;
  });
  hash = it.hash;
});
await trial("all data", async () => {
  const all = await client.getAllData();
  assert.equal(all.torrents.length, 1);
  assert.equal(all.torrents[0].label, "tv");
  assert(all.torrents[0].dateAdded.startsWith("20"), all.torrents[0].dateAdded);
});
await trial("one", async () => assert.equal((await client.getTorrent(hash)).id, hash));
await trial("rests", () => until(async () => (await client.getTorrent(hash)).state === "paused"));
await trial("properties", async () => assert((await client.torrentProperties(hash)).piece_size > 0));
await trial("trackers", async () => assert((await client.torrentTrackers(hash)).length >= 3));
await trial("servers", async () => assert.deepEqual(await client.torrentWebSeeds(hash), []));
await trial("files", async () => assert((await client.torrentFiles(hash)).length > 0));
await trial("pieces", async () => assert((await client.torrentPieceStates(hash)).length > 0));
await trial("hashes", async () => assert((await client.torrentPieceHashes(hash)).length > 0));
await trial("limits", async () => {
  await client.setTorrentDownloadLimit(hash, 2048);
  await until(async () => (await one()).dl_limit === 2048);
});
await trial("peers", async () => assert((await client.torrentPeers(hash)).full_update));
await trial("changes", async () => assert((await client.getSyncMainData()).full_update));
await trial("a link", async () => {
  assert(await client.addMagnet(`magnet:?xt=urn:btih:${"cd".repeat(20)}&dn=link`));
  await until(async () => (await client.listTorrents({ hashes: "cd".repeat(20) })).length === 1);
  await client.removeTorrent("cd".repeat(20), true);
  await until(async () => (await client.listTorrents()).length === 1);
});
await trial("select", () => client.setFilePriority(hash, "0", 7));
await trial("start", () => client.startTorrent(hash));
await trial("goes", () => until(async () => (await one()).state.endsWith("lledDL")));
await trial("stop", () => client.stopTorrent(hash));
await trial("rests again", () => until(async () => (await one()).state === "stoppedDL"));
await trial("recheck", () => client.recheckTorrent(hash));
await trial("reannounce", () => client.reannounceTorrent(hash));
await trial("rename", async () => {
  await client.setTorrentName(hash, "renamed");
  await until(async () => (await one()).name === "renamed");
});
await trial("category", async () => {
  await client.createCategory("films", "");
  await client.setTorrentCategory(hash, "films");
  await until(async () => (await one()).category === "films");
  assert((await client.getCategories()).films);
  await client.removeCategory("films");
  await until(async () => (await one()).category === "");
});
await trial("tags", async () => {
  await client.createTags("a,b");
  await client.addTorrentTags(hash, "a,b");
  await until(async () => (await one()).tags === "a, b");
  await client.removeTorrentTags(hash, "a");
  assert.deepEqual(await client.getTags(), ["a", "b"]);
  await client.deleteTags("a");
  await until(async () => (await one()).tags === "b");
});
await trial("queue", async () => {
  await client.topPriority(hash);
  await client.bottomPriority(hash);
  await client.queueUp(hash);
  await client.queueDown(hash);
});
await trial("by the way of all clients", async () => {
  const normal = await client.getTorrent(hash);
  assert.equal(typeof normal.totalSize, "number");
  await client.removeTorrent(hash, false);
  await until(async () => (await client.listTorrents()).length === 0);
});
await trial("log out", () => client.logout());
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
