// Makes the pictures of the README, of a list that is made up:
//   PIGEON_PAGE=target/ci/page node tests/page/pictures.mjs

import { fileURLToPath } from 'node:url'
import { fake, torrent } from './fake.mjs'
import { browser, page } from './support.mjs'

const file = name => fileURLToPath(new URL(name, import.meta.url))
const chromium = await browser()
const server = await fake(Array.from({ length: 240 }, (_, nth) => torrent(nth + 1)))
for (const [name, options] of [
  ['one.png', { colorScheme: 'light', viewport: { width: 1180, height: 760 } }],
  ['dark.png', { colorScheme: 'dark', viewport: { width: 1180, height: 420 } }],
]) {
  const { page: it, wrong, close } = await page(chromium, server.url, { ...options, reducedMotion: 'reduce' })
  // Its clock runs sixty times as fast, so that ten minutes of rates are there in ten seconds.
  await it.addInitScript(() => {
    const now = performance.now.bind(performance)
    performance.now = () => now() * 60
  })
  await it.reload()
  await it.waitForSelector('#grid-body .row')
  await it.waitForFunction(() => document.querySelector('#by-state').options.length > 1)
  if (name === 'one.png') {
    await it.click('#grid-body .row >> nth=2')
    await it.focus('#grid')
    await it.keyboard.press('Enter')
    await it.waitForSelector('.map')
    for (let step = 0; step < 100; step += 1) {
      const wave = 1 + Math.sin(step / 9) / 3 + Math.sin(step / 2.3) / 12
      server.change([torrent(3, { down_rate: Math.round(2_400_000 * wave * Math.min(step / 15, 1)), up_rate: Math.round(500_000 * (1 + Math.cos(step / 14) / 2)) })])
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  } else {
    for (const at of [1, 2, 3]) await it.click(`#grid-body .row >> nth=${at}`, { modifiers: ['Control'] })
  }
  await it.evaluate(() => document.activeElement.blur())
  await it.screenshot({ path: file(name) })
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
  await close()
}
await chromium.close()
server.close()
