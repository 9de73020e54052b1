// Pictures: rates over time, and pieces. Both say the same in words, for those who see neither.

import { STEPS, seconds } from './history.js'
import { bytes, el, many, percent } from './words.js'

/** A colour of the style sheet. */
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** A canvas of as many points as the screen has; what draws on it, and its size. */
function sized(canvas) {
  const ratio = devicePixelRatio || 1
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)]
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high })
  const pen = canvas.getContext('2d')
  pen.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen.clearRect(0, 0, width, height)
  return { pen, width, height }
}

const ROOM = { left: 78, bottom: 18, top: 8 }

/** Draws rates; `points` as a history has them, `step` seconds apart. */
function drawRates(canvas, { down, up }, step, hover) {
  const { pen, width, height } = sized(canvas)
  if (width === 0) return ''
  const most = Math.max(...down.filter(it => it >= 0), ...up.filter(it => it >= 0), 1024)
  const top = 2 ** Math.ceil(Math.log2(most))
  const x = nth => ROOM.left + (nth / (down.length - 1)) * (width - ROOM.left - 8)
  const y = value => ROOM.top + (1 - value / top) * (height - ROOM.top - ROOM.bottom)
  pen.font = '12px system-ui, sans-serif'
  pen.strokeStyle = colour('--line')
  pen.fillStyle = colour('--quiet')
  pen.textBaseline = 'middle'
  for (const share of [0, 0.5, 1]) {
    pen.textAlign = 'right'
    pen.fillText(bytes(top * share) + '/s', ROOM.left - 6, y(top * share))
    pen.beginPath()
    pen.moveTo(ROOM.left, y(top * share))
    pen.lineTo(width - 8, y(top * share))
    pen.stroke()
  }
  const whole = step * down.length
  pen.textAlign = 'left'
  pen.fillText(whole > 3600 ? `${whole / 3600} h ago` : `${whole / 60} min ago`, ROOM.left, height - 8)
  pen.textAlign = 'right'
  pen.fillText('now', width - 8, height - 8)
  for (const [points, name, dash] of [[down, '--accent', []], [up, '--good', [5, 3]]]) {
    pen.strokeStyle = colour(name)
    pen.lineWidth = 2
    pen.setLineDash(dash)
    pen.beginPath()
    let isUp = true
    points.forEach((value, nth) => {
      if (Number.isNaN(value)) isUp = true
      else if (isUp) { pen.moveTo(x(nth), y(value)); isUp = false }
      else pen.lineTo(x(nth), y(value))
    })
    pen.stroke()
  }
  pen.setLineDash([])
  pen.lineWidth = 1
  if (hover == null) return ''
  const at = Math.round(((hover - ROOM.left) / (width - ROOM.left - 8)) * (down.length - 1))
  if (!(at >= 0 && at < down.length) || Number.isNaN(down[at])) return ''
  pen.strokeStyle = colour('--quiet')
  pen.beginPath()
  pen.moveTo(x(at), ROOM.top)
  pen.lineTo(x(at), height - ROOM.bottom)
  pen.stroke()
  const ago = (down.length - 1 - at) * step
  return `${ago < 120 ? ago + ' s' : Math.round(ago / 60) + ' min'} ago: down ${bytes(down[at])}/s, up ${bytes(up[at])}/s`
}

/** What a colour means. */
export const key = (name, word) => el('span', {}, el('i', { class: 'q-' + name }), word)

/**
 * Rates over time, with how far they reach back, and what is under the pointer. `of` gives the
 * history and what is so now; `span` is how far, of which `chosen` is told.
 */
export class Rates {
  #hover = null

  constructor({ of, span = 'short', chosen }) {
    Object.assign(this, { of, span })
    this.canvas = el('canvas', { role: 'img', class: 'plot', 'aria-label': 'Rates over time' })
    this.said = el('p', { class: 'hint' })
    this.canvas.addEventListener('pointermove', event => {
      this.#hover = event.offsetX
      this.draw()
    })
    this.canvas.addEventListener('pointerleave', () => {
      this.#hover = null
      this.draw()
    })
    const box = el('select', { 'aria-label': 'How long' },
      el('option', { value: 'short' }, '10 minutes'), el('option', { value: 'long' }, '6 hours'))
    box.value = span
    box.addEventListener('change', () => {
      this.span = box.value
      chosen?.(box.value)
      this.draw()
    })
    const legend = el('span', { class: 'legend' }, key('down', 'down (line)'), key('up', 'up (dashes)'))
    this.parts = [el('div', { class: 'line' }, box, legend), this.canvas, this.said]
  }

  draw() {
    const { history, down, up } = this.of()
    this.said.textContent = drawRates(this.canvas, history[this.span].points(seconds()), STEPS[this.span], this.#hover)
    this.canvas.setAttribute('aria-label', `Rates: down ${bytes(down)}/s, up ${bytes(up)}/s now`)
  }
}

/** Bytes of base64. */
export function unpacked(text) {
  const found = atob(text)
  const all = new Uint8Array(found.length)
  for (let at = 0; at < found.length; at += 1) all[at] = found.charCodeAt(at)
  return all
}

const isHere = (have, piece) => (have[piece >> 3] >> (7 - (piece & 7))) & 1

/** How many bits are set in each byte. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1
  return count
})

/** How many of the pieces from `begin` to `end` are here. */
export function countHere(have, begin, end) {
  let count = 0
  while (begin < end && begin % 8 !== 0) count += isHere(have, begin++)
  for (; begin + 8 <= end; begin += 8) count += ONES[have[begin >> 3]]
  while (begin < end) count += isHere(have, begin++)
  return count
}

/** The side of a square, and the gap beside it. */
const [SIDE, GAP] = [7, 1]

/** A map of pieces: squares, each of one piece or of several in a row. */
export class PieceMap {
  constructor(canvas) {
    this.canvas = canvas
  }

  take({ pieces, have, copies }) {
    this.pieces = pieces
    this.have = unpacked(have)
    this.copies = copies == null ? null : unpacked(copies)
    this.draw()
  }

  draw() {
    if (!this.have) return
    const { pen, width, height } = sized(this.canvas)
    if (width === 0 || this.pieces === 0) return
    this.columns = Math.max(Math.floor(width / (SIDE + GAP)), 1)
    const lines = Math.max(Math.floor(height / (SIDE + GAP)), 1)
    this.each = Math.max(Math.ceil(this.pieces / (this.columns * lines)), 1)
    const [here, lacks, rare] = [colour('--accent'), colour('--lacks'), colour('--bad')]
    const cells = Math.ceil(this.pieces / this.each)
    for (let cell = 0; cell < cells; cell += 1) {
      const [begin, end] = this.range(cell)
      const share = countHere(this.have, begin, end) / (end - begin)
      const x = (cell % this.columns) * (SIDE + GAP)
      const y = Math.floor(cell / this.columns) * (SIDE + GAP)
      pen.fillStyle = lacks
      pen.fillRect(x, y, SIDE, SIDE)
      if (share > 0) {
        pen.fillStyle = here
        // A part is never nothing, nor the whole.
        const high = share === 1 ? SIDE : Math.min(Math.max(Math.round(share * SIDE), 1), SIDE - 1)
        pen.fillRect(x, y + SIDE - high, SIDE, high)
      }
      if (share < 1 && this.copies && this.fewest(begin, end) === 0) {
        pen.fillStyle = rare
        pen.fillRect(x, y, SIDE, 2)
      }
    }
  }

  range(cell) {
    return [cell * this.each, Math.min((cell + 1) * this.each, this.pieces)]
  }

  /** Copies of the rarest one of those that are missing. */
  fewest(begin, end) {
    let least = 255
    for (let piece = begin; piece < end; piece += 1) {
      if (this.copies[piece] < least && !isHere(this.have, piece)) least = this.copies[piece]
    }
    return least
  }

  /** In words. */
  said() {
    const here = countHere(this.have, 0, this.pieces)
    const words = [`${here.toLocaleString('en')} of ${many(this.pieces, 'piece')} here (${percent(this.pieces ? here / this.pieces : 0)})`]
    if (this.each > 1) words.push(`${this.each} pieces a square`)
    if (this.copies && here < this.pieces) {
      let nobody = 0
      for (let piece = 0; piece < this.pieces; piece += 1) {
        if (this.copies[piece] === 0 && !isHere(this.have, piece)) nobody += 1
      }
      words.push(nobody === 0 ? 'peers have all that is missing' : `${many(nobody, 'piece')} that no connected peer has`)
    }
    return words.join('; ')
  }

  /** What is under the pointer. */
  at(x, y) {
    if (!this.have || !this.each) return ''
    const column = Math.floor(x / (SIDE + GAP))
    const cell = Math.floor(y / (SIDE + GAP)) * this.columns + column
    const [begin, end] = this.range(cell)
    if (column >= this.columns || begin >= this.pieces) return ''
    const here = countHere(this.have, begin, end)
    const which = end - begin === 1 ? `piece ${begin}: ${here ? 'here' : 'missing'}`
      : `pieces ${begin} to ${end - 1}: ${here} here`
    return this.copies && here < end - begin ? `${which}, ${many(this.fewest(begin, end), 'peer has', 'peers have')} the rarest` : which
  }
}
