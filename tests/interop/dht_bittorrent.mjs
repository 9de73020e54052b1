// Nodes of the DHT by bittorrent-dht: MODULES ROLE ADDRESS:PORT... of ADDRESS:PORT... [-- HASH]
//
// `net` keeps a node at each address and says "ready" when each knows others; `find` says each peer
// of the hash and ends at the first.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, role, ...words] = process.argv.slice(2)
const [front, hash] = words.join(' ').split(' -- ')
const [own, others] = front.split(' of ').map(list => list.split(' '))
const entry = join(modules, 'node_modules/bittorrent-dht/index.js')
const { Client } = await import(pathToFileURL(entry))

function node (address) {
  const [ip, port] = address.split(':')
  const dht = new Client({ bootstrap: others, host: ip })
  dht.on('error', error => { console.error(error); process.exit(1) })
  dht.on('warning', warning => console.log('warning', warning.message))
  return new Promise(resolve => {
    dht.on('ready', () => resolve(dht))
    dht.listen(Number(port), ip)
  })
}

const nodes = await Promise.all(own.map(node))
if (role === 'net') {
  console.log('ready')
} else {
  const [dht] = nodes
  dht.on('peer', (peer, infoHash) => {
    if (infoHash.toString('hex') !== hash) return
    console.log(`peer ${peer.host}:${peer.port}`)
    process.exit(0)
  })
  // A lookup that was too early ends with nothing.
  const ask = () => dht.lookup(hash, () => setTimeout(ask, 1000))
  ask()
}
