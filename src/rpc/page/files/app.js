// The page: who signs in, the head, what is done to the chosen, and who hears of changes.

import { add, linksOf } from './add.js'
import { ask, door, each, get, signIn, signOut } from './ask.js'
import { create } from './create.js'
import * as dialogs from './dialogs.js'
import { errands } from './errands.js'
import { List } from './list.js'
import { One } from './one.js'
import { Store } from './store.js'
import { STATES, clean, el, many, rate } from './words.js'

const at = id => document.getElementById(id)
/** Before a daemon that does not answer is asked again, in milliseconds. */
const KNOCK = 2000

/** Says something once, also to those who do not look. */
let fades
function say(words) {
  at('notice').textContent = words
  clearTimeout(fades)
  fades = setTimeout(() => { at('notice').textContent = '' }, 8000)
}

// --- everything that is there

let list
let one
let isDue = false

const store = new Store({
  before: row => list.before(row),
  after(rows, removed) {
    list.after(rows, removed)
    one.after(rows, removed)
    headSoon()
  },
  told(row, it) {
    if (row.progress < 1 && it.progress === 1 && it.state === 'seeding') say(`${clean(it.name)} is complete`)
    else if (it.state === 'failed' || it.state === 'disk_trouble') say(`${clean(it.name)}: ${clean(it.trouble ?? 'trouble')}`)
  },
})
store.lost = isLost => {
  const wasLost = document.body.classList.contains('lost')
  document.body.classList.toggle('lost', isLost)
  if (isLost && !wasLost) say('The daemon does not answer; what is shown may be old.')
  headSoon()
}

/** The totals and filters, once before the next frame. */
function headSoon() {
  if (isDue) return
  isDue = true
  requestAnimationFrame(() => {
    isDue = false
    head()
  })
}

let headMade = -Infinity
let headLate = null
function head() {
  const words = [`Down ${rate(store.down) || '0 B/s'}`, `up ${rate(store.up) || '0 B/s'}`]
  if (store.troubles > 0) words.push(many(store.troubles, 'trouble'))
  // As long as it lasts: whoever looks later was not told.
  if (document.body.classList.contains('lost')) words.splice(0, words.length, 'The daemon does not answer: this is old')
  const text = words.join(' · ')
  if (at('totals').textContent !== text) at('totals').textContent = text
  // While the list still comes, what is chosen may have no row yet.
  if (!store.isWhole) return
  if (performance.now() - headMade < 500) {
    headLate ??= setTimeout(() => {
      headLate = null
      headSoon()
    }, 500)
    return
  }
  headMade = performance.now()
  const states = new Map(store.states)
  if (store.troubles > 0) states.set('!', store.troubles)
  options(at('by-state'), 'All states', states, state => (state === '!' ? 'In trouble' : (STATES[state] ?? state)))
  options(at('by-label'), 'All labels', store.labels, clean)
  options(at('by-tracker'), 'All trackers', store.trackers, clean)
  options(at('by-dir'), 'All directories', store.dirs, clean)
}

function options(box, all, counts, word) {
  // Boxes that are open do not change under the hand.
  if (document.activeElement === box) return
  const { value } = box
  // What is chosen stays, also when nothing is left of it: without it, all would be meant.
  const names = [...new Set([...counts.keys(), ...(value === '' ? [] : [value])])].sort()
  const pairs = names.map(name => [name, `${word(name)} (${counts.get(name) ?? 0})`])
  const key = JSON.stringify(pairs)
  if (box.dataset.made === key) return
  box.dataset.made = key
  box.replaceChildren(...[['', all], ...pairs].map(([value, word]) => el('option', { value }, word)))
  box.value = value
}

// --- what is done to the chosen

const grid = () => at('grid').focus()
const chosen = () => [...list.chosen]

async function deed(rows, order, words) {
  const refused = await each(rows, row => ask('POST', `/torrents/${row.id}/deeds`, order))
  if (refused.length > 0) say(`${clean(refused[0][0].name)}: ${clean(refused[0][1])}`)
  else say(`${many(rows.length, 'torrent')}: ${words}`)
}

async function place(rows, where) {
  for (const row of where === 'top' ? rows.slice().reverse() : rows) {
    await ask('PATCH', `/torrents/${row.id}`, { place: where }).catch(refused => say(clean(refused.message)))
  }
}

const ACTIONS = [
  ['Resume', rows => deed(rows, { do: 'resume' }, 'resumed')],
  ['Pause', rows => deed(rows, { do: 'pause' }, 'paused')],
  ['Remove…', rows => dialogs.remove(rows, grid)],
  ['Labels…', rows => dialogs.label(rows, grid)],
  ['Limits…', rows => dialogs.limits(rows, grid)],
  ['Move…', rows => dialogs.move(rows, grid)],
  ['Verify', rows => deed(rows, { do: 'verify' }, 'verified')],
  ['Announce', rows => deed(rows, { do: 'announce' }, 'announced')],
  ['To the top', rows => place(rows, 'top')],
  ['To the end', rows => place(rows, 'bottom')],
]

const buttons = ACTIONS.map(([word, act]) => el('button', {
  disabled: true,
  on: { click: () => chosen().length > 0 && act(chosen()) },
}, word))
const number = el('span', { class: 'hint' })
at('actions').append(...buttons, number)

function acts() {
  const count = list.chosen.size
  for (const button of buttons) button.disabled = count === 0
  number.textContent = count === 0 ? '' : many(count, 'chosen', 'chosen')
}

/** What letters do in the list; false when nothing. */
function letter(key) {
  const rows = chosen()
  const some = act => rows.length > 0 && act()
  const keys = {
    p: () => some(() => (rows.every(row => row.paused) ? ACTIONS[0] : ACTIONS[1])[1](rows)),
    l: () => some(() => ACTIONS[3][1](rows)),
    a: () => add(say),
    c: () => makes(),
    Delete: () => some(() => ACTIONS[2][1](rows)),
    '?': () => dialogs.keys(),
  }
  // Whether capitals are locked does not matter.
  if (key.length === 1) key = key.toLowerCase()
  if (!keys[key]) return false
  keys[key]()
  return true
}

list = new List({
  grid: at('grid'), head: at('grid-head'), body: at('grid-body'), search: at('search'),
  byState: at('by-state'), byLabel: at('by-label'), byDir: at('by-dir'), byTracker: at('by-tracker'), sort: at('sort'),
  count: at('count'), store, acts, open: row => one.open(row),
  seek: (words, signal) => get('/find?words=' + encodeURIComponent(words), signal),
})
list.letter = letter
one = new One(at('one'), store, grid, [document.querySelector('.top'), at('list-part')])

// --- the head

/** Whatever is made lies where torrents go, most of it. */
const makes = () => get('/session').then(it => create(it.dir)).catch(error => say(clean(error.message)))

at('open-add').addEventListener('click', () => add(say))
at('open-create').addEventListener('click', makes)
at('open-rates').addEventListener('click', () => dialogs.rates(store))
at('open-disks').addEventListener('click', () => dialogs.disks(store).catch(error => say(clean(error.message))))
at('open-errands').addEventListener('click', () => errands())
at('open-settings').addEventListener('click', () => dialogs.settings().catch(error => say(clean(error.message))))
at('open-keys').addEventListener('click', () => dialogs.keys())
at('sign-out').addEventListener('click', () => signOut().catch(() => {}).then(() => door.close()))

// --- what is dropped and pasted

const isIn = () => !at('house').hidden
/** Is it a text that is dragged into a field? That is between the field and the browser. */
const isOfField = event => event.target.closest?.('input, textarea') && !event.dataTransfer.types.includes('Files')
addEventListener('dragover', event => {
  if (isOfField(event)) return
  event.preventDefault()
  document.body.classList.toggle('dropping', isIn())
})
addEventListener('dragleave', event => {
  if (event.relatedTarget === null) document.body.classList.remove('dropping')
})
addEventListener('drop', event => {
  document.body.classList.remove('dropping')
  if (isOfField(event)) return
  event.preventDefault()
  if (!isIn()) return
  const files = [...event.dataTransfer.files]
  const text = files.length === 0 ? event.dataTransfer.getData('text') : ''
  if (files.length > 0 || text !== '') add(say, files, linksOf(text).join('\n'))
})
addEventListener('paste', event => {
  if (!isIn() || event.target.closest('input, textarea, dialog')) return
  const text = event.clipboardData.getData('text')
  const files = [...event.clipboardData.files]
  if (files.length > 0 || text.trim() !== '') add(say, files, linksOf(text).join('\n'))
})

// --- the door

door.close = () => {
  store.stop()
  document.querySelectorAll('dialog').forEach(dialog => dialog.close())
  at('house').hidden = true
  at('door').hidden = false
  at('sign-in-error').textContent = ''
  at('token').focus()
}

function enter() {
  at('door').hidden = true
  at('house').hidden = false
  at('grid').focus()
  store.start()
}

at('sign-in').addEventListener('submit', async event => {
  event.preventDefault()
  at('sign-in-error').textContent = ''
  try {
    await signIn(at('token').value.trim())
    at('token').value = ''
    enter()
  } catch (refused) {
    at('sign-in-error').textContent = clean(refused.message)
  }
})

/** Whether somebody has signed in is seen when it is asked for; a daemon that does not answer is asked again. */
async function knock() {
  try {
    await get('/session')
    if (!isIn()) enter()
  } catch (error) {
    // Then the door is open already.
    if (error.status === 401 || isIn()) return
    at('door').hidden = false
    const isLate = error.status === 0 || error.status >= 500
    at('sign-in-error').textContent = clean(error.message) + (isLate ? '; it is asked again' : '')
    if (isLate) setTimeout(() => isIn() || knock(), KNOCK)
  }
}
knock()
