// A server that has the page's files and answers a part of the API with torrents of its own making:
// lists of any length, and changes of any number a second. What the daemon does with cookies, hosts
// and origins is not here: the daemon itself is tested for that.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'

const FILES = fileURLToPath(new URL('../../src/rpc/page/files/', import.meta.url))
const KINDS = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' }
/** As the daemon has it; the test of the daemon compares. */
export const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
  "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

const WORDS = ['archive', 'lecture', 'field recording', 'atlas', 'survey', 'museum scans', 'weather', 'orchestra', 'kernel', 'dictionary']
const STATES = ['seeding', 'seeding', 'seeding', 'downloading', 'paused', 'queued', 'finished', 'checking']
/** Of links they are not known. */
const TRACKERS = [['tracker.example.org'], ['tracker.example.org', 'udp.example.net'], [], ['udp.example.net'], null]
const LABELS = [[], ['linux'], ['music'], ['maps', 'open data']]

/** The torrent of this number, the same at each run. */
export function torrent(id, more = {}) {
  const state = STATES[id % STATES.length]
  const size = 50_000_000 + (id * 7919 * 100_003) % 40_000_000_000
  const progress = ['seeding', 'finished'].includes(state) ? 1 : ((id * 37) % 1000) / 1000
  const isBusy = state === 'downloading'
  return {
    id,
    hash: id.toString(16).padStart(8, '0').repeat(5),
    hash_v2: null,
    metadata: true,
    name: `${WORDS[id % 10]} ${1900 + (id % 125)}, part ${id}`,
    state,
    trouble: null,
    wanted_bytes: size,
    done_bytes: Math.floor(size * progress),
    progress,
    size,
    files: 1 + (id % 30),
    missing_bytes: Math.floor(size * (1 - progress)),
    checked: null,
    down_rate: isBusy ? (id * 104_729) % 4_000_000 : 0,
    up_rate: state === 'seeding' && id % 3 === 0 ? (id * 7_727) % 900_000 : 0,
    left_s: isBusy ? 60 + (id % 5000) : null,
    received_bytes: size,
    sent_bytes: Math.floor(size * 1.5),
    ratio: (id % 300) / 100,
    peers: isBusy ? id % 60 : 0,
    seeds: isBusy ? id % 20 : 0,
    sending: 0,
    receiving: 0,
    limits: { down: null, up: null },
    labels: LABELS[id % 4],
    trackers: TRACKERS[id % 5],
    dir: ['/srv/data', '/srv/media'][id % 2],
    paused: state === 'paused',
    private: false,
    asleep: false,
    place: id.toString(16).padStart(16, '0'),
    added_at: 1_700_000_000 + id,
    completed_at: progress === 1 ? 1_750_000_000 : null,
    active_at: 1_750_000_000,
    active_s: 1000,
    seeding_s: 1000,
    seed_ratio: null,
    seed_time_s: null,
    sequential: false,
    ends_first: false,
    ...more,
  }
}

const session = {
  version: '0.0.0', uptime_s: 5, port: 6881, torrents: 0, downloading: 0, seeding: 0, seeking: 0, in_trouble: 0,
  down_rate: 0, up_rate: 0, limits: { down: 2_000_000, up: null }, alternative_limits: { down: null, up: 512_000 },
  alternative: false, limits_now: { down: 2_000_000, up: null }, active_max: null, dht_nodes: 312, dir: '/srv/data',
  free_bytes: 700e9, trouble: null, lost: [], rows: '1-1', events: '1-1',
}

/** Pieces of which two thirds are here, and some nobody has. */
function pieces(count) {
  const have = Buffer.alloc(Math.ceil(count / 8))
  const copies = Buffer.alloc(count)
  for (let piece = 0; piece < count; piece += 1) {
    if ((piece * 2_654_435_761) % 4_294_967_296 < 2.8e9) have[piece >> 3] |= 128 >> (piece & 7)
    copies[piece] = (piece * 7919) % 23 === 0 ? 0 : 1 + (piece % 5)
  }
  return { pieces: count, piece_length: 262_144, have: have.toString('base64'), copies: copies.toString('base64') }
}

const files = [
  ['disc 1/01 overture.flac', 41_000_000, 1, 'normal'], ['disc 1/02 aria.flac', 52_000_000, 0.7, 'high'],
  ['disc 2/01 finale.flac', 61_000_000, 0.2, 'normal'], ['booklet.pdf', 8_000_000, 0, 'off'],
].map(([path, size, progress, priority], nth) => ({
  number: nth + 1, path: 'orchestra/' + path, size, progress, wanted: priority !== 'off', priority, begin_piece: 0, end_piece: 1,
}))

const why = {
  now: 'transfer', text: 'it downloads as fast as its peers send\n',
  minute: [{ cause: 'transfer', share: 0.72 }, { cause: 'unchoke', share: 0.18 }, { cause: 'pieces', share: 0.1 }],
  life: [{ cause: 'transfer', share: 0.5 }, { cause: 'peers', share: 0.3 }, { cause: 'limit', share: 0.2 }],
}

const peer = (nth, more) => ({
  address: `203.0.113.${nth}:51413`, client: 'Transmission 4.0.6', connected: true, incoming: nth % 2 === 0, encrypted: true,
  progress: nth / 10, down_rate: nth * 90_000, up_rate: nth % 3 * 20_000, received_bytes: 1, sent_bytes: 1, choking: false,
  choked: nth % 3 === 0, interesting: true, interested: true, source: 'tracker', banned: false, error: null, ...more,
})

/**
 * Serves until `close`. `torrents` is the list; `change(rows, removed)` tells of changes; `asked` is
 * what was asked for that changes something.
 */
export async function fake(torrents, { pieces: count = 3132 } = {}) {
  const rows = new Map(torrents.map(it => [it.id, it]))
  const readers = new Set()
  const asked = []
  const gets = []
  const sought = []
  const state = { isOut: false, breaks: 0, isEarly: false, waits: 0, fails: null, ended: 0, silent: null, errands: { feeds: [], watches: [], hooks: [] } }
  let number = 1
  const cursor = () => '1-' + number.toString(16)
  const map = pieces(count)
  const tell = (response, list) => response.write(`id: ${list.cursor}\nevent: list\ndata: ${JSON.stringify(list)}\n\n`)
  const json = (response, value, status = 200) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof value === 'string' ? value : JSON.stringify(value) + '\n')
  }
  let whole = null
  const listed = () => (whole ??= `{"cursor":"${cursor()}","full":true,"torrents":[` +
    [...rows.values()].map(it => JSON.stringify(it)).join(',\n') + '],"removed":[]}\n')

  const answers = {
    session: () => session,
    errands: () => state.errands,
    creations: () => [],
    room: url => {
      const dir = url.searchParams.get('dir')
      const isSilent = dir === state.silent
      return { dir, exists: true, free_bytes: isSilent ? null : 300e9, total_bytes: isSilent ? null : 1000e9 }
    },
    events: () => ({ cursor: '1-1', has_gap: false, events: [] }),
    files: () => files,
    pieces: () => map,
    why: () => why,
    // The rate of the first is another at each time.
    peers: () => [1, 2, 3, 4].map(nth => peer(nth, nth === 1 ? { down_rate: 90_000 + 5000 * gets.length } : {})),
    trackers: () => [{ url: 'http://tracker.example.org/announce', tier: 1, state: 'ok', seeds: 44, leeches: 12, peers: 50, next_in_s: 1400, error: null, warning: null }],
    sources: () => [],
    // Each tenth torrent has these files.
    find: url => {
      const words = url.searchParams.get('words')
      sought.push(words)
      const found = files.filter(file => words.split(' ').every(word => file.path.includes(word)))
      const torrents = found.length === 0 ? [] : [...rows.values()].filter(it => it.id % 10 === 0)
      return {
        torrents: torrents.slice(0, 200).map(({ id, name }) => ({ id, name, named: false, files: found, files_found: found.length })),
        more: torrents.length > 200,
        unread: 0,
      }
    },
    rules: () => ({ rules: [], limits_now: { down: null, up: null }, labels: [], rest: null, facts: {} }),
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://x')
    const path = url.pathname
    if (!path.startsWith('/api/')) {
      const name = path === '/' ? 'index.html' : path.replace(/^\/page\//, '')
      try {
        response.writeHead(200, { 'content-type': KINDS[name.split('.').pop()], 'content-security-policy': POLICY })
        response.end(readFileSync(FILES + name.replaceAll('/', '')))
      } catch {
        response.end()
      }
      return
    }
    if (path === '/api/v1/session' && state.ended > 0) {
      state.ended -= 1
      return json(response, { error: 'the session has ended' }, 503)
    }
    if (state.isOut) return json(response, { error: 'show the token' }, 401)
    const [, , , what, key, part] = path.split('/')
    if (request.method !== 'GET') {
      let body = ''
      request.on('data', data => { body += data })
      request.on('end', () => {
        asked.push({ method: request.method, path: path + url.search, body: body === '' ? null : JSON.parse(body) })
        if (what === 'torrents' && key === undefined) {
          json(response, { id: 9, hash: 'ab'.repeat(20), name: 'added', was_there: false }, 201)
        } else {
          json(response, { id: Number(key) })
        }
      })
      return
    }
    if (what === 'torrents' && key === undefined) {
      if (request.headers.accept !== 'text/event-stream') {
        if (state.breaks === 0) return json(response, listed())
        // Half of it comes, and then the connection breaks.
        state.breaks -= 1
        response.writeHead(200, { 'content-type': 'application/json' })
        response.write(listed().slice(0, listed().length / 2))
        return setTimeout(() => response.destroy(), 200)
      }
      state.isEarly ||= state.breaks > 0
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(':\n\n')
      readers.add(response)
      request.on('close', () => readers.delete(response))
      return
    }
    if (what !== 'torrents') return json(response, answers[what]?.(url) ?? {}, answers[what] ? 200 : 404)
    if (part === undefined) {
      return json(response, { ...rows.get(Number(key)), pieces: count, pieces_done: 2000, wasted_bytes: 16384,
        hash_failures: 0, peers_known: 112, sources: 0, sources_known: 0, peers_max: null, extra_trackers: [],
        checked_bytes: 0, to_check_bytes: 0, moved_bytes: 0, to_move_bytes: 0, search: null })
    }
    gets.push(part)
    if (part === state.fails) return json(response, { error: 'it cannot be read' }, 403)
    setTimeout(() => json(response, answers[part]?.() ?? {}), state.waits)
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    asked,
    /** What was asked of single torrents, as `peers`. */
    gets,
    sought,
    /**
     * What goes wrong: `breaks` lists break off (`isEarly`: somebody
     * listened before that was over), answers of single torrents wait, one `fails`, the session has
     * `ended` so often when it is asked for; the disk of the directory `silent` does not answer;
     * `errands` is what is done by itself.
     */
    state,
    rows,
    readers,
    change(changed, removed = []) {
      number += 1
      whole = null
      for (const it of changed) rows.set(it.id, it)
      for (const id of removed) rows.delete(id)
      for (const reader of readers) tell(reader, { cursor: cursor(), full: false, torrents: changed, removed })
    },
    /** Tells all that there are from now on, as the stream does when too much was missed. */
    replace(all) {
      number += 1
      whole = null
      rows.clear()
      for (const it of all) rows.set(it.id, it)
      for (const reader of readers) tell(reader, { cursor: cursor(), full: true, torrents: all, removed: [] })
    },
    /** Breaks the streams; from then on nobody is signed in, if that is said. */
    cut(isOut = false) {
      state.isOut = isOut
      for (const reader of readers) reader.destroy()
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
