// Flood in front of the daemon, clicked through in Chromium: DIALECT MODULES ADDRESS TOKEN HOME. Flood
// is among MODULES, playwright-core in the folder that PIGEON_PAGE names. Prints a line for each thing
// that was done by a click, shown by Flood, and told by the daemon.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'

const [, , dialect, modules, address, token, home] = process.argv
const { chromium } = createRequire(resolve(process.env.PIGEON_PAGE ?? 'target/ci/page') + '/')('playwright-core')
/** Longer than anything takes that works, and than all of it. */
const [PATIENCE, ALL] = [60_000, 240_000]
const LINK = 'magnet:?xt=urn:btih:' + 'ab'.repeat(20) + '&dn=sought'

const ends = []
async function end(code) {
  await Promise.race([
    Promise.allSettled(ends.splice(0).map(end => end())),
    new Promise(resolve => setTimeout(resolve, 10_000)),
  ])
  process.exit(code)
}
const fail = error => {
  console.error(error)
  void end(1)
}
setTimeout(() => fail(`it takes longer than ${ALL} ms`), ALL).unref()
process.once('SIGTERM', () => fail('it is ended from outside'))

/** A port that is free. */
const port = await new Promise((found, failed) => {
  const server = createServer().on('error', failed)
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => found(port))
  })
})

/** Flood, which asks the daemon in this dialect, from when it can be asked itself. */
function flood() {
  const url = `http://${address}`
  const daemon = {
    transmission: ['--trurl', url + '/transmission/rpc', '--truser', 'me', '--trpass', token],
    qbittorrent: ['--qburl', url, '--qbuser', 'me', '--qbpass', token],
  }[dialect]
  const program = join(modules, 'node_modules/flood/dist/index.js')
  const words = ['--auth', 'none', '--host', '127.0.0.1', '--port', port, '--rundir', join(home, 'flood'), ...daemon]
  const child = spawn(process.execPath, [program, ...words], { env: { PATH: process.env.PATH, HOME: home } })
  ends.push(async () => child.kill('SIGKILL'))
  let said = ''
  return new Promise((found, failed) => {
    const hear = data => {
      said += data
      if (said.includes('Flood server listening')) found()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', failed).once('exit', () => failed(new Error('Flood has ended: ' + said)))
  })
}

/** What the API of the daemon tells of its torrents, by their names. */
async function told() {
  const answer = await fetch(`http://${address}/api/v1/torrents`, { headers: { authorization: 'Bearer ' + token } })
  assert.equal(answer.status, 200)
  return Object.fromEntries((await answer.json()).torrents.map(it => [it.name, it]))
}

/** Waits until `is` gives something. */
async function until(is, what) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const found = await is()
    if (found) return found
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error(`it does not come about: ${what}: ${JSON.stringify(await told())}`)
}

async function clicks() {
  await flood()
  const browser = await chromium.launch({
    executablePath: process.env.PIGEON_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
  ends.push(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  page.setDefaultTimeout(PATIENCE)
  const wrong = []
  page.on('pageerror', error => wrong.push(String(error)))
  page.on('response', answer => {
    if (answer.status() >= 400) wrong.push(`${answer.status()} ${answer.url()}`)
  })
  await page.goto(`http://127.0.0.1:${port}/`)

  const row = name => page.locator(`.torrent[data-torrent-name="${name}"]`)
  /** Waits until a row says that its torrent is so. */
  const shows = (name, word) => row(name).and(page.locator(`[data-torrent-status*="${word}"]`)).waitFor()
  const act = label => page.click(`[aria-label="${label} Torrent"]`)
  const check = async (name, is) => {
    const box = page.locator(`.modal input[name=${name}]`)
    if ((await box.isChecked()) !== is) await page.click(`.modal label:has(input[name=${name}])`)
    assert.equal(await box.isChecked(), is)
  }
  const send = async () => {
    await page.click('.modal button[type=submit]')
    await page.locator('.modal').waitFor({ state: 'detached' })
  }
  const add = async (tab, starts, fill) => {
    await act('Add')
    await page.click(`.modal button:text-is("${tab}")`)
    await fill()
    await page.waitForFunction(dir => document.querySelector('.modal input[name=destination]').value === dir, join(home, 'out'))
    await check('start', starts)
    await send()
  }
  const addFile = (name, starts) => add('By File', starts, () => page.setInputFiles('.modal input[type=file]', join(home, name)))
  const choose = async name => {
    await row(name).click()
    await page.locator(`.torrent[data-torrent-name="${name}"][data-is-selected=true]`).waitFor()
  }
  const remove = async (name, data) => {
    await choose(name)
    await act('Remove')
    await check('deleteData', data)
    await send()
    await row(name).waitFor({ state: 'detached' })
    await until(async () => !(name in (await told())), `${name} is gone`)
  }

  await addFile('film.torrent', true)
  await shows('film', 'seeding')
  await until(async () => (await told()).film.state === 'seeding', 'film seeds')
  console.log('what is here is added and seeds')
  assert.match(await row('film').innerText(), /341\s*kB/)
  console.log('its size is listed')

  await addFile('extra.torrent', false)
  await shows('extra', 'stopped')
  assert.equal((await told()).extra.paused, true)
  console.log('a torrent is added that is not to start')
  await choose('extra')
  await act('Start')
  await shows('extra', 'downloading')
  await until(async () => (await told()).extra.state === 'downloading', 'extra runs')
  console.log('it starts')

  await add('By URL', true, () => page.fill('.modal input[name=urls-0]', LINK))
  await row('sought').waitFor()
  await until(async () => (await told()).sought.state === 'seeking', 'it is sought')
  console.log('a link is added and sought')

  await choose('film')
  await act('Stop')
  await shows('film', 'stopped')
  await until(async () => (await told()).film.paused, 'film rests')
  console.log('a torrent stops')

  await remove('sought', false)
  console.log('a link is removed')
  await remove('extra', false)
  console.log('a torrent is removed')
  const file = join(home, 'out/film/a.bin')
  assert.ok(existsSync(file))
  await remove('film', true)
  await until(() => !existsSync(file), 'its files are gone')
  console.log('a torrent is removed with its files')
  assert.deepEqual(wrong, [])
  console.log('nothing went wrong meanwhile')
}

clicks().then(() => end(0), fail)
