/**
 * The last 15 minutes, kept in this tab's session storage so that a reload does not lose them.
 *
 * Kept are: the readings of the last minute, from which the next point is computed; the points of
 * the charts; and a snapshot of the llms' counters every half minute, for the table.
 */

import { point } from "./figures.js";

export const KEPT_MS = 15 * 60_000;
export const RATE_MS = 10_000;
export const SPAN_MS = 60_000;
const SNAPSHOT_MS = 30_000;
const STORED_AS = "tristar.history.1";

export class History {
  constructor(storage, now) {
    this.readings = [];
    this.points = [];
    this.snapshots = [];
    this.storage = storage;
    this.#restore(now);
  }

  /** Take in one reading. */
  add(reading) {
    if (reading.at <= (this.readings.at(-1)?.at ?? -Infinity)) this.clear(); // the clock was set back
    const { at, startedAt, totals, gauges } = reading;
    this.readings = [...this.readings.filter((each) => each.at >= at - SPAN_MS), { at, startedAt, totals, gauges }];
    this.points = [...this.points.filter((each) => each.at >= at - KEPT_MS), point(this.readings, RATE_MS, SPAN_MS)];
    if (at - (this.snapshots.at(-1)?.at ?? -Infinity) >= SNAPSHOT_MS) this.snapshots.push({ at, llms: reading.llms });
    this.snapshots = this.snapshots.filter((each) => each.at >= at - KEPT_MS);
  }

  /** The llms' counters over the last 15 minutes, up to this reading. */
  llmsUpTo(reading) {
    return [...this.snapshots.map((each) => each.llms), reading.llms];
  }

  /** When the llms' counters begin to be compared, in ms since the epoch. */
  get since() {
    return this.snapshots[0]?.at ?? null;
  }

  /** Write it to the storage; one that is full or off costs the history, not the page. */
  save() {
    try {
      const { readings, points, snapshots } = this;
      this.storage.setItem(STORED_AS, JSON.stringify({ readings, points, snapshots }));
    } catch {
      this.storage = { setItem() {} };
    }
  }

  /** Forget everything, in the storage too. */
  clear() {
    this.readings = [];
    this.points = [];
    this.snapshots = [];
    this.storage.removeItem?.(STORED_AS);
  }

  #restore(now) {
    try {
      const kept = JSON.parse(this.storage.getItem(STORED_AS));
      const fresh = (list) => list.filter((each) => each.at > now - KEPT_MS && each.at <= now);
      this.readings = fresh(kept.readings);
      this.points = fresh(kept.points);
      this.snapshots = fresh(kept.snapshots);
    } catch {
      this.clear();
    }
  }
}
