// Rates of the last ten minutes and six hours, as long as the page is open, of the torrents that
// have moved something lately.

/** Points of a curve. */
const POINTS = 300
/** Seconds between two of them. */
export const STEPS = { short: 2, long: 72 }
/** Torrents that curves are kept of: 5 KiB each. */
const KEPT_MAX = 400
/** Seconds that one keeps its place after it has moved something. */
const REST = 60

/** Means of what was noted, in a ring. */
class Curve {
  down = new Float32Array(POINTS).fill(NaN)
  up = new Float32Array(POINTS).fill(NaN)
  last = null

  constructor(step) {
    this.step = step
  }

  note(at, down, up) {
    const slot = Math.floor(at / this.step)
    if (this.last !== null) {
      // What is not told has not changed.
      const gap = Math.min(slot - this.last, POINTS)
      for (let nth = 0; nth < gap; nth += 1) {
        const place = (slot - nth) % POINTS
        this.down[place] = nth === 0 ? down : this.before[0]
        this.up[place] = nth === 0 ? up : this.before[1]
      }
    }
    this.down[slot % POINTS] = down
    this.up[slot % POINTS] = up
    this.before = [down, up]
    this.last = slot
  }

  /** The points, oldest first; NaN where nothing is known. */
  points(now) {
    if (this.last !== null) this.note(now, ...this.before)
    const slot = Math.floor(now / this.step)
    const order = ring => Array.from({ length: POINTS }, (_, nth) => ring[(slot + 1 + nth) % POINTS])
    return { down: order(this.down), up: order(this.up) }
  }
}

class History {
  short = new Curve(STEPS.short)
  long = new Curve(STEPS.long)

  note(at, down, up) {
    this.isMoving = down > 0 || up > 0
    if (this.isMoving) this.movedAt = at
    this.short.note(at, down, up)
    this.long.note(at, down, up)
  }
}

export const seconds = () => performance.now() / 1000 + 1e6

/** Histories by the numbers of torrents, those first that have rested for the longest time. */
export class Histories {
  /** The number of the one that is looked at: it always has a place. */
  open = null
  /** Those of all together. */
  all = new History()
  #kept = new Map()

  note(row) {
    const isMoving = row.down > 0 || row.up > 0
    const now = seconds()
    let history = this.#kept.get(row.id)
    if (history === undefined) {
      if (!isMoving || !this.#makeRoom(row.id, now)) return
      history = new History()
      this.#kept.set(row.id, history)
    } else if (isMoving) {
      this.#kept.delete(row.id)
      this.#kept.set(row.id, history)
    }
    history.note(now, row.down, row.up)
  }

  // Where more move than there are places, those stay who are there: curves that begin again and
  // again say nothing.
  #makeRoom(id, now) {
    if (this.#kept.size < KEPT_MAX) return true
    const mustGo = id === this.open
    for (const [other, history] of this.#kept) {
      if (other === this.open) continue
      if (mustGo) return this.#kept.delete(other)
      if (now - history.movedAt < REST) return false
      if (!history.isMoving) return this.#kept.delete(other)
    }
    return false
  }

  of(id) {
    return this.#kept.get(id) ?? new History()
  }

  forget(id) {
    this.#kept.delete(id)
  }
}
