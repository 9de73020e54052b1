// What goes wrong: lists that break off, answers that are late or do not come, files that are made
// to be too much, and people who do something else meanwhile. Of `fake.mjs`, which does as it is told.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fake, torrent } from './fake.mjs'
import { browser, endAll, faults, noticed, page, until } from './support.mjs'

let chromium

before(async () => {
  chromium = await browser()
})

after(endAll)

const counted = (it, words) => it.waitForFunction(words => document.querySelector('#count').textContent === words, words)
const rest = duration_ms => new Promise(resolve => setTimeout(resolve, duration_ms))

/** A page of this many torrents; everything ends with the test. */
async function opened(t, count, options) {
  const server = await fake(Array.from({ length: count }, (_, nth) => torrent(nth + 1)))
  t.after(() => server.close())
  options?.before?.(server)
  const made = await page(chromium, server.url, options?.page)
  t.after(made.close)
  return { server, it: made.page, wrong: made.wrong }
}

/** Opens the first torrent closely. */
async function close1(it) {
  await it.focus('#grid')
  await it.keyboard.press('Home')
  await it.keyboard.press('Enter')
  await it.waitForSelector('.map')
}

test('a list that breaks off is asked for again, and nothing is missing', async t => {
  const { server, it } = await opened(t, 1000, { before: server => { server.state.breaks = 2 } })
  await it.waitForSelector('#house:visible')
  await it.waitForSelector('body.lost')
  assert.equal(await it.locator('#door:visible').count(), 0)
  await counted(it, '1,000 torrents')
  await it.waitForSelector('body:not(.lost)')
  assert.equal(server.state.breaks, 0)
  await until(() => server.readers.size === 1, 'it listens')
  assert.equal(server.state.isEarly, false, 'it listens with holes in its list')
})

test('a daemon that does not answer at first is asked again', async t => {
  const { server, it } = await opened(t, 3, { before: server => { server.state.ended = 2 } })
  await it.waitForFunction(() => document.querySelector('#sign-in-error').textContent === 'the session has ended; it is asked again')
  await it.waitForSelector('#house:visible')
  await counted(it, '3 torrents')
  assert.equal(server.state.ended, 0)
  assert.equal(await it.locator('#door:visible').count(), 0)
})

test('what is open and chosen stays when all is told anew, as long as it is there', async t => {
  const { server, it, wrong } = await opened(t, 20)
  await counted(it, '20 torrents')
  await until(() => server.readers.size === 1, 'it listens')
  await close1(it)
  await it.click('#grid-body .row >> nth=3', { modifiers: ['Control'] })
  const chosen = () => it.locator('#grid-body .row[aria-selected=true]:visible .c-name').allInnerTexts()
  assert.deepEqual((await chosen()).sort(), [torrent(1).name, torrent(4).name].sort())
  // One is gone, one is new, and one has changed.
  const all = [1, 2, 4, 5, 30].map(id => torrent(id, id === 1 ? { state: 'paused', paused: true } : {}))
  server.replace(all)
  await counted(it, '5 torrents')
  await it.waitForFunction(() => document.querySelector('#one .hint').textContent.startsWith('Paused'))
  assert.equal(await it.locator('#one h2').innerText(), torrent(1).name)
  assert.deepEqual((await chosen()).sort(), [torrent(1).name, torrent(4).name].sort())
  // The totals are those of who is there.
  const down = all.reduce((sum, it) => sum + it.down_rate, 0)
  server.replace(all)
  const shown = await it.evaluate(async down => (await import('/page/words.js')).rate(down), down)
  await it.waitForFunction(words => document.querySelector('#totals').textContent.startsWith('Down ' + words), shown || '0 B/s')
  // Another daemon has another torrent of that number.
  server.replace([torrent(1, { hash: 'f'.repeat(40), name: 'another one' }), torrent(4)])
  await counted(it, '2 torrents')
  assert.equal(await it.locator('#one:visible').count(), 0)
  assert.deepEqual(await chosen(), [torrent(4).name])
  assert.deepEqual(wrong, [])
})

test('what is filtered by stays, whatever becomes of the list', async t => {
  const { server, it, wrong } = await opened(t, 16)
  await counted(it, '16 torrents')
  await it.waitForFunction(() => document.querySelector('#by-state').options.length > 1)
  await it.selectOption('#by-state', 'checking')
  await it.selectOption('#by-label', 'maps')
  await counted(it, '2 of 16 torrents')
  await it.focus('#grid')
  server.change([7, 15].map(id => torrent(id, { state: 'seeding', labels: [] })))
  await counted(it, '0 of 16 torrents')
  await it.waitForFunction(() => /\(0\)/.test(document.querySelector('#by-state').selectedOptions[0].textContent))
  server.change([3, 11].map(id => torrent(id, { labels: [] })))
  await it.waitForFunction(() => /maps \(0\)/.test(document.querySelector('#by-label').selectedOptions[0].textContent))
  await it.keyboard.press('Control+a')
  await it.keyboard.press('Delete')
  assert.equal(await it.locator('dialog').count(), 0)
  assert.equal(await it.inputValue('#by-state'), 'checking')
  await counted(it, '0 of 16 torrents')
  // Those in trouble are as many as are counted.
  await it.selectOption('#by-label', '')
  server.change([torrent(1, { state: 'disk_trouble' }), torrent(2, { trouble: 'full' }), torrent(4, { state: 'failed' })])
  await it.waitForFunction(() => [...document.querySelector('#by-state').options].some(it => it.textContent === 'In trouble (3)'))
  await it.selectOption('#by-state', '!')
  await counted(it, '3 of 16 torrents')
  assert.deepEqual(wrong, [])
})

test('rows that are not seen have no number', async t => {
  const { it } = await opened(t, 200)
  await counted(it, '200 torrents')
  for (const top of [900, 5000, 0, 6466, 2000]) {
    await it.evaluate(top => { document.querySelector('#grid').scrollTop = top }, top)
    await it.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))))
    const ids = await it.locator('#grid-body .row[id]').evaluateAll(rows => rows.map(it => it.id))
    assert.equal(new Set(ids).size, ids.length)
    assert.equal(await it.locator('#grid-body .row[hidden][id]').count(), 0)
  }
})

test('answers that are late are shown, and those that fail are asked for again', async t => {
  const { server, it, wrong } = await opened(t, 3)
  await counted(it, '3 torrents')
  await close1(it)
  await it.click('#tab-files')
  await it.waitForSelector('.panel .tree')
  server.state.fails = 'files'
  server.change([torrent(1)])
  await it.waitForFunction(() => /cannot be read/.test(document.querySelector('.panel').textContent))
  server.state.fails = null
  server.change([torrent(1)])
  await it.waitForSelector('.panel .tree')
  // Later than it is asked, while it changes all the time.
  server.state.waits = 5000
  const busy = setInterval(() => server.change([torrent(1)]), 300)
  t.after(() => clearInterval(busy))
  await it.click('#tab-peers')
  await it.waitForSelector('.panel table')
  server.state.waits = 0
  await it.click('#tab-overview')
  await it.waitForSelector('.map')
  // Pieces may be many: they are not asked for each time.
  server.gets.length = 0
  const began = Date.now()
  await until(() => server.gets.filter(part => part === 'why').length === 3, 'it is asked again')
  const most = 1 + (Date.now() - began) / 10_000
  assert.ok(server.gets.filter(part => part === 'pieces').length <= most, server.gets.join())
  // Nor are they drawn when a pointer goes over the rates.
  clearInterval(busy)
  await rest(2500)
  const drawn = await it.evaluate(async () => {
    const [plot, map] = ['.plot', '.map'].map(name => document.querySelector(name))
    const count = { plot: 0, map: 0 }
    for (const [name, canvas] of Object.entries({ plot, map })) {
      const { getContext } = canvas
      canvas.getContext = (...all) => {
        count[name] += 1
        return getContext.apply(canvas, all)
      }
    }
    for (let turn = 0; turn < 5; turn += 1) plot.dispatchEvent(new PointerEvent('pointermove'))
    return count
  })
  assert.deepEqual(drawn, { plot: 5, map: 0 })
  assert.deepEqual(wrong, [])
})

test('tables change line by line: focus, a chosen text and scrolling stay', async t => {
  const { server, it, wrong } = await opened(t, 3, { page: { viewport: { width: 900, height: 600 } } })
  await counted(it, '3 torrents')
  await close1(it)
  await it.click('#tab-peers')
  await it.waitForSelector('.panel table')
  await it.focus('.panel .wide')
  await it.evaluate(() => {
    const wide = document.querySelector('.panel .wide')
    wide.scrollLeft = 40
    globalThis.was = wide
    getSelection().selectAllChildren(wide.querySelectorAll('tbody tr')[2].cells[0])
  })
  const rate = () => it.locator('.panel tbody tr >> nth=0').locator('td >> nth=3').innerText()
  const first = await rate()
  server.change([torrent(1)])
  await until(async () => await rate() !== first, 'the rate changes')
  const now = await it.evaluate(() => [document.activeElement === globalThis.was, globalThis.was.scrollLeft, String(getSelection())])
  assert.deepEqual(now, [true, 40, '203.0.113.3:51413'])
  assert.deepEqual(wrong, [])
})

test('who types goes on typing when what is open goes', async t => {
  const { server, it, wrong } = await opened(t, 3)
  await counted(it, '3 torrents')
  await close1(it)
  await it.focus('#search')
  await it.keyboard.type('par')
  server.change([], [1])
  await it.waitForSelector('#one', { state: 'hidden' })
  await it.keyboard.type('t')
  assert.equal(await it.inputValue('#search'), 'part')
  assert.deepEqual(wrong, [])
})

test('nothing is asked while nobody looks, and all when somebody does again', async t => {
  const { server, it, wrong } = await opened(t, 3)
  await counted(it, '3 torrents')
  await close1(it)
  const look = isHidden => it.evaluate(isHidden => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, isHidden)
  await look(true)
  server.gets.length = 0
  server.change([torrent(1)])
  await rest(3000)
  assert.deepEqual(server.gets, [])
  await look(false)
  await until(() => server.gets.includes('why'), 'it is asked again')
  assert.deepEqual(wrong, [])
})

test('a file with too many folders is refused in words, and others are added', async t => {
  const { server, it, wrong } = await opened(t, 1)
  await counted(it, '1 torrent')
  const made = path => Buffer.from(`d4:infod5:filesld6:lengthi9e4:pathl${path}eee4:name1:d12:piece lengthi16384e6:pieces0:ee`)
  const files = {
    list: '1:a'.repeat(1_000_000),
    strokes: `8000000:${'a/'.repeat(4_000_000)}`,
    good: `${'1:a'.repeat(99)}4:last`,
  }
  await it.click('#open-add')
  for (const [name, path] of Object.entries(files)) {
    await it.setInputFiles('#field-files', { name, mimeType: 'x', buffer: made(path) })
    await it.waitForFunction(name => [...document.querySelectorAll('.given li')].some(it => it.textContent.startsWith(name)), name === 'good' ? 'd' : name)
  }
  assert.match(await it.locator('.given > li >> nth=0').innerText(), /too deep or too many/)
  assert.match(await it.locator('.given > li >> nth=1').innerText(), /too deep or too many/)
  await it.click('.given input[aria-label="Want a"]')
  await it.click('.given input[aria-label="Want a"]')
  await it.click('dialog button.primary')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.deepEqual(server.asked.map(it => Buffer.from(it.body.torrent, 'base64').equals(made(files.good))), [true])
  assert.deepEqual(wrong, [])
})

test('what is dropped while others are sent waits, and a text dropped into a field is the field\'s', async t => {
  const { server, it, wrong } = await opened(t, 1)
  await counted(it, '1 torrent')
  const drop = (where, kind, value) => it.evaluate(([where, kind, value]) => {
    const dataTransfer = new DataTransfer()
    if (kind === 'text') dataTransfer.setData('text', value)
    else dataTransfer.items.add(new File([value], 'x.torrent'))
    const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true })
    document.querySelector(where).dispatchEvent(event)
    return event.defaultPrevented
  }, [where, kind, value])
  assert.equal(await drop('#search', 'text', 'words'), false)
  assert.equal(await it.locator('dialog').count(), 0)
  const made = name => `d4:infod6:lengthi9e4:name${name.length}:${name}12:piece lengthi16384e6:pieces0:ee`
  assert.equal(await drop('#grid', 'file', made('first')), true)
  await it.waitForFunction(() => /first/.test(document.querySelector('.given')?.textContent))
  // The answer comes when the second is there.
  let go
  await it.route('**/api/v1/torrents', async route => {
    await new Promise(resolve => { go = resolve })
    await route.continue()
  })
  await it.click('dialog button.primary')
  await until(() => go, 'the first is sent')
  await drop('#house', 'file', made('second'))
  await drop('#house', 'text', 'magnet:?xt=urn:btih:' + 'ab'.repeat(20))
  await it.waitForFunction(() => /second/.test(document.querySelector('.given').textContent))
  go()
  await it.waitForFunction(() => /not added yet/.test(document.querySelector('dialog .error').textContent))
  await it.unroute('**/api/v1/torrents')
  assert.doesNotMatch(await it.locator('.given').innerText(), /first/)
  assert.match(await it.inputValue('#field-links'), /^magnet:/)
  assert.equal(server.asked.length, 1)
  await it.click('dialog button.primary')
  await it.waitForSelector('dialog', { state: 'detached' })
  const names = server.asked.map(it => it.body.link?.slice(0, 7) ?? /name\d+:(first|second)/.exec(Buffer.from(it.body.torrent, 'base64'))[1])
  assert.deepEqual(names, ['first', 'second', 'magnet:'])
  assert.deepEqual(wrong, [])
})

test('rates are kept of those that moved last, and of the one that is open', async t => {
  const { it, wrong } = await opened(t, 1)
  const seen = await it.evaluate(async () => {
    const { Histories } = await import('/page/history.js')
    let now = 0
    performance.now = () => now * 1000
    const kept = new Histories()
    const note = (id, down) => kept.note({ id, down, up: 0 })
    const have = (...ids) => ids.filter(id => kept.of(id) === kept.of(id)).join()
    const seen = []
    for (let id = 1; id <= 400; id += 1) note(id, 1000)
    // All of them move: who is there stays, but for who is looked at.
    now = 100
    note(401, 1000)
    seen.push(have(1, 400, 401))
    kept.open = 402
    note(402, 1000)
    seen.push(have(1, 2, 402))
    // Who has rested for a minute makes room, the first first, and who is looked at does not.
    for (const id of [402, 3, 2]) note(id, 0)
    now = 200
    note(4, 1000)
    note(4, 0)
    note(403, 1000)
    seen.push(have(2, 3, 4, 402, 403))
    note(404, 1000)
    note(405, 1000)
    seen.push(have(2, 3, 4, 402, 403, 404, 405))
    kept.open = null
    note(405, 1000)
    seen.push(have(4, 402, 405))
    return seen
  })
  assert.deepEqual(seen, ['1,400', '2,402', '3,4,402,403', '4,402,403,404', '4,405'])
  assert.deepEqual(wrong, [])
})

test('labels that only some have stay theirs, and capitals are the same keys', async t => {
  const { server, it, wrong } = await opened(t, 7)
  await counted(it, '7 torrents')
  server.change([torrent(1, { labels: ['both', 'one'] }), torrent(2, { labels: ['two', 'both'] })])
  await it.waitForFunction(() => document.querySelector('#by-label option[value=both]'))
  await it.focus('#grid')
  await it.keyboard.press('Home')
  await it.keyboard.press('Shift+ArrowDown')
  await it.evaluate(() => document.querySelector('#grid').dispatchEvent(new KeyboardEvent('keydown', { key: 'L' })))
  await it.waitForSelector('dialog[open]')
  assert.equal(await it.inputValue('#field-labels'), 'both')
  assert.match(await it.locator('dialog').innerText(), /only some of them have, stay/)
  await it.fill('#field-labels', 'new')
  await it.keyboard.press('Enter')
  await it.waitForSelector('dialog', { state: 'detached' })
  await until(() => server.asked.length === 2, 'both are labelled')
  assert.deepEqual(server.asked.map(it => it.body.labels).sort(), [['new', 'one'], ['new', 'two']])
  assert.deepEqual(wrong, [])
})

test('a narrow page has nothing behind one torrent that is reached by keys', async t => {
  const { it, wrong } = await opened(t, 3, { page: { viewport: { width: 400, height: 700 } } })
  await counted(it, '3 torrents')
  await it.click('#grid-body .row >> nth=0')
  await it.waitForSelector('.map')
  for (let turn = 0; turn < 20; turn += 1) {
    await it.keyboard.press('Tab')
    const where = await it.evaluate(() => document.activeElement.closest('#one, body').id || document.activeElement.tagName)
    assert.ok(['one', 'BODY'].includes(where), where)
  }
  assert.deepEqual(await faults(it), [])
  await it.click('.one-head button')
  assert.equal(await it.evaluate(() => document.activeElement.id), 'grid')
  assert.deepEqual(wrong, [])
})

test('who is out hears that nothing was done', async t => {
  const { server, it } = await opened(t, 3)
  await counted(it, '3 torrents')
  await it.focus('#grid')
  await it.keyboard.press('Control+a')
  server.state.isOut = true
  await it.keyboard.press('p')
  await noticed(it, 'show the token')
  const said = await it.evaluate(() => globalThis.notices)
  assert.ok(!said.some(it => /3 torrents/.test(it)), said.join())
})

test('a disk that does not answer is told with what waits for it', async t => {
  const { server, it, wrong } = await opened(t, 12, { page: { viewport: { width: 360, height: 740 } } })
  await counted(it, '12 torrents')
  server.state.silent = '/srv/media'
  const trouble = '/srv/media has not answered for 1m 30s: it goes on by itself when it does'
  server.change([1, 3, 5, 7, 9, 11].map(id => torrent(id, { state: 'disk_trouble', trouble })))
  await it.waitForFunction(() => /6 troubles/.test(document.querySelector('#totals').textContent))
  await it.click('#open-disks')
  await it.waitForSelector('dialog .why')
  const [media, data] = await it.locator('dialog .disks > li').allInnerTexts()
  assert.match(media, /^\/srv\/media 6 torrents does not answer/)
  assert.ok(media.includes(trouble), media)
  assert.match(media, /Of 6 torrents:\s+lecture 1901, part 1\n/)
  assert.match(media, /and 1 more$/)
  assert.match(data, /^\/srv\/data 6 torrents 279.4 GiB free of 931.3 GiB/)
  assert.deepEqual(await faults(it), [])
  assert.ok(await it.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  // One that nothing is known of is busy, or hangs.
  await it.keyboard.press('Escape')
  server.change([1, 3, 5, 7, 9, 11].map(id => torrent(id)))
  await it.waitForFunction(() => !/trouble/.test(document.querySelector('#totals').textContent))
  await it.click('#open-disks')
  await it.waitForFunction(() => /does not answer within four seconds/.test(document.querySelector('dialog').textContent))
  assert.deepEqual(wrong, [])
})
