// What the page costs with 50,000 torrents: time to its first rows, frames while it is scrolled,
// memory, and what a hundred changes a second cost. Of a made-up list (tests/page/fake.mjs); what the
// daemon itself costs is not in it.
//   PIGEON_PAGE=target/ci/page node benches/page/bench.mjs [COUNT]

import { readFileSync } from 'node:fs'
import { fake, torrent } from '../../tests/page/fake.mjs'
import { browser } from '../../tests/page/support.mjs'

const count = Number(process.argv[2] ?? 50_000)
const server = await fake(Array.from({ length: count }, (_, nth) => torrent(nth + 1)))
// What the list is made of is not what is measured.
await (await fetch(server.url + 'api/v1/torrents')).arrayBuffer()
const chromium = await browser()
const context = await chromium.newContext({ viewport: { width: 1280, height: 800 } })
const page = await context.newPage()
const protocol = await context.newCDPSession(page)
const say = (what, value) => console.log(what.padEnd(52), value)

// Once before: files of the browser itself are read by then.
await page.goto(server.url)
await page.waitForSelector('#grid-body .row')
await page.goto('about:blank')

await page.addInitScript(() => {
  addEventListener('DOMContentLoaded', () => {
    const look = () => {
      const isThere = document.querySelectorAll('#grid-body .row').length > 10
      // The frame after the one that has them shows them.
      if (isThere) requestAnimationFrame(() => { globalThis.firstRows = performance.now() })
      else requestAnimationFrame(look)
    }
    look()
    const all = () => {
      if (document.querySelector('#count')?.textContent.startsWith(globalThis.wanted)) globalThis.allRows = performance.now()
      else requestAnimationFrame(all)
    }
    all()
  })
})
await page.addInitScript(words => { globalThis.wanted = words }, count.toLocaleString('en') + ' ')
await page.goto(server.url)
await page.waitForFunction(() => globalThis.allRows, undefined, { timeout: 60_000 })
say('first rows are seen after', (await page.evaluate(() => globalThis.firstRows)).toFixed(0) + ' ms')
say(`all ${count} are there after`, (await page.evaluate(() => globalThis.allRows)).toFixed(0) + ' ms')

await protocol.send('HeapProfiler.collectGarbage')
const metrics = async () => Object.fromEntries((await protocol.send('Performance.getMetrics')).metrics.map(it => [it.name, it.value]))
await protocol.send('Performance.enable')
const heap = await metrics()
say('heap of the page', (heap.JSHeapUsedSize / 2 ** 20).toFixed(1) + ' MiB')
const { processInfo } = await (await chromium.newBrowserCDPSession()).send('SystemInfo.getProcessInfo')
const rss = processInfo.filter(it => it.type === 'renderer').map(({ id }) => {
  const text = readFileSync(`/proc/${id}/smaps_rollup`, 'utf8')
  const of = name => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024
  return [of('Private_Dirty') + of('Private_Clean'), of('Rss')]
}).sort((a, b) => b[1] - a[1])[0]
say('memory of its process: its own, with shared parts', rss.map(it => it.toFixed(0) + ' MiB').join(', '))
say('elements in the document', heap.Nodes)

// Ten seconds of scrolling, 300 to 3,000 pixels a frame.
const frames = await page.evaluate(() => new Promise(done => {
  const grid = document.querySelector('#grid')
  const times = []
  const begin = performance.now()
  let before = begin
  const step = now => {
    times.push(now - before)
    before = now
    grid.scrollTop += 300 + (times.length % 10) * 300
    if (now - begin > 10_000) done(times.slice(1))
    else requestAnimationFrame(step)
  }
  requestAnimationFrame(step)
}))
frames.sort((a, b) => a - b)
say('frames a second while scrolled', (1000 / (frames.reduce((sum, it) => sum + it) / frames.length)).toFixed(1))
say('the longest of 99 % of its frames', frames[Math.floor(frames.length * 0.99)].toFixed(1) + ' ms')

// A hundred changes a second, told twice a second, for twenty seconds; sorted by what changes.
for (const [what, prepare] of [
  ['in the order of the queue', () => {}],
  ['sorted by what changes', () => page.click('.c-down button')],
]) {
  await prepare()
  await page.evaluate(() => { document.querySelector('#grid').scrollTop = 0 })
  await new Promise(resolve => setTimeout(resolve, 1000))
  const from = await metrics()
  const began = performance.now()
  for (let turn = 0; turn < 40; turn += 1) {
    server.change(Array.from({ length: 50 }, (_, nth) => torrent(1 + ((turn * 50 + nth) * 613) % count, { down_rate: 1000 * turn + nth })))
    await new Promise(resolve => setTimeout(resolve, 500))
  }
  const to = await metrics()
  const share = (to.TaskDuration - from.TaskDuration) / ((performance.now() - began) / 1000)
  say(`100 changes a second, ${what}`, (share * 100).toFixed(1) + ' % of a core')
}
await protocol.send('HeapProfiler.collectGarbage')
say('heap after that', ((await metrics()).JSHeapUsedSize / 2 ** 20).toFixed(1) + ' MiB')
const search = await page.evaluate(() => new Promise(done => {
  const box = document.querySelector('#search')
  const begin = performance.now()
  box.value = 'part 4242'
  box.dispatchEvent(new Event('input'))
  const look = () => (document.querySelector('#count').textContent.includes(' of ') ? done(performance.now() - begin) : requestAnimationFrame(look))
  look()
}))
say('a search is shown after', search.toFixed(0) + ' ms')
await chromium.close()
server.close()
