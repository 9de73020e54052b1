// The list: only the rows that are seen are in the document, however many there are. What is shown
// is kept in order as it changes, without sorting all of it again.

import { STATES, bytes, clean, el, many, percent, rate, span } from './words.js'

const BESIDE = 6
/** Files are searched from so many letters on, and so many milliseconds after the last key. */
const [LETTERS, STILL] = [3, 300]

/** By what lists are sorted: its name, and how a row compares. */
const SORTS = {
  place: ['Queue', row => row.place],
  name: ['Name', row => row.key],
  state: ['State', row => row.state],
  size: ['Size', row => row.size],
  progress: ['Done', row => row.progress],
  down: ['Down', row => row.down],
  up: ['Up', row => row.up],
  left: ['Left', row => row.left],
  peers: ['Peers', row => row.peers],
  ratio: ['Ratio', row => row.ratio],
  added: ['Added', row => row.added],
}

/** Columns: what they are sorted by, and what stands in them. */
const COLUMNS = [
  ['name', row => clean(row.name)],
  ['state', row => (row.trouble ? 'Trouble' : (STATES[row.state] ?? row.state))],
  ['progress', row => percent(row.progress)],
  ['size', row => (row.size > 0 ? bytes(row.size) : '')],
  ['down', row => rate(row.down)],
  ['up', row => rate(row.up)],
  ['left', row => (Number.isFinite(row.left) ? span(row.left) : '')],
  ['peers', row => (row.peers > 0 ? String(row.peers) : '')],
  ['ratio', row => row.ratio.toFixed(2)],
]

/** Larger values first, where a column is sorted for the first time. */
const FALLING = new Set(['size', 'progress', 'down', 'up', 'peers', 'ratio', 'added'])

export class List {
  chosen = new Set()
  #shown = []
  #slots = []
  #sort = 'place'
  #falling = false
  #filter = { words: [], state: '', label: '', dir: '', tracker: '', found: new Set(), isMore: false }
  /** Numbers of those that have files of these words, as far as the daemon has said. */
  #found = new Set()
  #isMore = false
  #sought = null
  /** The row that keys move from, and the one that a range begins at. */
  #current = null
  #anchor = null
  #moved = new Map()
  #due = false

  constructor({ grid, head, body, search, byState, byLabel, byDir, byTracker, sort, count, store, open, acts, seek }) {
    Object.assign(this, { grid, head, body, search, byState, byLabel, byDir, byTracker, count, store })
    Object.assign(this, { open, acts, seek, sortBox: sort })
    this.space = el('div', { class: 'space' })
    body.append(this.space)
    this.#makeHead()
    this.narrow = matchMedia('(max-width: 760px)')
    this.narrow.addEventListener('change', () => this.#forgetSlots())
    grid.addEventListener('scroll', () => this.draw(), { passive: true })
    new ResizeObserver(() => this.draw()).observe(grid)
    grid.addEventListener('keydown', event => this.#key(event))
    body.addEventListener('click', event => this.#click(event))
    body.addEventListener('dblclick', event => this.#slotOf(event) && this.open(this.#current))
    let late
    search.addEventListener('input', () => {
      cancelAnimationFrame(late)
      late = requestAnimationFrame(() => this.refilter())
      this.#seekSoon()
    })
    for (const box of [byState, byLabel, byDir, byTracker]) box.addEventListener('change', () => this.refilter())
    for (const [name, [word]] of Object.entries(SORTS)) {
      sort.append(el('option', { value: name }, 'By ' + word.toLowerCase()))
    }
    sort.addEventListener('change', () => this.#sortBy(sort.value, FALLING.has(sort.value)))
  }

  // --- what is shown, and in which order

  #matches(row) {
    const { words, state, label, dir, tracker, found } = this.#filter
    if (state === '!' ? !row.isInTrouble : state !== '' && row.state !== state) return false
    if (label !== '' && !row.labels.includes(label)) return false
    if (dir !== '' && row.dir !== dir) return false
    if (tracker !== '' && !row.trackers.includes(tracker)) return false
    return found.has(row.id) || words.every(word => row.key.includes(word) || (word.length > 7 && row.hash?.startsWith(word)))
  }

  #compare = (one, two) => {
    const of = SORTS[this.#sort][1]
    const [a, b] = [of(one), of(two)]
    const order = a < b ? -1 : a > b ? 1 : one.id - two.id
    return this.#falling ? -order : order
  }

  /** A row is about to change. */
  before(row) {
    if (!this.#moved.has(row)) this.#moved.set(row, [this.#matches(row), SORTS[this.#sort][1](row)])
  }

  /** These are new or have changed, and those are gone. */
  after(rows, removed) {
    const of = SORTS[this.#sort][1]
    const [out, come] = [new Set(), []]
    for (const row of removed) {
      if (this.#moved.get(row)?.[0]) out.add(row)
      this.chosen.delete(row)
      if (this.#current === row) this.#current = null
      if (this.#anchor === row) this.#anchor = null
    }
    for (const row of rows) {
      const was = this.#moved.get(row)
      const is = this.#matches(row)
      if (was?.[0] && is && was[1] === of(row)) continue
      if (was?.[0]) out.add(row)
      if (is) come.push(row)
    }
    this.#moved.clear()
    if (out.size > 0) this.#shown = this.#shown.filter(row => !out.has(row))
    if (come.length > 0) this.#merge(come.sort(this.#compare))
    if (removed.length > 0) this.acts()
    this.draw()
  }

  #merge(come) {
    const shown = this.#shown
    if (shown.length === 0 || this.#compare(shown[shown.length - 1], come[0]) < 0) {
      for (const row of come) shown.push(row)
      return
    }
    const all = new Array(shown.length + come.length)
    let [old, fresh] = [0, 0]
    for (let at = 0; at < all.length; at += 1) {
      const isOld =
        fresh === come.length || (old < shown.length && this.#compare(shown[old], come[fresh]) < 0)
      all[at] = isOld ? shown[old++] : come[fresh++]
    }
    this.#shown = all
  }

  // Files are not here: the daemon looks at them, once nobody types any more.
  #seekSoon() {
    clearTimeout(this.seekLate)
    this.#sought?.abort()
    this.#found = new Set()
    this.#isMore = false
    const words = this.search.value.trim()
    if (words.length < LETTERS) return
    this.seekLate = setTimeout(async () => {
      const { signal } = (this.#sought = new AbortController())
      try {
        const { torrents, more } = await this.seek(words, signal)
        if (signal.aborted) return
        this.#found = new Set(torrents.filter(it => it.files_found > 0).map(it => it.id))
        this.#isMore = more
        this.refilter(this.grid.scrollTop)
      } catch { /* Names are searched all the same. */ }
    }, STILL)
  }

  refilter(scrollTop = 0) {
    this.#filter = {
      words: this.search.value.toLowerCase().split(/\s+/).filter(word => word !== ''),
      state: this.byState.value,
      label: this.byLabel.value,
      dir: this.byDir.value,
      tracker: this.byTracker.value,
      found: this.#found,
      isMore: this.#isMore,
    }
    this.#shown = [...this.store.rows.values()].filter(row => this.#matches(row)).sort(this.#compare)
    // What is not seen is not meant.
    const seen = new Set(this.#shown)
    for (const row of this.chosen) if (!seen.has(row)) this.chosen.delete(row)
    if (!seen.has(this.#current)) this.#current = null
    if (!seen.has(this.#anchor)) this.#anchor = null
    this.grid.scrollTop = scrollTop
    this.acts()
    this.draw()
  }

  #sortBy(name, falling) {
    this.#sort = name
    this.#falling = falling
    this.sortBox.value = name
    this.#shown.sort(this.#compare)
    for (const cell of this.head.querySelectorAll('[role=columnheader]')) {
      const isIt = cell.dataset.sort === name
      cell.setAttribute('aria-sort', isIt ? (falling ? 'descending' : 'ascending') : 'none')
    }
    this.draw()
  }

  // --- how it is drawn

  #makeHead() {
    const cells = COLUMNS.map(([name]) => {
      const turn = () => {
        this.#sortBy(name, this.#sort === name ? !this.#falling : FALLING.has(name))
      }
      const button = el('button', { on: { click: turn } }, SORTS[name][0])
      return el('div', { class: 'c-' + name, role: 'columnheader', 'aria-sort': 'none', 'data-sort': name }, button)
    })
    this.head.append(el('div', { class: 'row', role: 'row', 'aria-rowindex': '1' }, ...cells))
  }

  #makeSlot() {
    const cells = COLUMNS.map(([name]) => {
      const text = document.createTextNode('')
      const inside = name === 'name' ? el('bdi', {}, text) : text
      const cell = el('div', { class: 'c-' + name, role: 'gridcell' }, inside)
      return { cell, text }
    })
    const bar = el('i')
    cells[2].cell.prepend(el('span', { class: 'bar', 'aria-hidden': 'true' }, bar))
    const row = el('div', { class: 'row', role: 'row' }, ...cells.map(it => it.cell))
    this.space.append(row)
    return { row, cells, bar, of: null, id: null }
  }

  #forgetSlots() {
    this.#slots = []
    this.space.replaceChildren()
    this.draw()
  }

  /** Draws before the next frame, once however often it is asked. */
  draw() {
    if (this.#due) return
    this.#due = true
    requestAnimationFrame(() => {
      this.#due = false
      this.#drawNow()
    })
  }

  get height() {
    return this.narrow.matches ? 64 : 34
  }

  /** How high the part is that rows are seen in: the head stays above them. */
  get room() {
    return this.grid.clientHeight - this.head.offsetHeight
  }

  #drawNow() {
    const { height, grid } = this
    const count = this.#shown.length
    const spaceHeight = Math.max(count * height, 1) + 'px'
    if (this.space.style.height !== spaceHeight) this.space.style.height = spaceHeight
    const first = Math.max(Math.floor(grid.scrollTop / height) - BESIDE, 0)
    const last = Math.min(Math.ceil((grid.scrollTop + this.room) / height) + BESIDE, count)
    const seen = Math.max(last - first, 0)
    while (this.#slots.length < seen) this.#slots.push(this.#makeSlot())
    for (let nth = 0; nth < this.#slots.length; nth += 1) {
      // The same row keeps its place in the document while the list is scrolled.
      const at = first + ((nth - (first % this.#slots.length)) + this.#slots.length) % this.#slots.length
      this.#fill(this.#slots[nth], at < last ? at : -1, height)
    }
    const rows = String(count + 1)
    if (this.grid.getAttribute('aria-rowcount') !== rows) this.grid.setAttribute('aria-rowcount', rows)
    const active = this.#current === null ? null : 'row-' + this.#current.id
    if (active !== null && document.getElementById(active)) {
      this.grid.setAttribute('aria-activedescendant', active)
    } else {
      this.grid.removeAttribute('aria-activedescendant')
    }
    const words = count === this.store.rows.size
      ? many(count, 'torrent')
      : `${count.toLocaleString('en')} of ${many(this.store.rows.size, 'torrent')}${this.#filter.isMore ? ', and more' : ''}`
    if (this.count.textContent !== words) this.count.textContent = words
  }

  #fill(slot, at, height) {
    const { row: node } = slot
    if (at < 0) {
      if (slot.of !== null) {
        node.hidden = true
        // Another one may have that row now.
        node.removeAttribute('id')
      }
      slot.of = null
      return
    }
    const row = this.#shown[at]
    if (slot.of === null) node.hidden = false
    if (slot.of !== row) node.id = 'row-' + row.id
    slot.of = row
    if (slot.at !== at || slot.height !== height) {
      node.style.transform = `translateY(${at * height}px)`
      node.setAttribute('aria-rowindex', at + 2)
      slot.at = at
      slot.height = height
    }
    for (let nth = 0; nth < COLUMNS.length; nth += 1) {
      const words = COLUMNS[nth][1](row)
      const { text } = slot.cells[nth]
      if (text.data !== words) text.data = words
    }
    if (slot.share !== row.progress) {
      slot.bar.style.transform = `scaleX(${row.progress})`
      slot.share = row.progress
    }
    const look = 'row s-' + (row.trouble ? 'failed' : row.state) + (row === this.#current ? ' current' : '')
    if (node.className !== look) node.className = look
    const chosen = String(this.chosen.has(row))
    if (node.getAttribute('aria-selected') !== chosen) node.setAttribute('aria-selected', chosen)
  }

  // --- who is meant

  #slotOf(event) {
    const node = event.target.closest('.row')
    return this.#slots.find(slot => slot.row === node && slot.of !== null)
  }

  #click(event) {
    const slot = this.#slotOf(event)
    if (!slot) return
    const row = slot.of
    if (event.shiftKey) this.#range(row)
    else if (event.ctrlKey || event.metaKey) this.#toggle(row)
    else {
      this.#only(row)
      if (this.narrow.matches) this.open(row)
    }
    this.#current = row
    this.acts()
    this.draw()
  }

  #only(row) {
    this.chosen.clear()
    this.chosen.add(row)
    this.#anchor = row
  }

  #toggle(row) {
    if (!this.chosen.delete(row)) this.chosen.add(row)
    this.#anchor = row
  }

  #range(row) {
    const [from, to] = [this.#shown.indexOf(this.#anchor ?? row), this.#shown.indexOf(row)]
    this.chosen.clear()
    const [first, last] = [Math.min(from, to), Math.max(from, to)]
    for (const it of this.#shown.slice(Math.max(first, 0), last + 1)) this.chosen.add(it)
    this.#anchor ??= row
  }

  #go(at, event) {
    if (this.#shown.length === 0) return
    const row = this.#shown[Math.min(Math.max(at, 0), this.#shown.length - 1)]
    if (event.shiftKey) {
      this.#anchor ??= this.#current ?? row
      this.#range(row)
    } else if (!event.ctrlKey) {
      this.#only(row)
    }
    this.#current = row
    this.#reveal(row)
    this.acts()
  }

  #reveal(row) {
    const { grid, height, room } = this
    const top = this.#shown.indexOf(row) * height
    if (top < grid.scrollTop) grid.scrollTop = top
    else if (top + height > grid.scrollTop + room) grid.scrollTop = top + height - room
    this.draw()
  }

  /** Everything that is shown is meant. */
  chooseAll() {
    for (const row of this.#shown) this.chosen.add(row)
    this.acts()
    this.draw()
  }

  #key(event) {
    // Buttons of the head have keys of their own.
    if (event.target !== this.grid || event.altKey) return
    const at = this.#current === null ? -1 : this.#shown.indexOf(this.#current)
    const page = Math.max(Math.floor(this.room / this.height) - 1, 1)
    const keys = {
      ArrowDown: () => this.#go(at + 1, event),
      ArrowUp: () => this.#go(Math.max(at - 1, 0), event),
      PageDown: () => this.#go(at + page, event),
      PageUp: () => this.#go(at - page, event),
      Home: () => this.#go(0, event),
      End: () => this.#go(this.#shown.length - 1, event),
      ' ': () => {
        if (this.#current) this.#toggle(this.#current)
        this.acts()
        this.draw()
      },
      Enter: () => this.#current && this.open(this.#current),
      Escape: () => {
        this.chosen.clear()
        this.acts()
        this.draw()
      },
      '/': () => this.search.focus(),
    }
    const withCtrl = event.ctrlKey || event.metaKey
    if (withCtrl && !event.shiftKey && event.key.toLowerCase() === 'a') this.chooseAll()
    else if (keys[event.key]) keys[event.key]()
    else if (withCtrl || !this.letter(event.key)) return
    event.preventDefault()
  }
}
