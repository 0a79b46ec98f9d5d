// SPDX-License-Identifier: GPL-3.0-or-later
// The pool that is shown, and the list of all.

const BREAKER_MARKS = { closed: "good", half_open: "warn", open: "bad" };
const FACTORS = [
  ["use", "use_factor", (pool) => `${percent(pool.stats.memory_utilization)} in use`],
  ["errors", "error_factor", (pool) => `${percent(pool.health.error_rate)} of the allocations failed`],
  ["latency", "latency_factor", (pool) => latencyText(pool)],
  ["breaker", "breaker_factor", (pool) => plain(pool.health.breaker_state)],
  ["integrity", "integrity_factor", (pool) => counted(pool.health.unacknowledged_corruptions, "unacknowledged corruption")],
];

function latencyText(pool) {
  const limit = pool.options.max_alloc_latency;
  const p99 = `p99 ${duration(pool.health.alloc_latency_p99)}`;
  return limit === "0ns" || limit === "0" ? `${p99}, no limit` : `${p99}, limit ${limit}`;
}

const CHARTS = {};

function makeCharts() {
  CHARTS.use = new Chart("chart-use", "line", "Slabs in use", ["in use"], count);
  const tiers = DATA.tiers.map((tier) => plain(tier.name));
  CHARTS.rate = new Chart("chart-rate", "stack", "Allocations a second", tiers, rate);
  CHARTS.latency = new Chart("chart-latency", "line", "Latency", ["p50", "p95", "p99"], duration);
  CHARTS.breaker = new Chart("chart-breaker", "states", "State of the breaker", ["now"], plain);
  CHARTS.waiters = new Chart("chart-waiters", "line", "Waiters", ["waiting"], count);
}

function hasReason(pool, name) {
  return pool.reasons.some((reason) => reason.reason === name);
}

function showList(pools, chosen) {
  const items = pools.map((pool) => {
    const item = element("li");
    const link = element("a", pool.pool, `${pool.status} ${hasReason(pool, "exhausted") ? "exhausted" : ""}`.trim());
    link.href = "#" + encodeURIComponent(pool.pool);
    if (pool.pool === chosen) link.setAttribute("aria-current", "page");
    const state = pool.reasons.length > 0 ? plain(pool.reasons[0].reason) : "well";
    link.append(element("span", `${percent(pool.stats.memory_utilization)} used, ${state}`));
    item.append(link);
    return item;
  });
  const list = byId("pools");
  const had = document.activeElement && list.contains(document.activeElement) ? document.activeElement.hash : null;
  replace(list, items);
  if (had !== null) [...list.querySelectorAll("a")].find((link) => link.hash === had)?.focus();
}

function showPool(pool, history, writable) {
  const exhausted = hasReason(pool, "exhausted");
  byId("pool").className = exhausted ? "exhausted" : hasReason(pool, "nearly_full") ? "nearly-full" : "";
  setText(byId("name"), pool.pool);
  const badge = { pass: "well", warn: exhausted ? "exhausted" : "warning", fail: "not ready" }[pool.status];
  setText(byId("state"), badge);
  byId("state").className = `badge ${exhausted ? "fail" : pool.status}`;
  setText(byId("shape"), `${counted(pool.stats.total_slabs, "slab")} of ${bytes(pool.stats.slab_size)}, ${pool.stats.pool_state}`);
  document.title = `${pool.status === "pass" ? "" : `(${badge}) `}${pool.pool} - Slabby`;
  showReasons(pool);
  showFields(pool);
  showFactors(pool);
  showCharts(pool, history.samples);
  showTables(pool);
  showOptions(pool, writable);
}

function showReasons(pool) {
  const items = pool.reasons.map((reason) => {
    const bad = pool.status === "fail" || reason.reason === "exhausted";
    const item = element("li", undefined, bad ? "bad" : "");
    const [first, rest] = [reason.meaning[0].toUpperCase(), reason.meaning.slice(1)];
    item.append(element("b", `${first}${rest}.`), `What to do: ${reason.advice}.`);
    return item;
  });
  replace(byId("reasons"), items);
}

// Elements with data-field show that value; data-value has it as /stats does.
function showFields(pool) {
  for (const target of document.querySelectorAll("[data-field]")) {
    const [snapshot, field] = target.dataset.field.split(".");
    const value = pool[snapshot][field];
    target.dataset.value = String(value);
    setText(target, FORMATS[target.dataset.format ?? "plain"](value));
  }
}

function showFactors(pool) {
  const rows = FACTORS.map(([name, field, because]) => {
    const meter = document.createElement("meter");
    Object.assign(meter, { min: 0, max: 1, low: 0.5, high: 0.9, optimum: 1, value: pool.health[field] });
    meter.setAttribute("aria-label", `${name} factor`);
    meter.setAttribute("value", pool.health[field]);
    const cell = element("td");
    cell.append(meter, ` ${ratio(pool.health[field])}`);
    return row(name, cell, because(pool));
  });
  replace(byId("factors"), rows);
}

function showCharts(pool, samples) {
  CHARTS.use.draw(samples, samples.map((s) => [s.stats.used_slabs]), pool.stats.total_slabs);
  CHARTS.rate.draw(samples, samples.map((s) => s.rates), 1);
  const latencies = samples.map(({ health: h }) => [h.alloc_latency_p50, h.alloc_latency_p95, h.alloc_latency_p99]);
  CHARTS.latency.draw(samples, latencies, 100);
  CHARTS.breaker.format = () => plain(pool.health.breaker_state);
  CHARTS.breaker.draw(samples, samples.map((s) => [BREAKER_MARKS[s.health.breaker_state]]), 1);
  CHARTS.waiters.draw(samples, samples.map((s) => [s.stats.waiters]), 1);
  const last = samples[samples.length - 1];
  const sum = last?.rates?.reduce((total, value) => total + value, 0);
  setText(byId("rate"), sum === undefined ? "-" : rate(sum));
}

function showTables(pool) {
  const memory = DATA.memory.map((field) => row(plain(field), bytes(pool.memory[field])));
  replace(byId("memory"), memory);
  const errors = Object.entries(pool.stats.errors).map(([status, times]) => row(status, count(times)));
  replace(byId("errors"), errors.length > 0 ? errors : [row("no call was refused", "")]);
}

function showOptions(pool, writable) {
  replace(byId("options"), Object.entries(pool.options).map(([name, value]) => row(name, value)));
  byId("change").hidden = !writable;
  const select = byId("option");
  if (select.options.length === 0) select.append(...DATA.hot.map((name) => new Option(name)));
  byId("value").placeholder = pool.options[select.value] ?? "";
}

function showEvents(history) {
  const events = history.events;
  const rows = events.slice(0, 100).map((event) => {
    const made = element("tr");
    const more = event.suppressed > 0 ? ` (and ${count(event.suppressed)} more)` : "";
    made.append(
      element("td", clock(event.time_ns / 1e6)),
      element("td", event.level, event.level),
      element("td", plain(event.code)),
      element("td", event.text + more),
    );
    return made;
  });
  replace(byId("events"), rows);
  const line = (event) => element("li", `${clock(event.time_ns / 1e6)} ${event.text}`);
  replace(byId("breaker-history"), events.filter((e) => e.code.startsWith("breaker_")).slice(0, 20).map(line));
  showLeaks(events.filter((e) => e.code === "leak"));
}

// Leaks by where the slab was allocated: the texts, without the number of the slab.
function showLeaks(leaks) {
  const groups = new Map();
  for (const { text } of leaks) {
    const where = /, allocated (?:at|by) (.*?), ?(?:was|is|which|and|has)\b/.exec(text)?.[1] ?? "an unknown stack (set finalizers)";
    groups.set(where, (groups.get(where) ?? 0) + 1);
  }
  const sorted = [...groups].sort((a, b) => b[1] - a[1]);
  replace(byId("leaks"), sorted.map(([where, times]) => element("li", `${count(times)} at ${where}`)));
}

function showStacks(stacks) {
  const note = !stacks.recorded
    ? "Set the option debug to record where slabs are allocated."
    : `${counted(stacks.examined, "live slab")}${stacks.complete ? "" : ", not all of them shown"}.`;
  setText(byId("stacks-note"), note);
  const items = stacks.groups.map((group) => {
    const item = element("li", `${counted(group.count, "slab")}, the oldest for ${duration(group.oldest_ns)}`);
    item.append(...group.frames.slice(0, 8).map((frame) => element("code", frame)));
    return item;
  });
  replace(byId("stack-groups"), items);
}
