// One torrent closely: what it waits for, its rates, its pieces, files, peers, trackers, servers,
// log and rules. What is open is asked for again when the stream says that the torrent has changed.

import { ask, get } from './ask.js'
import { PieceMap, Rates, key } from './plot.js'
import { Tree } from './tree.js'
import { CAUSES, STATES, bytes, clean, el, many, moment, named, percent, rate, span } from './words.js'

/** It is asked for no more often, in milliseconds. */
const PACE = 2000
/** Nor its pieces, which may be two million. */
const PIECES_PACE = 10_000

const table = (heads, rows, label) => el('div', { class: 'wide', tabIndex: 0, role: 'region', 'aria-label': label },
  el('table', {},
    el('thead', {}, el('tr', {}, ...heads.map(it => el('th', { scope: 'col' }, it)))),
    el('tbody', {}, ...rows.map(row => el('tr', {}, ...row.map(it => el('td', { class: it?.length > 30 ? 'long' : '' }, it ?? '')))))))

const facts = pairs => el('dl', { class: 'facts' }, ...pairs.filter(it => it).flatMap(([name, value]) =>
  [el('dt', {}, name), el('dd', {}, value ?? '')]))

/** Shares of time, as a bar and in words. */
function times(title, shares) {
  if (shares.length === 0) return null
  const bar = el('div', { class: 'causes', 'aria-hidden': 'true' })
  const list = el('ul', { class: 'legend' })
  for (const { cause, share } of shares) {
    if (share < 0.005) continue
    const part = el('i', { class: 'q-' + cause })
    part.style.flexGrow = share
    bar.append(part)
    list.append(el('li', {}, el('i', { class: 'q-' + cause }), `${Math.round(share * 100)} % ${CAUSES[cause] ?? cause}`))
  }
  return el('div', {}, el('h4', {}, title), bar, list)
}

function happened(it) {
  switch (it.event) {
    case 'added': return 'added'
    case 'removed': return 'removed'
    case 'state': return `${STATES[it.from] ?? it.from} → ${STATES[it.to] ?? it.to}`
    case 'completed': return 'complete'
    case 'trouble': return 'trouble: ' + clean(it.why)
    case 'recovered': return 'nothing is wrong any more'
    case 'moved': return 'moved to ' + clean(it.dir)
    case 'renamed': return 'renamed to ' + clean(it.name)
    case 'metadata': return 'its metadata has come: ' + clean(it.name)
    default: return it.event
  }
}

function flags(peer) {
  const all = [
    [peer.down_rate > 0, 'D', 'sends to us'],
    [peer.connected && peer.interesting && peer.choking, 'd', 'has what we lack and lets us have nothing'],
    [peer.up_rate > 0, 'U', 'receives from us'],
    [peer.connected && peer.interested && peer.choked, 'u', 'wants something and gets nothing'],
    [peer.incoming, 'I', 'connected to us'],
    [peer.encrypted, 'E', 'encrypted'],
    [peer.banned, 'B', 'banned for wrong data'],
  ].filter(([is]) => is)
  const words = all.map(([, , it]) => it).join(', ')
  return el('span', { title: words }, el('span', { 'aria-hidden': 'true' }, all.map(([, it]) => it).join(' ')),
    el('span', { class: 'unseen' }, words))
}

/** The tabs: what each is called, what it asks for, and what it makes of the answer. */
const TABS = {
  overview: ['Overview', null],
  files: ['Files', null],
  peers: ['Peers', async (one, signal) => {
    const peers = await get(`/torrents/${one.row.id}/peers`, signal)
    if (peers.length === 0) return el('p', {}, 'Nobody is connected.')
    return table(['Address', 'Client', 'Has', 'Down', 'Up', 'Flags', 'From'], peers.map(peer => [
      peer.address, named(peer.client), percent(peer.progress), rate(peer.down_rate), rate(peer.up_rate), flags(peer), peer.source,
    ]), 'Peers')
  }],
  trackers: ['Trackers', async (one, signal) => {
    const [trackers, sources] = await Promise.all([
      get(`/torrents/${one.row.id}/trackers`, signal), get(`/torrents/${one.row.id}/sources`, signal),
    ])
    const parts = []
    parts.push(trackers.length === 0 ? el('p', {}, 'It has no trackers.')
      : table(['Tier', 'URL', 'State', 'Seeds', 'Leeches', 'Again in', 'Last words'], trackers.map(it => [
        String(it.tier), named(it.url), clean(it.state), it.seeds?.toString(), it.leeches?.toString(),
        it.next_in_s == null ? '' : span(it.next_in_s), named(it.error ?? it.warning ?? ''),
      ]), 'Trackers'))
    if (sources.length > 0) {
      parts.push(el('h3', {}, 'Servers of its files'), table(['URL', 'Connections', 'Down', 'Received'],
        sources.map(it => [named(it.url), String(it.connections), rate(it.down_rate), bytes(it.received_bytes)]), 'Servers'))
    }
    return el('div', {}, ...parts)
  }],
  log: ['Log', async (one, signal) => {
    const { cursor } = await get('/events', signal)
    const boot = cursor.split('-')[0]
    const own = []
    let since = boot + '-0'
    // Each answer has a thousand at most.
    for (let turn = 0; turn < 50 && since !== cursor; turn += 1) {
      const told = await get('/events?since=' + since, signal)
      own.push(...told.events.filter(it => it.id === one.row.id))
      if (told.cursor === since || told.events.length === 0) break
      since = told.cursor
    }
    if (own.length === 0) return el('p', {}, 'Nothing has happened since the daemon began.')
    return table(['When', 'What'], own.reverse().slice(0, 200).map(it => [moment(it.at), happened(it)]), 'Log')
  }],
  rules: ['Rules', async (one, signal) => {
    const said = await get(`/torrents/${one.row.id}/rules`, signal)
    if (said.rules.length === 0) return el('p', {}, 'The configuration has no rules.')
    return table(['Rule', 'Fate', 'Because', 'Says'], said.rules.map(it => [
      named(it.name), it.fate, clean(it.because.join('; ')), clean(it.says.join('; ')),
    ]), 'Rules')
  }],
}

export class One {
  row = null
  #tab = 'overview'
  #late = null
  #asked = null
  #isOld = false
  #piecesAt = -Infinity
  #piecesLate = null
  #span = 'short'

  /** In `node`; `closed` is called when who was in there is to go elsewhere; it may cover `behind`. */
  constructor(node, store, closed, behind) {
    Object.assign(this, { node, store, closed, behind })
    this.narrow = matchMedia('(max-width: 760px)')
    this.narrow.addEventListener('change', () => this.#cover())
    document.addEventListener('visibilitychange', () => this.row !== null && this.#isOld && this.#renew())
    node.addEventListener('keydown', event => event.key === 'Escape' && this.close())
    new ResizeObserver(() => this.#draw()).observe(node)
    for (const query of ['(prefers-color-scheme: dark)', '(resolution: 1dppx)']) {
      matchMedia(query).addEventListener('change', () => this.#draw())
    }
  }

  open(row) {
    const was = this.row
    this.row = row
    this.store.histories.open = row.id
    this.node.hidden = false
    this.#cover()
    if (was !== row) this.#build()
    this.node.querySelector('h2').focus()
  }

  close() {
    const wasInside = this.node.contains(document.activeElement)
    this.#rest()
    this.row = this.store.histories.open = null
    this.node.hidden = true
    this.node.replaceChildren()
    this.#cover()
    // Who types elsewhere goes on with that.
    if (wasInside) this.closed()
  }

  /** Nothing is asked any more. */
  #rest() {
    this.#asked?.abort()
    clearTimeout(this.#late)
    clearTimeout(this.#piecesLate)
    this.#asked = this.#late = this.#piecesLate = null
  }

  // What it covers is not to be reached by keys either.
  #cover() {
    for (const node of this.behind) node.inert = this.row !== null && this.narrow.matches
  }

  /** These have changed, and those are gone. */
  after(rows, removed) {
    if (this.row === null) return
    if (removed.includes(this.row)) return this.close()
    if (!rows.includes(this.row)) return
    this.#head()
    this.#again()
  }

  // Once in a while, however often it changes.
  #again() {
    if (this.#late !== null) return
    this.#late = setTimeout(() => {
      this.#late = null
      this.#renew()
    }, PACE)
  }

  // Not while nobody looks, and not before the answer is there that is waited for: one that takes
  // longer than the pace would never be seen.
  #renew() {
    if (document.hidden || this.#asked !== null) this.#isOld = true
    else this.#ask()
  }

  #build() {
    this.tree = this.map = this.plot = null
    const close = el('button', { 'aria-label': 'Close', on: { click: () => this.close() } }, '✕')
    this.title = el('h2', { tabIndex: -1 })
    this.line = el('p', { class: 'hint' })
    this.tabs = el('div', { role: 'tablist', 'aria-label': 'About it' })
    this.panel = el('div', { role: 'tabpanel', id: 'panel', tabIndex: 0, class: 'panel' })
    for (const [name, [word]] of Object.entries(TABS)) {
      const tab = el('button', { role: 'tab', id: 'tab-' + name, 'aria-controls': 'panel' }, word)
      tab.addEventListener('click', () => this.#show(name))
      this.tabs.append(tab)
    }
    this.tabs.addEventListener('keydown', event => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (!by) return
      const names = Object.keys(TABS)
      this.#show(names[(names.indexOf(this.#tab) + by + names.length) % names.length])
      document.getElementById('tab-' + this.#tab).focus()
      event.preventDefault()
    })
    this.node.replaceChildren(el('div', { class: 'one-head' }, this.title, close), this.line, this.tabs, this.panel)
    this.#head()
    this.#show(this.#tab)
  }

  #head() {
    const { row } = this
    this.title.replaceChildren(named(row.name))
    const words = [STATES[row.state] ?? row.state, percent(row.progress), row.size > 0 ? bytes(row.size) : null,
      row.down > 0 ? 'down ' + rate(row.down) : null, row.up > 0 ? 'up ' + rate(row.up) : null]
    this.line.textContent = words.filter(it => it).join(' · ')
  }

  #show(name) {
    this.#rest()
    this.#tab = name
    this.#piecesAt = -Infinity
    for (const tab of this.tabs.children) {
      const isIt = tab.id === 'tab-' + name
      tab.setAttribute('aria-selected', isIt)
      tab.tabIndex = isIt ? 0 : -1
    }
    this.panel.setAttribute('aria-labelledby', 'tab-' + name)
    this.tree = this.map = this.plot = null
    this.panel.replaceChildren(el('p', { class: 'hint' }, 'Asking…'))
    this.#ask()
  }

  async #ask() {
    const asked = (this.#asked = new AbortController())
    this.#isOld = false
    try {
      const made = this.#tab === 'overview' ? await this.#overview(asked.signal)
        : this.#tab === 'files' ? await this.#files(asked.signal)
          : await TABS[this.#tab][1](this, asked.signal)
      if (asked.signal.aborted) return
      if (made) this.#put(made)
    } catch (error) {
      if (asked.signal.aborted) return
      // They are not in the document any more.
      this.tree = this.map = this.plot = null
      this.panel.replaceChildren(el('p', { class: 'error' }, clean(error.message)))
    }
    this.#asked = null
    if (this.#isOld) this.#again()
  }

  /** Shows what was made. Of the same tables only lines change: keys, a chosen text and scrolling stay. */
  #put(made) {
    const tables = node => (node.matches('.wide') ? [node] : [...node.querySelectorAll('.wide')])
    const label = node => node.getAttribute('aria-label')
    const [was] = this.panel.children
    const [old, fresh] = [was ? tables(was) : [], tables(made)]
    const isSame = fresh.length > 0 && old.length === fresh.length && old.every((it, nth) => label(it) === label(fresh[nth]))
    if (!isSame) {
      const scrolled = this.panel.scrollTop
      this.panel.replaceChildren(made)
      this.panel.scrollTop = scrolled
      return
    }
    for (const [nth, it] of old.entries()) {
      const [lines, others] = [it, fresh[nth]].map(node => node.querySelector('tbody'))
      const [before, after] = [[...lines.rows], [...others.rows]]
      after.forEach((line, at) => {
        if (at >= before.length) lines.append(line)
        else if (!before[at].isEqualNode(line)) before[at].replaceWith(line)
      })
      before.slice(after.length).forEach(line => line.remove())
    }
  }

  async #files(signal) {
    const { id } = this.row
    const files = await get(`/torrents/${id}/files`, signal)
    if (signal.aborted) return null
    if (this.tree?.renew(files)) return null
    const set = async patch => {
      try {
        await ask('PATCH', `/torrents/${id}/files`, patch)
      } catch (refused) {
        this.panel.prepend(el('p', { class: 'error', role: 'alert' }, clean(refused.message)))
      }
    }
    this.tree = new Tree(files, {
      choose: (numbers, wanted) => set(wanted ? { want: numbers } : { skip: numbers }),
      rate: (number, priority) => set({ [priority === 'off' ? 'skip' : priority]: [number] }),
    })
    return this.tree.node
  }

  async #overview(signal) {
    const { id } = this.row
    const rest = this.map ? this.#piecesAt + PIECES_PACE - Date.now() : 0
    if (rest > 0) {
      this.#piecesLate ??= setTimeout(() => {
        this.#piecesLate = null
        this.#renew()
      }, rest)
    }
    const [why, pieces, about] = await Promise.all([
      get(`/torrents/${id}/why`, signal),
      rest > 0 ? null : get(`/torrents/${id}/pieces`, signal).catch(error => {
        if (error.name === 'AbortError') throw error
        return null
      }),
      get(`/torrents/${id}`, signal),
    ])
    if (signal.aborted) return null
    if (rest <= 0) this.#piecesAt = Date.now()
    const parts = { why: this.#why(why), facts: this.#facts(about) }
    if (this.plot && (!pieces || this.map)) {
      // Pictures stay where they are, so that nothing flickers.
      for (const [name, node] of Object.entries(parts)) {
        const was = this.panel.querySelector('.part-' + name)
        if (was && !was.isEqualNode(node)) was.replaceWith(node)
      }
      if (pieces && this.map) this.#takePieces(pieces)
      this.#drawRates()
      return null
    }
    const made = el('div', { class: 'overview' }, parts.why, this.#rates(), this.#pieces(pieces), parts.facts)
    // Sizes are known when it stands in the document.
    this.panel.replaceChildren(made)
    if (pieces) this.#takePieces(pieces)
    this.#drawRates()
    return null
  }

  #why(why) {
    return el('section', { class: 'part-why' }, el('h3', {}, 'Why'), el('p', { class: 'said' }, clean2(why.text)),
      times('The last minute', why.minute), times('Since it began', why.life))
  }

  #rates() {
    this.plot = new Rates({
      of: () => ({ history: this.store.histories.of(this.row.id), down: this.row.down, up: this.row.up }),
      span: this.#span,
      chosen: span => { this.#span = span },
    })
    return el('section', {}, el('h3', {}, 'Rates'), ...this.plot.parts)
  }

  #pieces(pieces) {
    if (!pieces) return null
    const canvas = el('canvas', { role: 'img', class: 'map' })
    this.map = new PieceMap(canvas)
    this.mapSaid = el('p', { class: 'hint' })
    canvas.addEventListener('pointermove', event => {
      this.mapSaid.textContent = this.map.at(event.offsetX, event.offsetY) || this.map.words
    })
    canvas.addEventListener('pointerleave', () => { this.mapSaid.textContent = this.map.words })
    const legend = el('span', { class: 'legend' }, key('here', 'here'),
      key('lacks', 'missing'), key('rare', 'no connected peer has it'))
    return el('section', {}, el('h3', {}, 'Pieces'), legend, canvas, this.mapSaid)
  }

  #takePieces(pieces) {
    this.map.take(pieces)
    this.map.words = this.map.said()
    this.map.canvas.setAttribute('aria-label', this.map.words)
    this.mapSaid.textContent = this.map.words
  }

  #facts(it) {
    return el('section', { class: 'part-facts' }, el('h3', {}, 'Facts'), facts([
      ['Hash', el('code', {}, it.hash ?? it.hash_v2 ?? '')],
      ['Directory', named(it.dir)],
      ['Labels', named(it.labels.join(', '))],
      it.trouble ? ['Trouble', named(it.trouble)] : null,
      ['Size', `${bytes(it.done_bytes)} of ${bytes(it.wanted_bytes)}`],
      ['Pieces', `${it.pieces_done} of ${it.pieces}, ${many(it.hash_failures, 'failure')}`],
      ['Received', `${bytes(it.received_bytes)}, ${bytes(it.wasted_bytes)} in vain`],
      ['Sent', `${bytes(it.sent_bytes)}, ratio ${it.ratio.toFixed(2)}`],
      ['Peers', `${it.peers} connected, ${it.seeds} of them seeds, ${it.peers_known} known`],
      ['Limits', `down ${it.limits.down == null ? 'none' : rate(it.limits.down)}, up ${it.limits.up == null ? 'none' : rate(it.limits.up)}`],
      ['Added', moment(it.added_at)],
      it.completed_at == null ? null : ['Complete', moment(it.completed_at)],
      ['Private', it.private ? 'yes' : 'no'],
    ]))
  }

  #draw() {
    this.#drawRates()
    if (this.row !== null) this.map?.draw()
  }

  #drawRates() {
    if (this.row !== null) this.plot?.draw()
  }
}

/** As [`clean`], with its lines left as they are. */
const clean2 = text => text.trim().split('\n').map(clean).join('\n')
