// Seeds or fetches one torrent with webtorrent: MODULES WHAT DIR PORT [WAY]...
//
// MODULES is the folder that npm installed it in, WHAT a .torrent or a magnet link. Others are met
// through trackers and the link alone, but for the ways that are named: pex, lsd, and the DHT as
// dht=IP:PORT, a node of it. With "slow" it downloads 16 KiB a second. Says "complete" when it has
// everything.
import { register } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, what, path, port, ...ways] = process.argv.slice(2)

// WebRTC would need a program that is compiled apart; whoever is met here speaks TCP.
const nothing = 'data:text/javascript,' + encodeURIComponent(
  'export class RTCPeerConnection {}; export class RTCSessionDescription {};' +
  'export class RTCIceCandidate {}; export default {}')
register('data:text/javascript,' + encodeURIComponent(`
  export async function resolve (name, context, next) {
    if (name === 'webrtc-polyfill') return { url: ${JSON.stringify(nothing)}, shortCircuit: true }
    return next(name, context)
  }`))
const entry = join(modules, 'node_modules/webtorrent/index.js')
const { default: WebTorrent } = await import(pathToFileURL(entry))

const bootstrap = ways.filter(way => way.startsWith('dht=')).map(way => way.slice('dht='.length))
const client = new WebTorrent({
  torrentPort: Number(port),
  dht: bootstrap.length > 0 && { bootstrap },
  utp: false,
  natUpnp: false,
  natPmp: false,
  webSeeds: false,
  lsd: ways.includes('lsd'),
  utPex: ways.includes('pex'),
  downloadLimit: ways.includes('slow') ? 16 << 10 : -1
})
client.on('error', error => { console.error(error); process.exit(1) })
const torrent = client.add(what, { path })
for (const event of ['infoHash', 'metadata', 'ready', 'warning', 'noPeers']) {
  torrent.on(event, value => console.log(event, String(value ?? '')))
}
torrent.on('wire', (wire, address) => console.log('wire', address))
torrent.on('done', () => console.log('complete'))
setInterval(() => console.log('progress', torrent.progress, 'peers', torrent.numPeers), 5000)
