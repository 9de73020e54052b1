// All torrents, as lists show them: asked for once, and from then on told by the event stream. It
// counts while it goes along, so that no total costs a pass over all.

import { raw } from './ask.js'
import { Histories, seconds } from './history.js'

/** A torrent; what the list shows of it, and no more: there may be a hundred thousand. */
export class Row {
  constructor(it) {
    this.id = it.id
    this.low = null
    this.take(it)
  }

  take(it) {
    if (this.name !== it.name) this.low = null
    this.name = it.name
    this.hash = it.hash ?? it.hash_v2
    this.state = it.state
    this.trouble = it.trouble
    this.size = it.metadata ? it.wanted_bytes : 0
    this.done = it.done_bytes
    this.progress = it.checked ?? it.progress
    this.down = it.down_rate
    this.up = it.up_rate
    this.left = it.left_s ?? Infinity
    this.ratio = it.ratio
    this.peers = it.peers
    this.seeds = it.seeds
    this.labels = it.labels.length > 0 ? it.labels : NONE
    this.dir = it.dir
    this.trackers = shared(it.trackers)
    this.place = it.place
    this.added = it.added_at
    this.paused = it.paused
    this.limitDown = it.limits.down
    this.limitUp = it.limits.up
  }

  /** Is that this torrent? Numbers are of one daemon, and a link may get to know its other hash. */
  is(it) {
    return [it.hash, it.hash_v2].includes(this.hash)
  }

  /** Its name, to be searched and sorted by. */
  get key() {
    return (this.low ??= this.name.toLowerCase())
  }

  get isInTrouble() {
    return Boolean(this.trouble) || IN_TROUBLE.includes(this.state)
  }
}

const NONE = Object.freeze([])
/** Lists of hosts, each once: most torrents have those of others. */
const lists = new Map()
function shared(hosts) {
  if (hosts == null || hosts.length === 0) return NONE
  const key = hosts.join(' ')
  if (!lists.has(key)) lists.set(key, hosts)
  return lists.get(key)
}
const IN_TROUBLE = ['disk_trouble', 'failed']
/** What a list ends with. */
const END = '],"removed":[]}'
/** Before what has failed is tried again, in milliseconds. */
const PAUSE = 2000

/** Rests, unless it is given up meanwhile. */
const pause = signal => new Promise(resolve => {
  const late = setTimeout(resolve, PAUSE)
  signal.addEventListener('abort', () => {
    clearTimeout(late)
    resolve()
  }, { once: true })
})

/** How many of each there are. */
class Counts extends Map {
  step(key, by) {
    const count = (this.get(key) ?? 0) + by
    if (count > 0) this.set(key, count)
    else this.delete(key)
  }
}

/**
 * All rows. `before(row)` is told of each that changes, before it does; `after(rows, removed)` of
 * all that did.
 */
export class Store {
  rows = new Map()
  states = new Counts()
  labels = new Counts()
  dirs = new Counts()
  trackers = new Counts()
  down = 0
  up = 0
  troubles = 0
  histories = new Histories()
  /** Are all of them here, as far as is known? */
  isWhole = false
  #cursor = null
  /** Rows whose numbers others have now; they are told with the next change. */
  #gone = []
  #stream = null
  #loading = null

  constructor({ before, after, told }) {
    Object.assign(this, { before, after, told })
  }

  #count(row, by) {
    this.states.step(row.state, by)
    this.dirs.step(row.dir, by)
    for (const label of row.labels) this.labels.step(label, by)
    for (const host of row.trackers) this.trackers.step(host, by)
    this.down += by * row.down
    this.up += by * row.up
    if (row.isInTrouble) this.troubles += by
  }

  #take(it) {
    let row = this.rows.get(it.id)
    if (row !== undefined && !row.is(it)) {
      this.#gone.push(this.#drop(row))
      row = undefined
    }
    if (row === undefined) {
      row = new Row(it)
      this.rows.set(row.id, row)
    } else {
      this.before(row)
      this.#count(row, -1)
      if (row.state !== it.state) this.told(row, it)
      row.take(it)
    }
    this.#count(row, 1)
    this.histories.note(row)
    return row
  }

  #drop(row) {
    this.before(row)
    this.#count(row, -1)
    this.rows.delete(row.id)
    this.histories.forget(row.id)
    return row
  }

  /** All but those of these numbers are gone. */
  #dropOthers(seen) {
    return [...this.rows.values()].filter(row => !seen.has(row.id)).map(row => this.#drop(row))
  }

  /** These rows are new or have changed, and those are gone. */
  #tell(rows, removed) {
    if (this.isWhole) this.histories.all.note(seconds(), this.down, this.up)
    this.after(rows, [...this.#gone.splice(0), ...removed])
  }

  /**
   * Asks for everything, again and again until all of it has come, and listens from then on. When
   * nobody is signed in, it gives up: the door has been told.
   */
  async start(isLate = false) {
    this.stop()
    const { signal } = (this.#loading = new AbortController())
    for (let mayAsk = !isLate; ; mayAsk = false) {
      if (!mayAsk) await pause(signal)
      if (signal.aborted) return
      try {
        const answer = await raw('GET', 'api/v1/torrents', undefined, signal)
        this.isWhole = false
        const seen = new Set()
        const cursor = await this.#read(answer.body.getReader(), seen)
        if (signal.aborted) return
        // Before all have come, its cursor would be a promise that nothing is missing.
        this.#cursor = cursor
        this.isWhole = true
        this.#tell([], this.#dropOthers(seen))
        return this.#listen()
      } catch (error) {
        if (signal.aborted || error.status === 401) return
        this.lost?.(true)
      }
    }
  }

  /** Neither asks nor listens. */
  stop() {
    this.#loading?.abort()
    this.#stream?.close()
    this.#stream = null
  }

  // Each torrent is on a line of its own, so that the first ones are seen while others come. The
  // cursor of all of them; their numbers go into `seen`. Those that are here stay, with whatever is
  // open or chosen of them.
  async #read(reader, seen) {
    const decoder = new TextDecoder()
    let [rest, cursor, isEnded] = ['', null, false]
    const take = line => {
      const found = /^{"cursor":"([0-9a-f-]+)"/.exec(line)
      if (found) {
        cursor = found[1]
        line = line.slice(line.indexOf('"torrents":[') + 12)
      }
      isEnded = line.endsWith(END)
      line = line.slice(0, line.length - (isEnded ? END.length : line.endsWith(',') ? 1 : 0))
      if (line === '') return []
      const row = this.#take(JSON.parse(line))
      seen.add(row.id)
      return [row]
    }
    for (;;) {
      const { value, done } = await reader.read()
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true })
      const rows = []
      let begin = 0
      for (let end; (end = rest.indexOf('\n', begin)) >= 0; begin = end + 1) {
        rows.push(...take(rest.slice(begin, end)))
      }
      rest = rest.slice(begin)
      if (rows.length > 0) this.#tell(rows, [])
      if (!done) continue
      if (cursor === null || !isEnded) throw new Error('the list breaks off')
      return cursor
    }
  }

  #listen() {
    const stream = new EventSource('api/v1/torrents?since=' + this.#cursor)
    this.#stream = stream
    stream.addEventListener('list', event => this.#hear(JSON.parse(event.data)))
    stream.addEventListener('error', () => {
      if (this.#stream !== stream) return
      this.lost?.(stream.readyState !== EventSource.OPEN)
      // A connection that breaks is made again by the browser; one that is refused is not.
      if (stream.readyState === EventSource.CLOSED) this.start(true)
    })
    stream.addEventListener('open', () => this.lost?.(false))
  }

  #hear(list) {
    this.#cursor = list.cursor
    const rows = list.torrents.map(it => this.#take(it))
    const removed = list.full
      ? this.#dropOthers(new Set(rows.map(row => row.id)))
      : list.removed.flatMap(id => (this.rows.has(id) ? [this.#drop(this.rows.get(id))] : []))
    this.#tell(rows, removed)
  }
}
