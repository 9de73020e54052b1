// What the tests of the page share: Debian's Chromium, daemons of their own, and axe. playwright-core
// and axe-core are where npm put them: the folder that PIGEON_PAGE names.

import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const require = createRequire(resolve(process.env.PIGEON_PAGE ?? 'target/ci/page') + '/')
const { chromium } = require('playwright-core')
const AXE = require.resolve('axe-core/axe.min.js')
export const DRIVER = resolve(process.env.PIGEON_DRIVER ?? 'target/debug/driver')
/** Longer than anything takes that works. */
export const PATIENCE = 60_000

/** How everything ends that was started here. */
const ends = []

/** Ends all browsers and daemons, also those that have only begun when something else failed. */
export async function endAll() {
  await Promise.allSettled(ends.splice(0).map(end => end()))
}

// So a file of tests is ended that takes too long.
process.once('SIGTERM', () => endAll().finally(() => process.exit(1)))

export function browser() {
  const launched = chromium.launch({
    executablePath: process.env.PIGEON_CHROMIUM ?? '/usr/bin/chromium',
    // Its own sandbox needs what containers have not; what it shows is ours.
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  })
  ends.push(async () => (await launched).close())
  return launched
}

/** A page, and what went wrong in it: words on its console, and requests to anywhere else. */
export async function page(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  context.setDefaultTimeout(PATIENCE)
  const page = await context.newPage()
  const wrong = []
  page.on('pageerror', error => wrong.push(String(error)))
  page.on('console', message => {
    // A refusal is no fault of the page: it is told in words.
    const isRefusal = /status of 40[0139]/.test(message.text())
    if (['error', 'warning'].includes(message.type()) && !isRefusal) wrong.push(message.text())
  })
  page.on('request', request => {
    const its = new URL(request.url())
    if (its.protocol !== 'data:' && its.origin !== new URL(url).origin) wrong.push(request.url())
  })
  // Notices go after a while, and later ones take the place of earlier ones: all are noted down.
  await page.addInitScript(() => {
    globalThis.notices = []
    const note = records => globalThis.notices.push(...records.flatMap(it => [...it.addedNodes].map(node => node.textContent)))
    addEventListener('DOMContentLoaded', () => {
      new MutationObserver(note).observe(document.querySelector('#notice'), { childList: true })
    })
  })
  await page.goto(url)
  return { page, wrong, close: () => context.close() }
}

/** Waits for a notice with these words; earlier ones count. */
export const noticed = (page, words) =>
  page.waitForFunction(words => globalThis.notices.some(it => it.includes(words)), words)

/** What axe finds that is serious or worse. */
export async function faults(page) {
  await page.evaluate(readFileSync(AXE, 'utf8'))
  const found = await page.evaluate(() => globalThis.axe.run())
  const grave = found.violations.filter(it => ['serious', 'critical'].includes(it.impact))
  return grave.map(it => `${it.id}: ${it.help}: ${it.nodes.map(node => node.html).join(' ')}`)
}

const run = promisify(execFile)
const quiet = { ...process.env, DRIVER_NO_LSD: '1', DRIVER_NO_DHT: '1', DRIVER_NO_PORTMAP: '1' }

/** What a run of the driver says. */
export const driver = async (...args) => (await run(DRIVER, args, { env: quiet })).stdout

/** A folder that is gone when all is over. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'pigeon-page-'))
  const remove = () => rmSync(path, { recursive: true, force: true })
  process.once('exit', remove)
  return { path, remove }
}

/** A daemon with a home of its own, on ports that are free. */
export async function daemon() {
  const home = folder()
  const at = name => join(home.path, name)
  const env = { ...quiet, HOME: home.path, XDG_STATE_HOME: at('state'), XDG_CONFIG_HOME: at('config') }
  const child = spawn(DRIVER, ['daemon', '--http', '127.0.0.1:0', '--no-config', '--port', '0',
    '--socket', at('socket'), '--token-file', at('token'), '--dir', at('data')], { env })
  const gone = new Promise(resolve => child.once('exit', resolve).once('error', resolve))
  const end = async () => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
    await gone
    clearTimeout(late)
    home.remove()
  }
  ends.push(end)
  let said = ''
  let late
  const url = await new Promise((found, failed) => {
    late = setTimeout(() => failed(new Error('the daemon does not start: ' + said)), PATIENCE)
    const hear = data => {
      said += data
      const told = /Asked at (http:\/\/[^/\s]*)\//.exec(said)
      if (told !== null) found(told[1])
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', failed)
    child.on('exit', () => failed(new Error('the daemon has ended: ' + said)))
  }).finally(() => clearTimeout(late))
  const token = readFileSync(at('token'), 'utf8').trim()
  return {
    url: url + '/',
    token,
    data: at('data'),
    /** What the API answers to who shows the token. */
    async ask(method, path, body) {
      const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' }
      const answer = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) })
      const value = await answer.json()
      if (!answer.ok) throw new Error(`${path}: ${value.error}`)
      return value
    },
    end,
  }
}

/** Waits until `is` gives something. */
export async function until(is, what) {
  const end = Date.now() + PATIENCE
  for (;;) {
    const found = await is()
    if (found) return found
    if (Date.now() > end) throw new Error('it does not come about: ' + what)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
