// Dialogs: each is made when it is opened and gone when it is closed.

import { ask, each, get } from './ask.js'
import { Rates } from './plot.js'
import { bytes, clean, el, many, named } from './words.js'

/** Opens a dialog of these parts; `form` is what is sent when its first button is pressed. */
export function open(title, parts, { send, word, kind, done }) {
  const error = el('p', { class: 'error', role: 'alert' })
  const id = 'dialog-' + Math.random().toString(36).slice(2)
  const cancel = el('button', { type: 'button' }, send ? 'Cancel' : 'Close')
  const buttons = el('div', { class: 'buttons' }, cancel)
  if (send) buttons.append(el('button', { class: kind ?? 'primary' }, word))
  const form = el('form', { method: 'dialog' }, el('h2', { id }, title), ...parts, error, buttons)
  const dialog = el('dialog', { 'aria-labelledby': id }, form)
  cancel.addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => {
    dialog.remove()
    done?.()
  })
  form.addEventListener('submit', async event => {
    event.preventDefault()
    if (!send) return dialog.close()
    error.textContent = ''
    form.inert = true
    try {
      const stays = await send(new FormData(form))
      // One that stays open without a fault has more to say.
      if (stays) error.textContent = stays === true ? '' : stays
      else dialog.close()
    } catch (refused) {
      error.textContent = clean(refused.message)
    }
    form.inert = false
  })
  document.body.append(dialog)
  dialog.showModal()
  return { dialog, form, error }
}

/** A field with its label. */
export function field(label, props, hint) {
  const id = 'field-' + props.name
  const input = el('input', { id, autocomplete: 'off', ...props })
  const parts = [el('label', { for: id }, label), input]
  if (hint) {
    input.setAttribute('aria-describedby', id + '-hint')
    parts.push(el('span', { class: 'hint', id: id + '-hint' }, hint))
  }
  return el('div', { class: 'field' }, ...parts)
}

/** A box that is ticked, with its label. */
export const tick = (label, props) =>
  el('label', { class: 'tick' }, el('input', { type: 'checkbox', ...props }), label)

/** The names of some torrents, the first few of them. */
function names(rows) {
  const list = el('ul', { class: 'names' }, ...rows.slice(0, 5).map(row => el('li', {}, named(row.name))))
  if (rows.length > 5) list.append(el('li', {}, `and ${many(rows.length - 5, 'more', 'more')}`))
  return list
}

/** What was not done, in one text; nothing when all was. */
function refusals(refused, all) {
  if (refused.length === 0) return ''
  return `${many(refused.length, 'of them', 'of them')} of ${all.length}: ${clean(refused[0][1])}`
}

const KILO = { k: 1000, m: 1e6, g: 1e9, kib: 1024, mib: 1 << 20, gib: 1 << 30 }

/** Bytes a second as people write them: 500K, 2MiB; nothing lifts the limit. */
export function limitOf(text) {
  const found = /^\s*(\d+(?:\.\d+)?)\s*(k|m|g|kib|mib|gib)?(?:b?\/s|b)?\s*$/i.exec(text)
  if (text.trim() === '') return 0
  if (!found) throw new Error(`“${text}” is no rate: 500K or 2MiB`)
  return Math.round(found[1] * (KILO[found[2]?.toLowerCase()] ?? 1))
}

/** The same the other way. */
export function limitText(limit) {
  if (limit == null || limit === 0) return ''
  for (const unit of ['GiB', 'MiB', 'KiB', 'G', 'M', 'K']) {
    const size = KILO[unit.toLowerCase()]
    if (limit % size === 0) return limit / size + unit
  }
  return String(limit)
}

export function remove(rows, done) {
  open(`Remove ${many(rows.length, 'torrent')}?`, [
    names(rows),
    tick('Delete the files, too', { name: 'data' }),
  ], {
    word: 'Remove',
    kind: 'danger',
    async send(form) {
      const query = form.get('data') ? '?data=true' : ''
      const refused = await each(rows, row => ask('DELETE', `/torrents/${row.id}${query}`))
      return refusals(refused, rows)
    },
    done,
  })
}

export function label(rows, done) {
  const common = rows[0].labels.filter(it => rows.every(row => row.labels.includes(it)))
  const isOnlySome = rows.some(row => row.labels.length > common.length)
  open(`Labels of ${many(rows.length, 'torrent')}`, [
    field('Labels', { name: 'labels', value: common.join(', ') },
      'With commas between them.' + (isOnlySome ? ' Others, which only some of them have, stay.' : '')),
  ], {
    word: 'Set',
    async send(form) {
      const given = listOf(form.get('labels'))
      const refused = await each(rows, row => {
        const own = row.labels.filter(it => !common.includes(it))
        return ask('PATCH', `/torrents/${row.id}`, { labels: [...new Set([...given, ...own])] })
      })
      return refusals(refused, rows)
    },
    done,
  })
}

export const listOf = text => [...new Set(text.split(',').map(it => it.trim()).filter(it => it))]

export function limits(rows, done) {
  const [first] = rows
  open(`Limits of ${many(rows.length, 'torrent')}`, [
    field('Download', { name: 'down', value: limitText(first.limitDown) }, 'A second, as 500K or 2MiB; nothing: no limit.'),
    field('Upload', { name: 'up', value: limitText(first.limitUp) }),
  ], {
    word: 'Set',
    async send(form) {
      const patch = { limit_down: limitOf(form.get('down')), limit_up: limitOf(form.get('up')) }
      return refusals(await each(rows, row => ask('PATCH', `/torrents/${row.id}`, patch)), rows)
    },
    done,
  })
}

export function move(rows, done) {
  open(`Move the files of ${many(rows.length, 'torrent')}`, [
    field('To the directory', { name: 'dir', value: rows[0].dir, required: true }),
  ], {
    word: 'Move',
    async send(form) {
      const deed = { do: 'move', dir: form.get('dir') }
      return refusals(await each(rows, row => ask('POST', `/torrents/${row.id}/deeds`, deed)), rows)
    },
    done,
  })
}

const facts = pairs => el('dl', { class: 'facts' }, ...pairs.flatMap(([name, value]) => [
  el('dt', {}, name),
  el('dd', {}, value ?? ''),
]))

export async function settings(done) {
  const at = await get('/session')
  open('Settings', [
    el('fieldset', {}, el('legend', {}, 'Limits of all together'),
      field('Download', { name: 'limit_down', value: limitText(at.limits.down) }, 'A second, as 500K or 2MiB; nothing: no limit.'),
      field('Upload', { name: 'limit_up', value: limitText(at.limits.up) })),
    el('fieldset', {}, el('legend', {}, 'Alternative limits'),
      tick('They hold now', { name: 'alternative', checked: at.alternative }),
      field('Alternative download', { name: 'alternative_down', value: limitText(at.alternative_limits.down) }),
      field('Alternative upload', { name: 'alternative_up', value: limitText(at.alternative_limits.up) })),
    field('Torrents that download at once', { name: 'active_max', type: 'number', min: 0, value: at.active_max ?? '' },
      'Nothing: as many as the daemon began with.'),
    el('fieldset', { class: 'fixed' }, el('legend', {}, 'Fixed by configuration and command line'),
      facts([
        ['Directory', named(at.dir)],
        ['Port for peers', at.port === 0 ? 'none' : String(at.port)],
        ['DHT', at.dht_nodes == null ? 'off' : many(at.dht_nodes, 'node')],
        ['Version', at.version],
      ])),
  ], {
    word: 'Save',
    async send(form) {
      const patch = { alternative: form.get('alternative') !== null, active_max: Number(form.get('active_max') || 0) }
      for (const name of ['limit_down', 'limit_up', 'alternative_down', 'alternative_up']) {
        patch[name] = limitOf(form.get(name))
      }
      // A schedule may have switched them: who changes nothing there leaves it so.
      if (patch.alternative === at.alternative) delete patch.alternative
      await ask('PATCH', '/session', patch)
    },
    done,
  })
}

/** What is wrong with torrents of a directory, in the words of the daemon, and with how many. */
function troubles(rows) {
  const all = new Map()
  for (const row of rows) {
    const why = row.trouble ?? 'in trouble'
    all.set(why, [...(all.get(why) ?? []), row])
  }
  return [...all].map(([why, those]) => el('div', { class: 'why' }, el('p', { class: 'error' }, clean(why)),
    el('p', { class: 'hint' }, `Of ${many(those.length, 'torrent')}:`), names(those)))
}

/** The directories of `store`, how much room they have, and what is wrong there. */
export async function disks(store, done) {
  const { dirs } = store
  const wrong = new Map()
  for (const row of store.rows.values()) {
    if (row.isInTrouble) wrong.set(row.dir, [...(wrong.get(row.dir) ?? []), row])
  }
  const list = el('ul', { class: 'disks' }, el('li', {}, 'Looking…'))
  open('Disks', [list], { done })
  const at = await get('/session')
  const all = new Map(dirs)
  if (!all.has(at.dir)) all.set(at.dir, 0)
  // Those that something is wrong with come first.
  const order = [...all].sort(([one], [other]) => wrong.has(other) - wrong.has(one))
  const lines = order.slice(0, 40).map(async ([dir, count]) => {
    const words = el('span', { class: 'hint' })
    const meter = el('i')
    const line = el('li', {}, named(dir), ` ${many(count, 'torrent')} `, words)
    try {
      const room = await get('/room?dir=' + encodeURIComponent(dir))
      if (room.free_bytes == null) {
        words.textContent = wrong.has(dir) ? 'does not answer'
          : 'does not answer within four seconds: it is busy, or hangs; what needs it waits, and goes on by itself'
      } else {
        words.textContent = `${bytes(room.free_bytes)} free of ${bytes(room.total_bytes)}`
        meter.style.transform = `scaleX(${1 - room.free_bytes / Math.max(room.total_bytes, 1)})`
        line.append(el('span', { class: 'bar', 'aria-hidden': 'true' }, meter))
      }
    } catch (refused) {
      words.textContent = clean(refused.message)
    }
    line.append(...troubles(wrong.get(dir) ?? []))
    return line
  })
  list.replaceChildren(...await Promise.all(lines))
}

/** Rates of all together; what is told while it is open is drawn. */
export function rates(store) {
  const plot = new Rates({ of: () => ({ history: store.histories.all, down: store.down, up: store.up }) })
  // Where nothing changes, time goes on all the same.
  const beat = setInterval(() => plot.draw(), 1000)
  const sized = new ResizeObserver(() => plot.draw())
  open('Rates of all', plot.parts, {
    done: () => {
      clearInterval(beat)
      sized.disconnect()
    },
  })
  sized.observe(plot.canvas)
  plot.draw()
}

export function keys() {
  const all = [
    ['↑ ↓ Home End', 'go through the list'],
    ['Shift with these', 'choose a range'],
    ['Ctrl with these', 'go without choosing'],
    ['Space', 'choose one more, or one less'],
    ['Ctrl A', 'choose all that are shown'],
    ['Enter', 'show one closely'],
    ['Escape', 'choose none; close what is open'],
    ['P', 'pause, or resume'],
    ['Delete', 'remove'],
    ['L', 'labels'],
    ['A', 'add'],
    ['C', 'create a torrent'],
    ['/', 'search'],
  ]
  open('Keys of the list', [el('table', { class: 'keys' }, el('tbody', {}, ...all.map(([key, word]) =>
    el('tr', {}, el('th', { scope: 'row' }, el('kbd', {}, key)), el('td', {}, word)))))], {})
}
