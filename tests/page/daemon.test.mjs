// The page of a daemon: from the door to a download that is complete and gone again.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { POLICY } from './fake.mjs'
import { browser, daemon, driver, endAll, faults, folder, noticed, page, until } from './support.mjs'

// No stranger's name is markup, nor does one turn what stands beside it.
const NAME = "<img src=x onerror=document.title='pwned'>"
const [BIDI, PLAIN, CLEANED] = ['photo\u202Egpj.exe', 'photo___gpj.exe', 'photogpj.exe']

let chromium, seeder, daemons, home, torrent

before(async () => {
  home = folder()
  const data = join(home.path, NAME)
  mkdirSync(join(data, 'inner'), { recursive: true })
  writeFileSync(join(data, PLAIN), Buffer.alloc(300_000, 'b'))
  writeFileSync(join(data, 'inner', 'large.bin'), Buffer.alloc(8 << 20, 'large'))
  writeFileSync(join(data, 'inner', 'unwanted.bin'), Buffer.alloc(1 << 20, 'unwanted'))
  torrent = join(home.path, 'x.torrent')
  await driver('create', data, '-o', torrent, '--piece-length', '64KiB')
  // The driver makes none with such a name; others do.
  const made = readFileSync(torrent)
  made.write(BIDI, made.indexOf(PLAIN))
  writeFileSync(torrent, made)
  ;[chromium, ...daemons] = await Promise.all([browser(), daemon(), daemon()])
  // Whoever has it all, slow enough to be watched however long a step takes; the limit is lifted
  // when nothing depends on it any more.
  seeder = daemons.pop()
  mkdirSync(seeder.data, { recursive: true })
  const copy = join(seeder.data, NAME)
  mkdirSync(join(copy, 'inner'), { recursive: true })
  for (const file of [PLAIN, 'inner/large.bin', 'inner/unwanted.bin']) {
    writeFileSync(join(copy, file.replace(PLAIN, CLEANED)), readFileSync(join(data, file)))
  }
  await seeder.ask('PATCH', '/session', { limit_up: 50_000 })
  await seeder.ask('POST', '/torrents', { torrent: readFileSync(torrent).toString('base64') })
  await until(async () => (await seeder.ask('GET', '/torrents/1')).state === 'seeding', 'it seeds')
})

after(async () => {
  await endAll()
  home?.remove()
})

/** Drops files on the page, as a person does. */
async function drop(page, path, name) {
  const bytes = readFileSync(path).toString('base64')
  const data = await page.evaluateHandle(([bytes, name]) => {
    const data = new DataTransfer()
    data.items.add(new File([Uint8Array.from(atob(bytes), it => it.charCodeAt(0))], name))
    return data
  }, [bytes, name])
  await page.dispatchEvent('body', 'dragover', { dataTransfer: data })
  await page.dispatchEvent('body', 'drop', { dataTransfer: data })
}

test('a torrent from the door to its end', async () => {
  const [daemon] = daemons
  const answer = await fetch(daemon.url)
  assert.equal(answer.headers.get('content-security-policy'), POLICY)
  const { page: it, wrong, close } = await page(chromium, daemon.url)

  // The door.
  await it.waitForSelector('#door:not([hidden])')
  assert.deepEqual(await faults(it), [])
  await it.fill('#token', 'f'.repeat(32))
  await it.keyboard.press('Enter')
  await it.waitForFunction(() => document.querySelector('#sign-in-error').textContent.includes('not the token'))
  await it.fill('#token', daemon.token)
  await it.keyboard.press('Enter')
  await it.waitForSelector('#grid:visible')
  const cookies = await it.context().cookies()
  assert.deepEqual(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite]), [['pigeon', true, 'Strict']])

  // What it holds is seen before it is added.
  await drop(it, torrent, 'x.torrent')
  await it.waitForSelector('.given .tree')
  const given = it.locator('.given')
  assert.match(await given.innerText(), /<img src=x onerror=/)
  assert.match(await given.innerText(), /photo‹U\+202E›gpj\.exe/)
  await it.click('.given summary:has-text("inner/")')
  assert.deepEqual(await faults(it), [])
  await it.uncheck('.given input[aria-label="Want unwanted.bin"]')
  assert.match(await given.innerText(), /2 of 3 files/)
  await it.fill('#field-labels', 'page, test')
  await it.click('dialog button:has-text("Add")')
  const row = it.locator('#grid-body .row:visible')
  await row.waitFor()
  assert.match(await row.locator('.c-name').innerText(), /<img src=x onerror=/)
  assert.equal(await it.locator('img').count(), 0)
  assert.equal(await it.title(), 'Pigeon')
  const known = await daemon.ask('GET', '/torrents/1')
  assert.deepEqual(known.labels, ['page', 'test'])
  const files = await daemon.ask('GET', '/torrents/1/files')
  assert.deepEqual(files.filter(file => !file.wanted).map(file => file.path.split('/').pop()), ['unwanted.bin'])

  // It is watched while it comes, and rests when it is told to.
  const port = (await seeder.ask('GET', '/session')).port
  await daemon.ask('POST', '/torrents/1/deeds', { do: 'add_peer', address: `127.0.0.1:${port}` })
  await it.waitForFunction(() => {
    const share = parseFloat(document.querySelector('#grid-body .c-progress').textContent)
    return share > 0 && share < 100
  })
  await row.click()
  await it.focus('#grid')
  await it.keyboard.press('Enter')
  await it.waitForSelector('.map')
  await it.waitForFunction(() => /peers have all that is missing/.test(document.querySelector('.map').getAttribute('aria-label')))
  const pieces = await daemon.ask('GET', '/torrents/1/pieces')
  assert.deepEqual(new Set(Buffer.from(pieces.copies, 'base64')), new Set([1]))
  assert.deepEqual(await faults(it), [])
  await it.click('#actions button:has-text("Pause")')
  await it.waitForFunction(() => document.querySelector('#grid-body .c-state').textContent === 'Paused')
  assert.equal((await daemon.ask('GET', '/torrents/1')).paused, true)
  await it.click('#actions button:has-text("Resume")')
  await it.click('#tab-files')
  await it.click('.panel summary:has-text("inner/")')
  await it.selectOption('select[aria-label="Priority of large.bin"]', 'high')
  const large = async () => (await daemon.ask('GET', '/torrents/1/files')).find(file => file.path.endsWith('large.bin'))
  await until(async () => (await large()).priority === 'high', 'it is urgent')
  // Whoever adds it once more is told.
  await it.keyboard.press('Escape')
  await it.focus('#grid')
  await it.keyboard.press('a')
  await it.fill('#field-links', known.hash)
  await it.click('dialog button:has-text("Add")')
  await noticed(it, 'there already')
  await row.click()
  await it.focus('#grid')
  await it.keyboard.press('Enter')
  await it.waitForSelector('#tab-files')
  // To the end.
  await seeder.ask('PATCH', '/session', { limit_up: 0 })
  await it.waitForFunction(() => document.querySelector('#grid-body .c-state').textContent === 'Seeding')
  assert.match(await row.locator('.c-progress').innerText(), /100\.0 %/)
  await noticed(it, 'is complete')
  for (const tab of ['peers', 'trackers', 'log', 'rules']) {
    await it.click('#tab-' + tab)
    await it.waitForFunction(() => !/Asking/.test(document.querySelector('.panel').textContent))
    assert.deepEqual(await faults(it), [], tab)
  }
  await it.click('#tab-log')
  await it.waitForFunction(() => /complete/.test(document.querySelector('.panel').textContent))

  // With its files it goes.
  const there = join(daemon.data, NAME, 'inner', 'large.bin')
  assert.deepEqual(readFileSync(there), Buffer.alloc(8 << 20, 'large'))
  await it.click('#actions button:has-text("Remove…")')
  assert.match(await it.locator('dialog').innerText(), /<img src=x/)
  await it.check('dialog input[name=data]')
  await it.click('dialog button.danger')
  await row.waitFor({ state: 'detached' }).catch(() => row.waitFor({ state: 'hidden' }))
  await until(() => !existsSync(there), 'the files are gone')
  assert.deepEqual((await daemon.ask('GET', '/torrents')).torrents, [])
  assert.equal(await it.locator('#one:visible').count(), 0)

  // Who signs out is out.
  await it.click('#sign-out')
  await it.waitForSelector('#door:not([hidden])')
  await it.reload()
  await it.waitForSelector('#door:not([hidden])')
  assert.deepEqual(await it.context().cookies(), [])
  assert.deepEqual(wrong, [])
  await close()
})

test('links are added, and what cannot be is told', async () => {
  const [daemon] = daemons
  const { page: it, wrong, close } = await page(chromium, daemon.url)
  await it.fill('#token', daemon.token)
  await it.keyboard.press('Enter')
  await it.click('#open-add')
  await it.fill('#field-links', `magnet:?xt=urn:btih:${'ab'.repeat(20)}&dn=one\nfile:///etc/passwd\n${'cd'.repeat(20)}`)
  await it.uncheck('dialog input[name=start]')
  await it.click('dialog button:has-text("Add")')
  await it.waitForFunction(() => /file:\/\/\/etc\/passwd: it is no magnet/.test(document.querySelector('dialog .error').textContent))
  assert.equal(await it.inputValue('#field-links'), 'file:///etc/passwd')
  await it.setInputFiles('#field-files', { name: 'bad.torrent', mimeType: 'x', buffer: Buffer.from('d4:infod99999999:') })
  await it.waitForFunction(() => /this is no .torrent/.test(document.querySelector('.given').textContent))
  await it.keyboard.press('Escape')
  await until(async () => (await daemon.ask('GET', '/torrents')).torrents.length === 2, 'two links')
  await it.waitForFunction(() => document.querySelectorAll('#grid-body .row:not([hidden])').length === 2)
  for (const { id } of (await daemon.ask('GET', '/torrents')).torrents) await daemon.ask('DELETE', `/torrents/${id}`)
  await it.waitForFunction(() => document.querySelectorAll('#grid-body .row:not([hidden])').length === 0)
  // Settings, and what is fixed.
  await it.click('#open-settings')
  await it.fill('#field-limit_down', '2MiB')
  assert.match(await it.locator('dialog .fixed').innerText(), /Directory/)
  assert.deepEqual(await faults(it), [])
  await it.click('dialog button:has-text("Save")')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.equal((await daemon.ask('GET', '/session')).limits.down, 2 << 20)
  await it.click('#open-disks')
  await it.waitForFunction(() => /free of/.test(document.querySelector('dialog').textContent))
  assert.deepEqual(await faults(it), [])
  assert.deepEqual(wrong, [])
  await close()
})

test('a torrent is made of what lies there, saved and seeded', async () => {
  const [daemon] = daemons
  const { page: it, wrong, close } = await page(chromium, daemon.url, { viewport: { width: 360, height: 740 } })
  await it.fill('#token', daemon.token)
  await it.keyboard.press('Enter')
  await it.waitForSelector('#grid:visible')
  const dir = join(daemon.data, 'own words')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'one.txt'), Buffer.alloc(100_000, 'one'))
  symlinkSync('/etc/passwd', join(dir, 'out'))
  await it.click('#open-create')
  await it.waitForSelector('dialog[open]')
  assert.equal(await it.inputValue('#field-path'), daemon.data + '/')
  assert.equal(await it.evaluate(() => document.activeElement.id), 'field-path')
  await it.click('dialog summary')
  assert.deepEqual(await faults(it), [])
  const isWide = () => it.evaluate(() => {
    const dialog = document.querySelector('dialog')
    return dialog.scrollWidth > dialog.clientWidth || document.documentElement.scrollWidth > innerWidth
  })
  assert.equal(await isWide(), false)
  const said = words => it.waitForFunction(words => document.querySelector('dialog form > .error').textContent.includes(words), words)
  // What may not be read is told in a line.
  await it.fill('#field-path', '/etc/passwd')
  await it.click('dialog button.primary')
  await said('/etc/passwd is outside of what may be written to')
  await it.fill('#field-path', dir)
  await it.fill('#field-trackers', 'http://127.0.0.1:9/a\nhttp://127.0.0.1:9/b\n\nudp://127.0.0.1:9')
  await it.fill('#field-name', 'others')
  await it.click('dialog button.primary')
  await said('only a torrent that is called own words can be seeded')
  await it.fill('#field-name', '')
  await it.fill('#field-comment', 'made <b>here</b>')
  await it.selectOption('#field-length', String(16384))
  await it.selectOption('#field-format', 'hybrid')
  await it.fill('#field-labels', 'own')
  await it.check('dialog input[name=private]')
  await it.click('dialog button.primary')
  await it.waitForSelector('dialog .given a[download]')
  await it.waitForFunction(() => document.querySelector('dialog [role=status]').textContent === 'own words is made')
  assert.equal(await it.locator('dialog form > .error').innerText(), '')
  assert.match(await it.locator('dialog .given').innerText(), /seeded\s+left out: .*out \(a symbolic link\)/)
  assert.deepEqual(await faults(it), [])
  assert.equal(await isWide(), false)
  const [download] = await Promise.all([it.waitForEvent('download'), it.click('dialog .given a[download]')])
  assert.equal(download.suggestedFilename(), 'own words.torrent')
  const saved = join(home.path, 'saved.torrent')
  await download.saveAs(saved)
  const told = JSON.parse(await driver('info', '--json', saved))
  assert.deepEqual(told.trackers, [['http://127.0.0.1:9/a', 'http://127.0.0.1:9/b'], ['udp://127.0.0.1:9']])
  assert.deepEqual([told.name, told.comment, told.private, told.piece_length], ['own words', 'made <b>here</b>', true, 16384])
  assert.match(await it.getAttribute('dialog .given a[href^=magnet]', 'href'), new RegExp(told.info_hash_v1))
  const [torrent] = await until(async () => {
    const { torrents } = await daemon.ask('GET', '/torrents')
    return torrents.some(it => it.state === 'seeding') && torrents
  }, 'it seeds')
  assert.deepEqual([torrent.name, torrent.labels], ['own words', ['own']])
  assert.equal((await daemon.ask('GET', '/creations')).length, 1)
  await it.click('dialog .given button[aria-label="Forget it"]')
  await it.waitForSelector('dialog .given li', { state: 'detached' })
  assert.deepEqual(await daemon.ask('GET', '/creations'), [])
  await it.keyboard.press('Escape')
  await it.waitForSelector('dialog', { state: 'detached' })
  assert.match(await it.locator('#grid-body .row:visible').innerText(), /own words/)
  await daemon.ask('DELETE', `/torrents/${torrent.id}`)
  assert.deepEqual(wrong, [])
  await close()
})
