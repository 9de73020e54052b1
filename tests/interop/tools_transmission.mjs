// Uses the daemon through @ctrl/transmission, as programs in JavaScript do: MODULES ADDRESS TOKEN
// HOME. Prints a line for each thing that was done and seen done, and fails at the first that was
// not.
import assert from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, address, token, home] = process.argv.slice(2);
const folder = path.join(modules, 'node_modules/@ctrl/transmission');
const { main, exports } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json')));
const entry = main ?? exports['.']?.default ?? exports['.'] ?? exports;
const { Transmission } = await import(pathToFileURL(path.join(folder, entry)).href);

const done = (what) => console.log('ok', what);
const until = async (what, isSo) => {
  const deadline = Date.now() + 60_000;
  while (!(await isSo())) {
    assert(Date.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  done(what);
};

const client = new Transmission({ baseUrl: `http://${address}/`, username: 'me', password: token });
const one = async (id) => (await client.getTorrent(id));
const session = await client.getSession();
assert.equal(session.arguments['rpc-version'], 17);
done('sign in');
const out = path.join(home, 'out');
const bytes = (name) => fs.readFileSync(path.join(home, `${name}.torrent`));
const film = await client.addTorrent(bytes('film'), { 'download-dir': out });
const id = film.arguments['torrent-added'].hashString;
done('add a file');
await until('it is whole', async () => (await one(id)).isCompleted);
assert.equal((await one(id)).name, 'film');
assert.equal((await one(id)).totalSize, 350_000);
done('its size');
// When nothing is said it says /downloads, which is outside.
assert.match((await client.addTorrent(bytes('extra'))).result, /outside of what may be written to/);
done('a directory outside is refused');
const added = await client.addTorrent(bytes('extra'), { 'download-dir': out, paused: true, labels: ['tv'] });
const extra = { id: added.arguments['torrent-added'].hashString };
done('add paused with a label');
assert.equal((await one(extra.id)).label, 'tv');
assert.equal((await one(extra.id)).state, 'paused');
done('it rests');
const link = await client.addMagnet('magnet:?xt=urn:btih:' + 'ab'.repeat(20) + '&dn=sought', { 'download-dir': out });
done('add a link');
await client.removeTorrent(link.arguments['torrent-added'].hashString, false);
done('remove it');
await client.pauseTorrent(id);
await until('pause', async () => (await one(id)).state === 'paused');
await client.resumeTorrent(id);
await until('resume', async () => (await one(id)).state === 'seeding');
await client.verifyTorrent(id);
await until('verify', async () => (await one(id)).state === 'seeding');
await client.reannounceTorrent(extra.id);
done('reannounce');
await client.setTorrent(extra.id, { downloadLimit: 77, downloadLimited: true });
await client.setTorrent(extra.id, { 'files-unwanted': [0] });
const got = (await client.listTorrents(extra.id, ['downloadLimit', 'wanted', 'labels'])).arguments;
const { downloadLimit, wanted, labels } = got.torrents[0];
assert.deepEqual({ downloadLimit, wanted, labels }, { downloadLimit: 77, wanted: [0, 1], labels: ['tv'] });
done('limits and files');
await client.queueTop(extra.id);
await client.queueDown(extra.id);
await client.queueUp(extra.id);
assert.equal((await one(extra.id)).queuePosition, 0);
done('queue');
await client.queueBottom(extra.id);
await client.moveTorrent(id, path.join(out, 'moved'));
await until('move', () => fs.existsSync(path.join(out, 'moved/film/a.bin')));
await client.renamePath(id, { path: 'film', name: 'cinema' });
await until('rename', async () => (await one(id)).name === 'cinema');
await client.setSession({ 'speed-limit-down': 700, 'speed-limit-down-enabled': true });
assert.equal((await client.getSession()).arguments['speed-limit-down'], 700);
done('preferences');
const free = await client.freeSpace(out);
assert(free.arguments['size-bytes'] > 0);
done('free space');
const all = await client.getAllData();
assert.equal(all.torrents.length, 2);
assert.deepEqual(all.labels.map((it) => it.name), ['tv']);
done('everything');
await client.removeTorrent(id, true);
await until('delete with data', () => !fs.existsSync(path.join(out, 'moved/cinema')));
await client.removeTorrent(extra.id, false);
assert.deepEqual((await client.getAllData()).torrents, []);
done('nothing is left');
