// SPDX-License-Identifier: GPL-3.0-or-later
// Charts of the last SAMPLES seconds in plain SVG. A missing value is a gap.

const WIDTH = 1000;
const HEIGHT = 100;

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

class Chart {
  // kind: "line", "stack" or "states". legend: the names of the series.
  constructor(id, kind, label, legend, format) {
    Object.assign(this, { kind, label, legend, format });
    this.plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.top = element("span");
    this.scale = element("div", undefined, "scale");
    this.scale.append(this.top, element("span", kind === "states" ? "" : "0"));
    this.scale.setAttribute("aria-hidden", "true");
    const plot = element("div", undefined, kind === "states" ? "plot low" : "plot");
    const span = element("p", undefined, "span");
    this.from = element("span");
    span.append(this.from, element("span", "now"));
    plot.append(this.plot, this.scale, span);
    this.list = element("ul", undefined, "legend");
    byId(id).replaceChildren(plot, this.list);
  }

  // values: for each sample a list with a number for each series, or null. top: the least upper end of the scale.
  draw(samples, values, top) {
    const end = samples.length === 0 ? 0 : samples[samples.length - 1].time;
    this.begin = end - SAMPLES * INTERVAL_MS;
    this.max = Math.max(top, ...values.map((each) => (each ? this.height(each) : 0)));
    this.times = samples.map((sample) => sample.time);
    const paths = this.kind === "states" ? this.states(values) : this.curves(values);
    const restarts = samples.filter((sample) => sample.restarted).map((sample) => this.x(sample.time));
    if (restarts.length > 0) {
      paths.push(svg("path", { class: "restart", d: restarts.map((x) => `M${x},0V${HEIGHT}`).join("") }));
    }
    this.plot.replaceChildren(...paths);
    setText(this.top, this.kind === "states" ? "" : this.format(this.max));
    setText(this.from, `${Math.round((SAMPLES * INTERVAL_MS) / 60000)} minutes ago`);
    this.describe(values);
  }

  height(each) {
    return this.kind === "stack" ? each.reduce((sum, value) => sum + value, 0) : Math.max(...each);
  }

  x(time) {
    return (((time - this.begin) / (SAMPLES * INTERVAL_MS)) * WIDTH).toFixed(1);
  }

  y(value) {
    return (HEIGHT - 1 - (value / this.max) * (HEIGHT - 3)).toFixed(1);
  }

  // A gap is also where no sample came for a while.
  runs(values) {
    const found = [];
    let run = [];
    values.forEach((each, at) => {
      const gap = at > 0 && this.times[at] - this.times[at - 1] > 4 * INTERVAL_MS;
      if ((gap || each === null) && run.length > 0) {
        found.push(run);
        run = [];
      }
      if (each !== null) run.push({ x: this.x(this.times[at]), each });
    });
    return run.length > 0 ? [...found, run] : found;
  }

  curves(values) {
    const runs = this.runs(values);
    return this.legend.map((_, at) => {
      const d = runs.map((run) => (this.kind === "stack" ? this.area(run, at) : this.line(run, at))).join("");
      return svg("path", { class: `${this.kind === "stack" ? "area" : "line"} m${at}`, d });
    });
  }

  line(run, at) {
    return "M" + run.map((point) => `${point.x},${this.y(point.each[at])}`).join("L");
  }

  area(run, at) {
    const sum = (each, upTo) => each.slice(0, upTo).reduce((total, value) => total + value, 0);
    const above = run.map((point) => `${point.x},${this.y(sum(point.each, at + 1))}`);
    const below = run.map((point) => `${point.x},${this.y(sum(point.each, at))}`).reverse();
    return `M${above.join("L")}L${below.join("L")}Z`;
  }

  // A coloured stripe: one piece for each time that a state lasted.
  states(values) {
    const pieces = [];
    for (const run of this.runs(values)) {
      let piece = null;
      for (const { x, each } of run) {
        if (piece !== null) piece.end = x;
        if (piece?.state !== each[0]) pieces.push((piece = { state: each[0], begin: x, end: x }));
      }
    }
    return pieces.map(({ state, begin, end }) =>
      svg("path", { class: `area m${state}`, d: `M${begin},0H${end}V${HEIGHT}H${begin}Z` }),
    );
  }

  // The same in words: for the legend, and for those who do not see the picture.
  describe(values) {
    const last = values[values.length - 1];
    const shown = this.legend.map((name, at) => (last ? `${name} ${this.format(last[at])}` : name));
    const items = this.kind === "states" || this.legend.length < 2 ? [] : shown;
    replace(this.list, items.map((text, at) => element("li", text, `m${at}`)));
    const known = values.filter((each) => each !== null);
    const most = known.length > 0 && this.kind !== "states" ? `; most ${this.format(Math.max(...known.map((e) => this.height(e))))}` : "";
    this.plot.setAttribute("aria-label", `${this.label}: ${shown.join(", ")}${most}`);
  }
}
