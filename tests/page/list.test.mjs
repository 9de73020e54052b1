// Long lists, keys, and how it looks: of a server that answers a part of the API (`fake.mjs`), since
// no daemon is to hold ten thousand torrents for that.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fake, torrent } from './fake.mjs'
import { browser, endAll, faults, noticed, page, until } from './support.mjs'

let chromium, server
const COUNT = 10_000
const TORRENT = Buffer.from(`d4:infod5:filesld6:lengthi9e4:pathl1:a60:${'long '.repeat(12)}eee4:name3:dir12:piece lengthi16384e6:pieces0:ee`)

before(async () => {
  chromium = await browser()
  const all = Array.from({ length: COUNT }, (_, nth) => torrent(nth + 1))
  all[4999] = torrent(5000, { name: '<b>needle</b> \u202Eltr', labels: ['<i>'], trouble: 'the disk is full' })
  server = await fake(all)
})

after(async () => {
  await endAll()
  server?.close()
})

const names = it => it.locator('#grid-body .row:visible .c-name').allInnerTexts()
const counted = (it, words) => it.waitForFunction(words => document.querySelector('#count').textContent === words, words)
const opened = async options => {
  const made = await page(chromium, server.url, options)
  await counted(made.page, '10,000 torrents')
  return made
}

test('ten thousand are searched, filtered and sorted, and few are in the document', async () => {
  const { page: it, wrong, close } = await opened()
  assert.ok(await it.locator('#grid-body .row').count() < 80)
  assert.equal(await it.getAttribute('#grid', 'aria-rowcount'), '10001')
  await it.fill('#search', 'needle')
  await counted(it, '1 of 10,000 torrents')
  assert.deepEqual(await names(it), ['<b>needle</b> ‹U+202E›ltr'])
  assert.equal(await it.locator('#grid-body b').count(), 0)
  await it.fill('#search', 'Part 77')
  const found = [...server.rows.values()].filter(row => row.name.includes('77'))
  await counted(it, `${found.length} of 10,000 torrents`)
  await it.fill('#search', '')
  await it.selectOption('#by-state', 'paused')
  await counted(it, '1,250 of 10,000 torrents')
  await it.selectOption('#by-label', 'linux')
  await counted(it, '0 of 10,000 torrents')
  await it.selectOption('#by-label', '')
  await it.selectOption('#by-state', '!')
  await counted(it, '1 of 10,000 torrents')
  await it.selectOption('#by-state', '')
  await it.selectOption('#by-tracker', 'udp.example.net')
  await counted(it, '4,000 of 10,000 torrents')
  await it.selectOption('#by-tracker', '')
  await it.click('.c-down button')
  assert.equal(await it.getAttribute('.c-down[role=columnheader]', 'aria-sort'), 'descending')
  const most = [...server.rows.values()].sort((a, b) => b.down_rate - a.down_rate || b.id - a.id)
  await it.waitForFunction(name => document.querySelector('#grid-body [aria-rowindex="2"] .c-name')?.textContent === name, most[0].name)

  // What changes moves to its place, and what is new comes in at its own.
  server.change([torrent(42, { down_rate: 90_000_000 }), torrent(20_000, { name: 'new', down_rate: 80_000_000 })], [43])
  await counted(it, '10,000 torrents')
  const first = it.locator('#grid-body [aria-rowindex="2"]')
  await it.waitForFunction(name => document.querySelector('#grid-body [aria-rowindex="2"] .c-name')?.textContent === name, torrent(42).name)
  assert.match(await first.innerText(), /85\.8 MiB\/s/)
  assert.equal(await it.locator('#grid-body [aria-rowindex="3"] .c-name').innerText(), 'new')
  server.change([torrent(42)], [20_000])
  server.change([torrent(43)])
  await counted(it, '10,000 torrents')

  // The last one is there when it is scrolled to.
  await it.focus('#grid')
  await it.keyboard.press('End')
  await it.waitForSelector('#grid-body [aria-rowindex="10001"]')
  assert.ok(await it.locator('#grid-body .row').count() < 80)
  assert.deepEqual(await faults(it), [])
  assert.deepEqual(wrong, [])
  await close()
})

test('torrents are found by what their files are called, too', async t => {
  const few = await fake(Array.from({ length: 40 }, (_, nth) => torrent(nth + 1)))
  t.after(() => few.close())
  const { page: it, wrong, close } = await page(chromium, few.url)
  await counted(it, '40 torrents')
  await it.locator('#search').pressSequentially('finale.fl')
  await counted(it, '4 of 40 torrents')
  assert.deepEqual(await names(it), [10, 20, 30, 40].map(id => torrent(id).name))
  assert.ok(few.sought.every(words => words.length >= 3))
  assert.equal(few.sought.at(-1), 'finale.fl')
  // Those of such a name are there as well, and others go with the words.
  few.change([torrent(7, { name: 'the finale.fl' }), torrent(10, { state: 'paused' })])
  await counted(it, '5 of 40 torrents')
  const count = few.sought.length
  await it.fill('#search', 'fi')
  await counted(it, '5 of 40 torrents')
  await until(() => it.evaluate(() => new Promise(resolve => setTimeout(() => resolve(true), 600))), 'it rests')
  assert.equal(few.sought.length, count)
  few.change([torrent(7)])
  await it.fill('#search', 'nothing is called so')
  await counted(it, '0 of 40 torrents')
  await it.fill('#search', '')
  await counted(it, '40 torrents')
  assert.deepEqual(wrong, [])
  await close()
})

test('with keys alone', async () => {
  const { page: it, wrong, close } = await opened()
  const chosen = () => it.locator('#grid-body .row[aria-selected=true]').count()
  const active = () => it.evaluate(() => document.getElementById(document.querySelector('#grid').getAttribute('aria-activedescendant'))?.querySelector('.c-name').textContent)
  const key = (...keys) => keys.reduce((before, key) => before.then(() => it.keyboard.press(key)), Promise.resolve())
  const is = (read, wanted) => it.waitForFunction(() => true).then(async () => {
    for (let turn = 0; turn < 200 && await read() !== wanted; turn += 1) await it.evaluate(() => new Promise(requestAnimationFrame))
    assert.equal(await read(), wanted)
  })
  await is(() => it.evaluate(() => document.activeElement.id), 'grid')
  await key('ArrowDown', 'ArrowDown', 'ArrowDown')
  await is(active, torrent(3).name)
  await is(chosen, 1)
  await key('Shift+ArrowDown', 'Shift+ArrowDown')
  await is(chosen, 3)
  await key('Control+ArrowDown', 'Control+ArrowDown', ' ')
  await is(active, torrent(7).name)
  await is(chosen, 4)
  server.asked.length = 0
  await key('p')
  await noticed(it, '4 torrents: paused')
  assert.deepEqual(server.asked.map(it => [it.path, it.body]), [3, 4, 5, 7].map(id => [`/api/v1/torrents/${id}/deeds`, { do: 'pause' }]))
  await key('Delete')
  await it.waitForSelector('dialog[open]')
  assert.deepEqual(await faults(it), [])
  await key('Escape')
  await it.waitForSelector('dialog', { state: 'detached' })
  await is(() => it.evaluate(() => document.activeElement.id), 'grid')
  await key('Delete', 'Tab', 'Tab', 'Tab')
  server.asked.length = 0
  await it.locator('dialog input[name=data]').focus()
  await key(' ', 'Enter')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.deepEqual(server.asked.map(it => it.method + ' ' + it.path).sort(), [3, 4, 5, 7].map(id => `DELETE /api/v1/torrents/${id}?data=true`))
  await key('Control+a')
  await it.waitForFunction(() => /10,000 chosen/.test(document.querySelector('#actions').textContent))
  await key('Escape')
  await is(chosen, 0)
  // One closely, its tabs, and back.
  await key('Home', 'Enter')
  await it.waitForSelector('.map')
  await it.focus('#tab-overview')
  await key('ArrowRight')
  await is(() => it.evaluate(() => document.activeElement.id), 'tab-files')
  await it.waitForSelector('.panel .tree')
  await key('Escape')
  await is(() => it.locator('#one:visible').count(), 0)
  await is(() => it.evaluate(() => document.activeElement.id), 'grid')
  // Keys of its head are those of buttons.
  await it.locator('.c-size button').focus()
  await key('Enter', 'p', 'a')
  await is(() => it.getAttribute('.c-size[role=columnheader]', 'aria-sort'), 'descending')
  assert.equal(await it.locator('#one:visible, dialog').count(), 0)
  await it.focus('#grid')
  await key('/')
  await is(() => it.evaluate(() => document.activeElement.id), 'search')
  // Letters are letters there.
  await key('p', 'a')
  assert.equal(await it.inputValue('#search'), 'pa')
  assert.equal(await it.locator('dialog').count(), 0)
  // Whatever is gone to shows that it is.
  for (let turn = 0; turn < 12; turn += 1) {
    await key('Tab')
    const outline = await it.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
    assert.notEqual(outline, 'none', await it.evaluate(() => document.activeElement.outerHTML))
  }
  assert.deepEqual(wrong, [])
  await close()
})

test('in the dark, without motion, and at every width', async () => {
  const dark = await opened({ colorScheme: 'dark', reducedMotion: 'reduce' })
  assert.equal(await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(20, 23, 26)')
  assert.equal(await dark.page.evaluate(() => getComputedStyle(document.querySelector('.bar i')).transitionDuration), '0s')
  assert.deepEqual(await faults(dark.page), [])
  await dark.page.click('#grid-body .row >> nth=3')
  await dark.page.focus('#grid')
  await dark.page.keyboard.press('Enter')
  await dark.page.waitForSelector('.map')
  assert.deepEqual(await faults(dark.page), [])
  await dark.close()
  for (const width of [360, 768, 1024, 2560]) {
    const { page: it, wrong, close } = await opened({ viewport: { width, height: 740 } })
    const fits = () => it.evaluate(() => document.documentElement.scrollWidth <= innerWidth)
    assert.ok(await fits(), `${width}`)
    await it.click('#grid-body .row >> nth=3')
    await it.focus('#grid')
    await it.keyboard.press('Enter')
    await it.waitForSelector('.map')
    assert.ok(await fits(), `${width}`)
    assert.deepEqual(await faults(it), [], `${width}`)
    await it.click('.one-head button')
    await it.click('#open-add')
    await it.waitForSelector('dialog[open]')
    await it.setInputFiles('#field-files', { name: 'x', mimeType: 'x', buffer: TORRENT })
    await it.waitForSelector('.given .tree')
    const isWide = () => it.evaluate(() => {
      const dialog = document.querySelector('dialog')
      return dialog.scrollWidth > dialog.clientWidth
    })
    assert.equal(await isWide(), false, `${width}`)
    assert.deepEqual(await faults(it), [], `${width}`)
    assert.deepEqual(wrong, [])
    await close()
  }
})

test('two million pieces are counted and drawn', async t => {
  const many = await fake([torrent(1)], { pieces: 2_000_003 })
  t.after(() => many.close())
  const { page: it, wrong, close } = await page(chromium, many.url)
  await it.waitForSelector('#grid-body .row')
  await it.focus('#grid')
  await it.keyboard.press('Home')
  await it.keyboard.press('Enter')
  await it.waitForFunction(() => /of 2,000,003 pieces here/.test(document.querySelector('.map')?.getAttribute('aria-label')))
  const told = await (await fetch(many.url + 'api/v1/torrents/1/pieces')).json()
  const [have, copies] = [told.have, told.copies].map(it => Buffer.from(it, 'base64'))
  const pieces = Array.from({ length: told.pieces }, (_, at) => [have[at >> 3] >> (7 - (at % 8)) & 1, copies[at]])
  const here = pieces.filter(([is]) => is).length
  const rare = pieces.filter(([is, count]) => !is && count === 0).length
  const said = await it.getAttribute('.map', 'aria-label')
  assert.ok(said.startsWith(`${here.toLocaleString('en')} of 2,000,003 pieces here`), said)
  assert.ok(said.endsWith(`${rare.toLocaleString('en')} pieces that no connected peer has`), said)
  const drawn = await it.evaluate(() => {
    const map = document.querySelector('.map')
    const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height)
    const isHere = at => data[at] === 11 && data[at + 1] === 95 && data[at + 2] === 191
    let count = 0
    for (let at = 0; at < data.length; at += 4) count += isHere(at)
    return count / (map.width * map.height)
  })
  // Two thirds are here, and squares have gaps.
  assert.ok(drawn > 0.4 && drawn < 0.65, `${drawn}`)
  assert.deepEqual(wrong, [])
  await close()
})

test('a stream that breaks is taken up again, and who is out stands at the door', async t => {
  const few = await fake([torrent(1), torrent(2)])
  t.after(() => few.close())
  const { page: it, close } = await page(chromium, few.url)
  await counted(it, '2 torrents')
  await until(() => few.readers.size === 1, 'it listens')
  const totals = words => it.waitForFunction(words => document.querySelector('#totals').textContent.startsWith(words), words)
  await totals('Down ')
  few.cut()
  await it.waitForSelector('body.lost')
  await totals('The daemon does not answer')
  await until(() => few.readers.size === 1, 'it listens again')
  await it.waitForSelector('body:not(.lost)')
  await totals('Down ')
  few.change([torrent(3)])
  await counted(it, '3 torrents')
  few.cut(true)
  await it.waitForSelector('#door:not([hidden])')
  assert.equal(await it.locator('#house:visible').count(), 0)
  await close()
})

test('rates of all together are drawn while they change', async t => {
  const few = await fake([torrent(1, { state: 'downloading', down_rate: 1000, up_rate: 0 }), torrent(2, { down_rate: 0, up_rate: 300 })])
  t.after(() => few.close())
  const { page: it, wrong, close } = await page(chromium, few.url, { viewport: { width: 360, height: 740 } })
  await counted(it, '2 torrents')
  await until(() => few.readers.size === 1, 'it listens')
  await it.click('#open-rates')
  const label = words => it.waitForFunction(words => document.querySelector('dialog .plot').getAttribute('aria-label') === words, words)
  await label('Rates: down 1000 B/s, up 300 B/s now')
  few.change([torrent(1, { state: 'downloading', down_rate: 3 << 20, up_rate: 0 })])
  await label('Rates: down 3.0 MiB/s, up 300 B/s now')
  // The curve of what came is drawn, and told under the pointer.
  const drawn = () => it.evaluate(() => {
    const plot = document.querySelector('dialog .plot')
    // Chromium warns of those that read a picture again and again, but for such a copy.
    const pen = Object.assign(document.createElement('canvas'), { width: plot.width, height: plot.height })
      .getContext('2d', { willReadFrequently: true })
    pen.drawImage(plot, 0, 0)
    const { data } = pen.getImageData(0, 0, plot.width, plot.height)
    let count = 0
    for (let at = 0; at < data.length; at += 4) count += data[at] === 11 && data[at + 1] === 95 && data[at + 2] === 191
    return count
  })
  await until(async () => await drawn() > 5, 'it is drawn')
  const { x, y, width, height } = await it.locator('dialog .plot').boundingBox()
  await it.mouse.move(x + width - 8, y + height / 2)
  await it.waitForFunction(() => /0 s ago: down 3\.0 MiB\/s, up 300 B\/s/.test(document.querySelector('dialog').textContent))
  await it.selectOption('dialog select', 'long')
  assert.deepEqual(await faults(it), [])
  assert.ok(await it.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  await it.keyboard.press('Escape')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.deepEqual(wrong, [])
  await close()
})

test('what is done by itself is told, and feeds are asked when somebody wants it', async t => {
  const few = await fake([torrent(1)])
  t.after(() => few.close())
  const { page: it, wrong, close } = await page(chromium, few.url, { viewport: { width: 360, height: 740 } })
  await counted(it, '1 torrent')
  await it.click('#open-errands')
  await it.waitForFunction(() => /Nothing is done by itself/.test(document.querySelector('dialog').textContent))
  assert.equal(await it.locator('dialog button:has-text("Ask all feeds now"):visible').count(), 0)
  const now = Math.floor(Date.now() / 1000)
  const feed = {
    name: 'isos <b>', asked_at: now - 1000, next_at: now + 900, trouble: null, items: 50, seen: 7, added: 2, known: 0, failed: 1,
    last_refusal: 'a\u202Eb: what is there is no torrent',
  }
  few.state.errands = {
    feeds: [feed, { ...feed, name: 'silent', asked_at: null, next_at: now, trouble: 'no answer within 30 s', last_refusal: null }],
    watches: [{ dir: '/srv/drop', added: 3, known: 1, refused: 0, waiting: 2, trouble: 'it is gone', last_refusal: null }],
    hooks: [{ on: ['done', 'error'], what: '/bin/tell', done: 0, failed: 0, dropped: 0, running: 2, waiting: 0, trouble: null }],
  }
  await it.waitForSelector('dialog .given li')
  const told = await it.locator('dialog .given > li').allInnerTexts()
  assert.equal(told.length, 4)
  assert.match(told[0], /^isos <b>\s+Asked 16m \d+s ago, next in 1[45]m/)
  assert.match(told[0], /50 items, 7 of them added so far; in this run 2 added, 1 given up/)
  assert.match(told[0], /Refused last: a‹U\+202E›b: what is there is no torrent/)
  assert.match(told[1], /Not asked yet, next now[^]*Trouble: no answer within 30 s/)
  assert.match(told[2], /^\/srv\/drop\s+3 added, 1 there before, 2 not ready yet\s+Trouble: it is gone/)
  assert.match(told[3], /^done, error: \/bin\/tell\s+2 being told/)
  assert.deepEqual(await faults(it), [])
  assert.ok(await it.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  few.asked.length = 0
  await it.click('dialog button:has-text("Ask all feeds now")')
  await until(() => few.asked.length === 1, 'they are asked')
  assert.deepEqual(few.asked, [{ method: 'POST', path: '/api/v1/errands', body: { do: 'look' } }])
  await it.keyboard.press('Escape')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.deepEqual(wrong, [])
  await close()
})
