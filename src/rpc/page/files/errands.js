// What the daemon does by itself: feeds that it follows, folders that it watches, and who is told
// what happens; how each of them goes.

import { ask, get } from './ask.js'
import { open } from './dialogs.js'
import { clean, el, many, named, span } from './words.js'

/** While it is open it is asked for again, so often in milliseconds. */
const PACE = 3000

/** Counts of which there are any, in words. */
const counts = pairs => pairs.filter(([count]) => count > 0).map(([count, word]) => `${count.toLocaleString('en')} ${word}`)

const card = (name, lines, { trouble, last_refusal: refusal }) => el('li', { class: trouble ? 'in-trouble' : '' },
  el('div', { class: 'name' }, ...name),
  ...lines.map(line => el('p', { class: 'hint' }, line)),
  trouble ? el('p', { class: 'error' }, 'Trouble: ' + clean(trouble)) : null,
  refusal ? el('p', { class: 'refusal' }, 'Refused last: ' + clean(refusal)) : null)

function feed(it, now) {
  const asked = it.asked_at == null ? 'Not asked yet' : `Asked ${span(Math.max(now - it.asked_at, 0))} ago`
  const next = it.next_at == null || it.next_at <= now ? 'now' : 'in ' + span(it.next_at - now)
  const own = counts([[it.added, 'added'], [it.known, 'there before'], [it.failed, 'given up']])
  return card([named(it.name)], [`${asked}, next ${next}`,
    `${many(it.items, 'item')}, ${it.seen.toLocaleString('en')} of them added so far; in this run ${own.join(', ') || 'none'}`], it)
}

function folder(it) {
  const own = counts([[it.added, 'added'], [it.known, 'there before'], [it.refused, 'refused'], [it.waiting, 'not ready yet']])
  return card([named(it.dir)], [own.join(', ') || 'Nothing has come yet'], it)
}

function hook(it) {
  const own = counts([[it.done, 'told'], [it.failed, 'failed'], [it.dropped, 'dropped'], [it.running, 'being told'], [it.waiting, 'waiting']])
  return card([it.on.join(', ') + ': ', named(it.what)], [own.join(', ') || 'Nothing has been told yet'], it)
}

/** Opens the dialog. */
export function errands() {
  const body = el('div', { class: 'errands' }, el('p', { class: 'hint' }, 'Asking…'))
  const said = el('p', { class: 'hint', role: 'status' })
  const look = el('button', { type: 'button', hidden: true }, 'Ask all feeds now')
  let late
  let isOver = false
  const renew = async () => {
    clearTimeout(late)
    try {
      const all = await get('/errands')
      if (isOver) return
      show(all)
      said.textContent = ''
    } catch (error) {
      if (isOver) return
      said.textContent = clean(error.message)
    }
    late = setTimeout(renew, PACE)
  }
  const show = ({ feeds, watches, hooks }) => {
    const now = Math.floor(Date.now() / 1000)
    look.hidden = feeds.length === 0
    const part = (title, all, make) => (all.length === 0 ? null
      : el('section', {}, el('h3', {}, title), el('ul', { class: 'given' }, ...all.map(it => make(it, now)))))
    const parts = [part('Feeds', feeds, feed), part('Folders', watches, folder), part('Hooks', hooks, hook)].filter(it => it)
    if (parts.length === 0) {
      parts.push(el('p', {}, 'Nothing is done by itself: [[feed]], [[watch]] and [[hook]] in the config file say what is to be.'))
    }
    // What has not changed stays, with a text that is chosen in it.
    const made = el('div', { class: 'errands' }, ...parts)
    if (!body.isEqualNode(made)) body.replaceChildren(...parts)
  }
  look.addEventListener('click', async () => {
    try {
      const { note } = await ask('POST', '/errands', { do: 'look' })
      await renew()
      said.textContent = clean(note ?? '')
    } catch (refused) {
      said.textContent = clean(refused.message)
    }
  })
  open('What is done by itself', [body, el('div', { class: 'line' }, look, said)], {
    done: () => {
      isOver = true
      clearTimeout(late)
    },
  })
  renew()
}
