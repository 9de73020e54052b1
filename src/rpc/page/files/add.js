// Torrents to be added: files that are dropped or chosen, links that are pasted. What a file holds
// is shown before anything of it is sent.

import { ask, get } from './ask.js'
import { LEN_MAX, torrentOf } from './bencode.js'
import { field, listOf, open, tick } from './dialogs.js'
import { Tree } from './tree.js'
import { bytes, clean, el, many, named } from './words.js'

/** What links look like that are taken. */
const isLink = text => /^magnet:\?/i.test(text) || /^([0-9a-f]{40}|[0-9a-f]{64})$/i.test(text)
const isUrl = text => /^https?:\/\//i.test(text)

/** Links in a text, each on a line or between spaces. */
export const linksOf = text => text.split(/\s+/).filter(it => it !== '')

/** The bytes of a file in base64. */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1))
    reader.onerror = () => reject(new Error('it cannot be read'))
    reader.readAsDataURL(file)
  })
}

/** A dialog that is open, which further files go to. */
let current = null

/** Opens the dialog, or takes these files into the one that is open. `say` hears what came of it. */
export function add(say, files = [], text = '') {
  if (current === null) current = new Adding(say)
  current.take(files, text)
}

class Adding {
  #given = []
  /** Files that are being read. */
  #reading = 0

  constructor(say) {
    this.say = say
    this.list = el('ul', { class: 'given', 'aria-label': 'Files to be added' })
    this.links = el('textarea', {
      id: 'field-links', name: 'links', rows: 3, spellcheck: false, 'aria-describedby': 'links-hint',
    })
    const choose = el('input', {
      type: 'file', id: 'field-files', multiple: true, accept: '.torrent,application/x-bittorrent',
      on: { change: event => { this.take([...event.target.files], ''); event.target.value = '' } },
    })
    this.room = el('span', { class: 'hint', role: 'status' })
    const dir = field('Directory', { name: 'dir' }, 'Nothing: the usual one.')
    dir.append(this.room)
    dir.querySelector('input').addEventListener('change', event => this.#look(event.target.value))
    this.#look('')
    open('Add torrents', [
      el('div', { class: 'drop' }, el('label', { for: 'field-files' }, 'Torrent files: choose, or drop them on the page'), choose),
      this.list,
      el('div', { class: 'field' },
        el('label', { for: 'field-links' }, 'Magnet links, hashes and URLs'),
        this.links,
        el('span', { class: 'hint', id: 'links-hint' }, 'One on a line.')),
      dir,
      field('Labels', { name: 'labels' }, 'With commas between them.'),
      tick('Start', { name: 'start', checked: true }),
      tick('Pieces in order', { name: 'sequential' }),
    ], {
      word: 'Add',
      send: form => this.#send(form),
      done: () => { current = null },
    })
  }

  async #look(dir) {
    this.room.textContent = ''
    try {
      const at = dir === '' ? await get('/session') : await get('/room?dir=' + encodeURIComponent(dir))
      if (at.free_bytes != null) this.room.textContent = `${bytes(at.free_bytes)} free.`
    } catch (refused) {
      this.room.textContent = clean(refused.message)
    }
  }

  async take(files, text) {
    if (text !== '') this.links.value = [this.links.value, text].filter(it => it !== '').join('\n')
    for (const file of files) {
      const item = el('li')
      this.list.append(item)
      const given = { file, item, torrent: null }
      this.#reading += 1
      try {
        if (file.size > LEN_MAX) throw new Error('it is longer than 16 MiB')
        given.torrent = torrentOf(new Uint8Array(await file.arrayBuffer()))
        this.#show(given)
        this.#given.push(given)
      } catch (error) {
        item.append(named(file.name), ' ', el('span', { class: 'error' }, error.message))
      } finally {
        this.#reading -= 1
      }
    }
  }

  #show(given) {
    const { item, torrent } = given
    const words = el('span', { class: 'hint' })
    const say = () => {
      const wanted = torrent.files.filter(file => file.wanted)
      const size = wanted.reduce((sum, file) => sum + file.size, 0)
      words.textContent = wanted.length === torrent.files.length
        ? `${bytes(torrent.size)}, ${many(torrent.files.length, 'file')}`
        : `${bytes(size)} of ${bytes(torrent.size)}, ${wanted.length} of ${many(torrent.files.length, 'file')}`
    }
    for (const file of torrent.files) file.wanted = true
    const out = el('button', { type: 'button', 'aria-label': 'Leave out ' + clean(torrent.name) }, '✕')
    out.addEventListener('click', () => {
      item.remove()
      this.#given.splice(this.#given.indexOf(given), 1)
    })
    say()
    const tree = new Tree(torrent.files, { choose: say })
    item.append(el('div', { class: 'line' }, named(torrent.name, { className: 'name' }), words, out), tree.node)
  }

  async #send(form) {
    const rest = {
      paused: form.get('start') === null,
      sequential: form.get('sequential') !== null,
      labels: listOf(form.get('labels')),
    }
    if (form.get('dir').trim() !== '') rest.dir = form.get('dir').trim()
    const links = linksOf(form.get('links'))
    if (this.#reading > 0) return 'A file is still being read.'
    if (links.length === 0 && this.#given.length === 0) return 'Choose a file, or paste a link.'
    // What is dropped from here on is for the next time: what it holds has not been looked at.
    this.links.value = ''
    const [failed, added, there] = [[], [], []]
    const note = it => (it.was_there ? there : added).push(clean(it.name))
    const given = this.#given.slice()
    for (const one of given) {
      const { torrent, file, item } = one
      const wanted = torrent.files.filter(it => it.wanted)
      try {
        const addition = { ...rest, torrent: await base64(file) }
        if (wanted.length < torrent.files.length) addition.files = wanted.map(it => it.number)
        if (wanted.length === 0) throw new Error('none of its files is chosen')
        note(await ask('POST', '/torrents', addition))
        item.remove()
        this.#given.splice(this.#given.indexOf(one), 1)
      } catch (refused) {
        failed.push(`${clean(torrent.name)}: ${clean(refused.message)}`)
      }
    }
    const left = []
    for (const link of links) {
      try {
        if (isLink(link)) note(await ask('POST', '/torrents', { ...rest, link }))
        else if (isUrl(link)) note(await ask('POST', '/torrents', { ...rest, url: link }))
        else throw new Error('it is no magnet link, hash or URL')
      } catch (refused) {
        left.push(link)
        failed.push(`${clean(link.slice(0, 60))}: ${clean(refused.message)}`)
      }
    }
    const told = (names, words) => (names.length === 0 ? [] : [
      `${names.length === 1 ? names[0] : many(names.length, 'torrent')}: ${words}`,
    ])
    const words = [...told(added, 'added'), ...told(there, 'there already')]
    if (words.length > 0) this.say(words.join('; '))
    const come = linksOf(this.links.value)
    const isMore = this.#reading > 0 || come.length > 0 || this.#given.some(it => !given.includes(it))
    this.links.value = [...left, ...come].join('\n')
    if (isMore) failed.push('What has come meanwhile is not added yet.')
    return failed.join('\n')
  }
}
