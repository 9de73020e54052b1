// Torrents that are made of what lies on the daemon's machine: what is asked for them, how far they
// are, and where they are fetched.

import { ask, get } from './ask.js'
import { field, listOf, open, tick } from './dialogs.js'
import { bytes, clean, el, named, percent } from './words.js'

/** While something is being made it is asked how far that is, so often in milliseconds. */
const PACE = 500
/** Lengths of pieces that can be chosen, in KiB. */
const LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]

/** Tiers of trackers: a line each, and an empty one before the next tier. */
export const tiersOf = text => text.split(/\n\s*\n/)
  .map(tier => tier.split('\n').map(it => it.trim()).filter(it => it !== ''))
  .filter(tier => tier.length > 0)

const choice = (label, name, options, hint) => {
  const box = field(label, { name }, hint)
  const select = el('select', { id: 'field-' + name, name },
    ...options.map(([value, word]) => el('option', { value }, word)))
  const input = box.querySelector('input')
  const described = input.getAttribute('aria-describedby')
  if (described) select.setAttribute('aria-describedby', described)
  input.replaceWith(select)
  return box
}

const lines = (label, name, hint) => el('div', { class: 'field' }, el('label', { for: 'field-' + name }, label),
  el('textarea', { id: 'field-' + name, name, rows: 2, spellcheck: false, 'aria-describedby': name + '-hint' }),
  el('span', { class: 'hint', id: name + '-hint' }, hint))

/** Opens the dialog; `dir` is where most of what is shared lies. */
export function create(dir) {
  const making = new Making()
  const { form } = open('Create a torrent', [
    making.list,
    field('File or directory', { name: 'path', value: dir.endsWith('/') ? dir : dir + '/', required: true, spellcheck: false },
      'On the machine of the daemon, below a directory that it may write to. Links in it are left out.'),
    lines('Trackers', 'trackers', 'One on a line; an empty line begins the next tier.'),
    tick('Private: peers by these trackers only', { name: 'private' }),
    tick('Seed it when it is made', { name: 'seed', checked: true }),
    field('Labels', { name: 'labels' }, 'With commas between them.'),
    el('details', {}, el('summary', {}, 'More'), el('div', { class: 'more' },
      field('Name', { name: 'name' }, 'Nothing: that of the file or directory. With another one it cannot be seeded from here.'),
      choice('Length of pieces', 'length', [['', 'By the size'], ...LENGTHS.map(it => [it * 1024, bytes(it * 1024)])]),
      choice('Format', 'format', [['v1', 'Version 1, for all programs'], ['hybrid', 'Hybrid: versions 1 and 2']]),
      field('Comment', { name: 'comment' }),
      field('Source', { name: 'source' }, 'Where it is from; changes the hash.'))),
  ], {
    word: 'Create',
    send: form => making.begin(form),
    done: () => making.rest(),
  })
  form.querySelector('[name=path]').focus()
  making.look()
}

/** Those that are being made, and those that were. */
class Making {
  #late = null
  #isOver = false

  constructor() {
    this.said = el('p', { class: 'unseen', role: 'status' })
    this.items = el('ul', { class: 'given', 'aria-label': 'Torrents in the making' })
    this.list = el('div', {}, this.items, this.said)
    /** How each was told last, by its number. */
    this.known = new Map()
    /** Those that were asked for here. */
    this.own = new Set()
  }

  async begin(form) {
    const text = name => form.get(name).trim()
    const creation = { path: text('path'), seed: form.get('seed') !== null, private: form.get('private') !== null, format: text('format') }
    for (const name of ['name', 'comment', 'source']) if (text(name) !== '') creation[name] = text(name)
    if (text('length') !== '') creation.piece_length = Number(text('length'))
    const trackers = tiersOf(form.get('trackers'))
    if (trackers.length > 0) creation.trackers = trackers
    const labels = listOf(form.get('labels'))
    if (labels.length > 0) creation.labels = labels
    this.own.add((await ask('POST', '/creations', creation)).number)
    await this.look()
    // The dialog stays open: how far it is stands there.
    return true
  }

  /** Asks how far all are, again while something is made. */
  async look() {
    clearTimeout(this.#late)
    try {
      const all = await get('/creations')
      if (this.#isOver) return
      this.#show(all)
      if (all.some(it => ['waiting', 'hashing'].includes(it.stage))) this.#late = setTimeout(() => this.look(), PACE)
    } catch (error) {
      if (this.#isOver) return
      this.said.textContent = clean(error.message)
      if (error.status === 0) this.#late = setTimeout(() => this.look(), 4 * PACE)
    }
  }

  /** Nobody looks any more; what is being made goes on. */
  rest() {
    this.#isOver = true
    clearTimeout(this.#late)
  }

  #show(all) {
    const gone = new Set(this.known.keys())
    // The last one first: what was asked for is seen without scrolling.
    for (const it of all) {
      gone.delete(it.number)
      const was = this.known.get(it.number)
      if (was?.it.stage === it.stage) {
        was.renew(it)
        continue
      }
      const made = this.#item(it)
      if (was) was.item.replaceWith(made.item)
      else this.items.prepend(made.item)
      // What is small is made before it was looked at once.
      const isAwaited = was || this.own.has(it.number)
      if (isAwaited && it.stage === 'done') this.said.textContent = `${clean(it.name)} is made`
      if (isAwaited && it.stage === 'failed') this.said.textContent = clean(it.error)
      this.known.set(it.number, made)
    }
    for (const number of gone) {
      this.known.get(number).item.remove()
      this.known.delete(number)
    }
  }

  #item(it) {
    const isOver = ['done', 'failed'].includes(it.stage)
    const words = el('span', { class: 'hint' })
    const bar = el('progress', { max: 1, 'aria-label': 'How far it is' })
    const end = el('button', { type: 'button' }, isOver ? '✕' : 'Give up')
    if (isOver) end.setAttribute('aria-label', 'Forget it')
    end.addEventListener('click', async () => {
      await ask('DELETE', `/creations/${it.number}`).catch(() => {})
      await this.look()
    })
    const item = el('li', {}, el('div', { class: 'line' }, named(it.path, { className: 'name' }), end))
    if (it.stage === 'done') {
      item.append(el('div', { class: 'line' },
        el('a', { href: `api/v1/creations/${it.number}/torrent`, download: it.name + '.torrent' }, 'Save the .torrent'),
        el('a', { href: it.magnet }, 'Magnet link'),
        el('span', { class: 'hint' }, it.torrent == null ? 'not seeded' : 'seeded')))
    } else if (it.stage === 'failed') {
      item.append(el('p', { class: 'error' }, clean(it.error)))
    } else {
      item.append(bar, words)
    }
    if (it.note) item.append(el('p', { class: 'hint' }, clean(it.note)))
    const renew = it => {
      if (it.total_bytes > 0) bar.value = it.done_bytes / it.total_bytes
      words.textContent = it.stage === 'waiting' ? 'Waits: something else reads that disk.'
        : it.total_bytes === 0 ? 'Looks for files…'
          : `${bytes(it.done_bytes)} of ${bytes(it.total_bytes)} (${percent(it.done_bytes / it.total_bytes)})`
    }
    renew(it)
    return { it, item, renew }
  }
}
