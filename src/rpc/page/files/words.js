// Words and elements: numbers for people, names of strangers, and how elements are made. Names are
// text, whatever stands in them: nothing here makes elements of it.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Bytes, as 11.4 MiB. */
export function bytes(count) {
  let at = 0
  while (count >= 1024 && at < UNITS.length - 1) {
    count /= 1024
    at += 1
  }
  return (at === 0 ? count.toFixed(0) : count.toFixed(1)) + ' ' + UNITS[at]
}

/** Bytes a second; nothing when there are none. */
export const rate = count => (count > 0 ? bytes(count) + '/s' : '')

/** Seconds, as 4m 51s. */
export function span(seconds) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'm'], [1, 's']]
  const first = parts.findIndex(([unit]) => seconds >= unit)
  if (first < 0) return '0s'
  const said = []
  let rest = Math.floor(seconds)
  for (const [unit, name] of parts.slice(first, first + 2)) {
    if (rest >= unit) said.push(Math.floor(rest / unit) + name)
    rest %= unit
  }
  return said.join(' ')
}

/** A share from 0 to 1; never 100 % before all is there. */
export const percent = share => (Math.floor(share * 1000) / 10).toFixed(1) + ' %'

/** Seconds since 1970. */
export const moment = at => (at == null ? '' : new Date(at * 1000).toLocaleString())

/** How many of what. */
export const many = (count, one, more = one + 's') =>
  count.toLocaleString('en') + ' ' + (count === 1 ? one : more)

// Control characters, and those that turn the direction of what stands around them.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

/** A text of strangers with what cannot be seen made visible. */
export const clean = text =>
  text.replace(HIDDEN, it => '‹U+' + it.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0') + '›')

/**
 * An element. Of `props`, `on` holds listeners, those with a `-` and `role` are attributes, and
 * others properties. Children are elements or texts.
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') Object.entries(value).forEach(([event, hear]) => made.addEventListener(event, hear))
    else if (name === 'class') made.className = value
    else if (name.includes('-') || name === 'role' || name === 'for') made.setAttribute(name, value)
    else made[name] = value
  }
  made.append(...children.filter(child => child != null))
  return made
}

/** The name of a stranger, which nothing of its own direction leaks out of. */
export const named = (text, props = {}) => el('bdi', props, clean(text))

/** What states are called. */
export const STATES = {
  downloading: 'Downloading',
  seeding: 'Seeding',
  seeking: 'Seeking metadata',
  checking: 'Checking',
  queued: 'Queued',
  paused: 'Paused',
  finished: 'Finished',
  moving: 'Moving',
  stopping: 'Stopping',
  disk_trouble: 'Disk trouble',
  failed: 'Failed',
}

/** What a torrent waits for. */
export const CAUSES = {
  nothing: 'nothing to do',
  tracker: 'the tracker has not answered',
  peers: 'no peers',
  unchoke: 'peers do not let us have anything',
  pieces: 'peers lack what we lack',
  transfer: 'transfer at full speed',
  pipeline: 'our own queue',
  disk: 'the disk',
  hash: 'hashing',
  limit: 'the limit that is set',
  source_waits: 'servers rest',
  source_slow: 'servers are slow',
  sources_differ: 'servers have other files',
}
