// Files as a tree. Folders are filled when they are opened, and not with more than a few hundred
// at once: a torrent may have a hundred thousand files.

import { bytes, clean, el, many, percent } from './words.js'

const AT_ONCE = 300

/** What is wanted how much. */
export const PRIORITIES = [['off', 'Skip'], ['low', 'Low'], ['normal', 'Normal'], ['high', 'High']]

/** The folders of paths: each has its files, its size and its number of files. */
function grown(files) {
  const root = { folders: new Map(), files: [], size: 0, count: 0, name: '' }
  for (const file of files) {
    const parts = file.path.split('/')
    let at = root
    for (const part of parts.slice(0, -1)) {
      at.size += file.size
      at.count += 1
      if (!at.folders.has(part)) {
        at.folders.set(part, { folders: new Map(), files: [], size: 0, count: 0, name: part })
      }
      at = at.folders.get(part)
    }
    at.size += file.size
    at.count += 1
    at.files.push([parts[parts.length - 1], file])
  }
  return root
}

/** All files below. Without recursion: how deep it is, strangers say. */
function* all(node) {
  const rest = [node]
  while (rest.length > 0) {
    const { files, folders } = rest.pop()
    for (const [, file] of files) yield file
    for (const below of [...folders.values()].reverse()) rest.push(below)
  }
}

/**
 * A tree of files, each with `path`, `size`, `number` and `wanted`. `choose(numbers, wanted)` hears
 * what is chosen; with `rate(number, priority)` there is a box for how much, and how far each is.
 */
export class Tree {
  #boxes = []

  constructor(files, { choose, rate }) {
    Object.assign(this, { choose, rate })
    this.files = files
    this.node = el('ul', { class: 'tree' })
    this.#fill(this.node, grown(files))
    const first = this.node.querySelector('details')
    if (first && this.node.children.length === 1) first.open = true
  }

  #fill(list, node, from = 0) {
    const things = [...node.folders.values(), ...node.files]
    for (const it of things.slice(from, from + AT_ONCE)) {
      list.append(Array.isArray(it) ? this.#file(...it) : this.#folder(it))
    }
    if (things.length > from + AT_ONCE) {
      const more = el('button', { type: 'button' }, `${many(things.length - from - AT_ONCE, 'more entry', 'more entries')}…`)
      const item = el('li', {}, more)
      more.addEventListener('click', () => {
        item.remove()
        this.#fill(list, node, from + AT_ONCE)
      })
      list.append(item)
    }
  }

  #box(name, files) {
    const box = el('input', { type: 'checkbox', 'aria-label': 'Want ' + clean(name) })
    const show = () => {
      let [some, every] = [false, true]
      for (const file of files()) {
        some ||= file.wanted
        every &&= file.wanted
      }
      box.checked = every
      box.indeterminate = some && !every
    }
    box.addEventListener('change', () => {
      const numbers = []
      for (const file of files()) {
        file.wanted = box.checked
        numbers.push(file.number)
      }
      this.choose(numbers, box.checked)
      this.#boxes.forEach(again => again())
    })
    this.#boxes.push(show)
    show()
    return box
  }

  #folder(node) {
    const list = el('ul')
    const size = el('span', { class: 'size' }, `${bytes(node.size)}, ${many(node.count, 'file')}`)
    const head = el('summary', {}, el('bdi', { class: 'path' }, clean(node.name) + '/'), size)
    const details = el('details', {}, head, list)
    details.addEventListener('toggle', () => {
      if (details.open && list.children.length === 0) this.#fill(list, node)
    })
    return el('li', {}, this.#box(node.name, () => all(node)), details)
  }

  #file(name, file) {
    const line = el('div', { class: 'file' }, el('bdi', { class: 'path' }, clean(name)))
    if (file.progress !== undefined) {
      const said = el('span', { class: 'size' }, percent(file.progress))
      this.#boxes.push(() => { said.textContent = percent(file.progress) })
      line.append(said)
    }
    line.append(el('span', { class: 'size' }, bytes(file.size)))
    if (this.rate) line.append(this.#priority(name, file))
    return el('li', {}, this.#box(name, () => [file]), line)
  }

  #priority(name, file) {
    const box = el('select', { 'aria-label': 'Priority of ' + clean(name) })
    for (const [value, word] of PRIORITIES) box.append(el('option', { value }, word))
    box.value = file.priority
    box.addEventListener('change', () => {
      file.priority = box.value
      file.wanted = box.value !== 'off'
      this.rate(file.number, box.value)
      this.#boxes.forEach(again => again())
    })
    this.#boxes.push(() => { if (document.activeElement !== box) box.value = file.priority })
    return box
  }

  /** Takes in how the same files stand now; false when they are others. */
  renew(files) {
    if (files.length !== this.files.length) return false
    files.forEach((file, nth) => Object.assign(this.files[nth], file))
    this.#boxes.forEach(again => again())
    return true
  }
}
