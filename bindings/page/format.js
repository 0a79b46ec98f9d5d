// SPDX-License-Identifier: GPL-3.0-or-later
// Values as people read them.
"use strict";

function count(value) {
  return Math.round(value).toLocaleString("en");
}

// "1 slab", "2 slabs": the noun in the singular.
function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

function rate(value) {
  return value < 10 ? value.toFixed(1) : count(value);
}

function ratio(value) {
  return value.toFixed(2);
}

// Rounded down: 399 of 400 are not 100 %.
function percent(value) {
  const digits = value < 0.1 ? 10 : 1;
  return (Math.floor(value * 100 * digits + 1e-9) / digits).toFixed(value < 0.1 ? 1 : 0) + " %";
}

function scaled(value, units, step) {
  let at = 0;
  while (at + 1 < units.length && value >= step) {
    value /= step;
    at++;
  }
  return (at === 0 || value >= 100 ? Math.round(value) : value.toPrecision(3)) + " " + units[at];
}

function duration(ns) {
  return scaled(ns, ["ns", "µs", "ms", "s"], 1000);
}

function bytes(value) {
  return scaled(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

function plain(value) {
  return String(value).replaceAll("_", " ");
}

const FORMATS = { count, rate, ratio, percent, duration, bytes, clock, plain };
