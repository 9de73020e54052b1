// What a .torrent holds, before it is sent anywhere. Whatever stands in it is a stranger's: nothing
// is read past its end, and depth and counts have limits.

const DEPTH_MAX = 100
const TOKENS_MAX = 3_000_000
/** Folders of one file, and of all together: each becomes an object. The daemon takes as many. */
const PATH_DEPTH_MAX = 100
const PARTS_MAX = 1_000_000
/** As the daemon takes them. */
export const LEN_MAX = 16 << 20

class Reader {
  at = 0
  tokens = 0

  constructor(bytes) {
    this.bytes = bytes
    this.text = new TextDecoder()
  }

  fail() {
    throw new Error('this is no .torrent')
  }

  digits(end) {
    const begin = this.at
    let value = 0
    for (; this.bytes[this.at] !== end; this.at += 1) {
      const digit = this.bytes[this.at] - 48
      if (!(digit >= 0 && digit <= 9) || this.at - begin >= 16) this.fail()
      value = value * 10 + digit
    }
    if (this.at === begin) this.fail()
    this.at += 1
    return value
  }

  string() {
    const len = this.digits(58)
    if (len > this.bytes.length - this.at) this.fail()
    this.at += len
    return this.bytes.subarray(this.at - len, this.at)
  }

  value(depth) {
    this.tokens += 1
    if (depth > DEPTH_MAX || this.tokens > TOKENS_MAX) this.fail()
    switch (this.bytes[this.at]) {
      case 105: { // i
        this.at += 1
        const minus = this.bytes[this.at] === 45
        if (minus) this.at += 1
        const value = this.digits(101)
        return minus ? -value : value
      }
      case 108: { // l
        const list = []
        for (this.at += 1; this.bytes[this.at] !== 101;) list.push(this.value(depth + 1))
        this.at += 1
        return list
      }
      case 100: { // d
        const map = new Map()
        for (this.at += 1; this.bytes[this.at] !== 101;) {
          const key = this.text.decode(this.string())
          map.set(key, this.value(depth + 1))
        }
        this.at += 1
        return map
      }
      default:
        return this.string()
    }
  }
}

const isText = value => value instanceof Uint8Array

/**
 * The name of a torrent and its files as lists show them: pad files are none. Each with its
 * number, from 1.
 */
export function torrentOf(bytes) {
  if (bytes.length > LEN_MAX) throw new Error('it is longer than 16 MiB')
  const reader = new Reader(bytes)
  const root = reader.value(0)
  const info = root instanceof Map ? root.get('info') : null
  if (!(info instanceof Map)) reader.fail()
  const text = value => (isText(value) ? new TextDecoder().decode(value) : reader.fail())
  const name = text(info.get('name.utf-8') ?? info.get('name'))
  const size = value => (Number.isSafeInteger(value) && value >= 0 ? value : reader.fail())
  const isPad = file => isText(file.get('attr')) && file.get('attr').includes(112)
  const files = []
  let partsLeft = PARTS_MAX
  const add = (path, length) => {
    let parts = 1
    // A name with strokes in it is as deep as they say.
    for (let at = -1; (at = path.indexOf('/', at + 1)) >= 0;) parts += 1
    partsLeft -= parts
    if (parts > PATH_DEPTH_MAX + 1 || partsLeft < 0) throw new Error('its folders are too deep or too many')
    files.push({ number: files.length + 1, path, size: size(length) })
  }
  if (Array.isArray(info.get('files'))) {
    for (const file of info.get('files')) {
      if (!(file instanceof Map)) reader.fail()
      const path = file.get('path.utf-8') ?? file.get('path')
      if (!Array.isArray(path) || path.length === 0) reader.fail()
      if (!isPad(file)) add([name, ...path.map(text)].join('/'), file.get('length'))
    }
  } else if (info.has('length')) {
    add(name, info.get('length'))
  } else if (info.get('file tree') instanceof Map) {
    const tree = info.get('file tree')
    const only = tree.size === 1 && tree.get(name)?.get?.('')?.has?.('length')
    const walk = (tree, path) => {
      for (const [part, below] of tree) {
        if (!(below instanceof Map)) reader.fail()
        const file = below.get('')
        if (!(file instanceof Map)) walk(below, [...path, part])
        else if (!isPad(file)) add([...path, part].join('/'), file.get('length'))
      }
    }
    walk(tree, only ? [] : [name])
  } else {
    reader.fail()
  }
  return { name, files, size: files.reduce((sum, file) => sum + file.size, 0) }
}
