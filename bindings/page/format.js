// SPDX-License-Identifier: GPL-3.0-or-later
// Values as people read them.
"use strict";

function count(value) {
  return Math.round(value).toLocaleString("en");
}

function rate(value) {
  return value < 10 ? value.toFixed(1) : count(value);
}

function ratio(value) {
  return value.toFixed(2);
}

function percent(value) {
  return (value * 100).toFixed(value < 0.1 ? 1 : 0) + " %";
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
