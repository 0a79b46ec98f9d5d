// SPDX-License-Identifier: GPL-3.0-or-later
// What the page has seen of each pool in the last minutes, also across restarts of the server.

const SAMPLES = 300;
const INTERVAL_MS = 1000;
const EVENTS_LIMIT = 300;

class PoolHistory {
  constructor() {
    this.samples = []; // {time, restarted, stats, health, rates}, oldest first
    this.events = []; // newest first
  }

  add(time, instance, pool) {
    const last = this.samples[this.samples.length - 1];
    const restarted = last !== undefined && last.instance !== instance;
    const sample = { time, instance, restarted, stats: pool.stats, health: pool.health };
    sample.rates = last && !restarted ? rates(last, sample) : null;
    this.samples.push(sample);
    if (this.samples.length > SAMPLES) this.samples.shift();
  }

  // A stream that was opened anew begins with what is known.
  addEvent(event) {
    const known = this.events.some((e) => e.sequence === event.sequence && e.time_ns === event.time_ns);
    if (known) return;
    this.events.unshift(event);
    if (this.events.length > EVENTS_LIMIT) this.events.pop();
  }
}

// Allocations a second by tier, between two samples. A pool that was made anew begins at 0.
function rates(before, after) {
  const seconds = (after.time - before.time) / 1000;
  if (seconds <= 0) return null;
  const found = DATA.tiers.map((tier) => (after.stats[tier.field] - before.stats[tier.field]) / seconds);
  return found.some((value) => value < 0) ? null : found;
}
