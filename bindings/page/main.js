// SPDX-License-Identifier: GPL-3.0-or-later
// Asks the server every second, and listens to its events. Addresses are relative: the page works below any prefix.

const ANSWER_LIMIT_MS = 4000;
const STACKS_EVERY = 5;

const histories = new Map();
let answer = null; // the last of /stats
let rounds = 0;

function historyOf(name) {
  if (!histories.has(name)) histories.set(name, new PoolHistory());
  return histories.get(name);
}

function chosenPool() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  return answer.pools.find((pool) => pool.pool === wanted) ?? answer.pools[0];
}

function show() {
  if (answer === null) return;
  const pool = chosenPool();
  byId("nothing").hidden = pool !== undefined;
  byId("pool").hidden = pool === undefined;
  showList(answer.pools, pool?.pool);
  if (pool === undefined) return;
  showPool(pool, historyOf(pool.pool), answer.writable);
  showEvents(historyOf(pool.pool));
}

function connected(text, lost) {
  setText(byId("connection"), text);
  byId("connection").className = lost ? "lost" : "";
}

async function refresh() {
  try {
    const reply = await fetch("stats", { signal: AbortSignal.timeout(ANSWER_LIMIT_MS), cache: "no-store" });
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    answer = await reply.json();
  } catch {
    const since = answer === null ? "" : ` since ${clock(answer.time_ns / 1e6)}`;
    connected(`no answer from the server${since}; trying again`, true);
    return;
  }
  connected("live", false);
  setText(byId("version"), answer.version);
  for (const pool of answer.pools) historyOf(pool.pool).add(answer.time_ns / 1e6, answer.instance, pool);
  show();
  if (byId("stacks").open && rounds++ % STACKS_EVERY === 0) await refreshStacks();
}

async function refreshStacks() {
  const pool = answer && chosenPool();
  if (!pool) return;
  try {
    const target = `stats?stacks=1&pool=${encodeURIComponent(pool.pool)}`;
    const reply = await fetch(target, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
    if (reply.ok) showStacks((await reply.json()).pools[0].stacks);
  } catch {
    // The next refresh says that the server does not answer.
  }
}

async function loop() {
  await refresh();
  setTimeout(loop, INTERVAL_MS);
}

// A browser connects again by itself where the connection broke, but not where the server refused.
function listen() {
  const source = new EventSource("events");
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    historyOf(event.pool).addEvent(event);
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
  };
}

async function change(event) {
  event.preventDefault();
  const target = `pools/${encodeURIComponent(chosenPool().pool)}/options/${byId("option").value}`;
  const headers = { Authorization: `Bearer ${byId("token").value}`, "Content-Type": "text/plain" };
  try {
    const reply = await fetch(target, { method: "PUT", headers, body: byId("value").value });
    const said = await reply.json();
    setText(byId("changed"), reply.ok ? `${said.option} is now ${said.value}` : said.detail);
    if (reply.ok) byId("value").value = "";
  } catch (error) {
    setText(byId("changed"), `not changed: ${error.message}`);
  }
  await refresh();
}

makeThemeSwitch();
makeCharts();
addEventListener("hashchange", () => {
  show();
  refreshStacks();
  byId("main").focus();
});
byId("stacks").addEventListener("toggle", () => byId("stacks").open && refreshStacks());
byId("change").addEventListener("submit", change);
byId("option").addEventListener("change", show);
loop();
listen();
