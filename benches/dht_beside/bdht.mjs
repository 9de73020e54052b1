// bittorrent-dht as one that asks, as lt.py. bdht.mjs ADDRESS NODES
import fs from 'fs'
import readline from 'readline'
import DHT from 'bittorrent-dht'
const [own, nodes] = process.argv.slice(2)
const dht = new DHT({ bootstrap: false, host: false })
const done = new Set()
dht.on('peer', (peer, hash) => {
  const h = Buffer.from(hash).toString('hex')
  if (!done.has(h)) { done.add(h); console.log(`peer ${h}`) }
})
dht.on('error', () => {})
dht.listen(7881, own, () => {
  for (const line of fs.readFileSync(nodes, 'utf8').trim().split('\n')) {
    const [host, port] = line.split(' ')
    dht.addNode({ host, port: Number(port) })
  }
  console.log('ready')
})
readline.createInterface({ input: process.stdin }).on('line', line => {
  const [word, hash] = line.split(' ')
  if (word === 'find') dht.lookup(Buffer.from(hash, 'hex'), () => {})
  else if (word === 'announce') dht.announce(Buffer.from(hash, 'hex'), 6881, () => {})
  else if (word === 'stats') console.log('nodes', dht.toJSON().nodes.length)
}).on('close', () => process.exit(0))
