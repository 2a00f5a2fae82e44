// The bands of the last two minutes, drawn by Plotly.
"use strict";

const ROWS = [["fused", "all together"], ["speech", "voice"], ["text", "words"], ["mocap", "body"]];
// A pattern beside each colour, so that none has to be told by its colour alone.
const PATTERNS = { angry: "/", happy: ".", sad: "\\", neutral: "", unknown: "x" };
const REASONS = {
  NONE: "missing", NO_EVIDENCE: "missing", TOO_SHORT: "too short", TOO_QUIET: "too quiet", CLIPPED: "distorted",
  OVERLAP: "several voices", NOT_SPEECH: "not a voice", OUT_OF_DISTRIBUTION: "unlike what the model knows",
  DISAGREEMENT: "voice, words and body disagree", FAILED: "failed", SOURCE_LOST: "its source is gone",
  UNKNOWN_LANGUAGE: "a language that the model does not know",
};

const reasonOf = (name) => REASONS[name] ?? name;
const whyUnknown = ({ reason }) => (reason === "NO_EVIDENCE" ? "nothing to judge by" : reasonOf(reason));
const percent = (share) => `${Math.round(100 * (share ?? 0))}\u00a0%`;
const best = (probabilities) => Object.entries(probabilities).reduce((a, b) => (b[1] > a[1] ? b : a), ["", -1]);

// What one row says of an estimate: probabilities, opacity, and why there are none.
function part(estimate, row) {
  if (row === "fused") {
    const why = estimate.label === "unknown" ? whyUnknown(estimate) : "";
    return { probabilities: why ? {} : estimate.probabilities, weight: 1, why };
  }
  const found = estimate.evidence.find((item) => item.modality === row);
  if (!found) return null;
  return found.available
    ? { probabilities: found.probabilities, weight: found.weight, why: "" }
    : { probabilities: {}, weight: 0, why: reasonOf(found.reason) };
}

// Black or white, whichever can be read on a colour that shines through to the ground behind it.
function readable(colour, opacity, ground) {
  const parts = (hex) => [1, 3, 5].map((at) => parseInt((hex.length === 4 ? hex.replace(/\w/g, "$&$&") : hex).slice(at, at + 2), 16) / 255);
  const [front, behind] = [parts(colour), parts(ground)];
  const linear = front.map((value, at) => opacity * value + (1 - opacity) * behind[at]).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000" : "#fff";
}

// How many letters of the Latin alphabet a text is as wide as.
const wide = (text) => [...text].reduce((sum, letter) => sum + (letter > "\u1100" ? 2 : 1), 0);

// Lines of at most so many letters, as many as have room; nothing where a word would not fit, unless words may be cut.
function wrapped(text, letters, most, isCut = false) {
  const lines = [""];
  for (let word of text.split(" ").filter(Boolean)) {
    if (wide(word) > letters) {
      if (!isCut || letters < 5) return "";
      while (wide(word) + 1 > letters) word = [...word].slice(0, -1).join("");
      word += "…";
    }
    if (wide(lines.at(-1)) + wide(word) >= letters && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] += `${lines.at(-1) && " "}${word}`;
  }
  if (lines.length > most) lines.splice(most - 1, Infinity, "…");
  return lines.join("<br>").replace(/<(?!br>)/g, "&lt;");
}

function drawTimeline(div, { estimates, utterances, colours, nowS, windowS, words, nameOf }) {
  if (!window.Plotly) return;
  const style = getComputedStyle(document.documentElement);
  const [fg, muted, grid, line, ground, band] = ["--fg", "--muted", "--grid", "--line", "--card", "--bg"].map((name) => style.getPropertyValue(name).trim());
  const traces = [];
  const layout = {
    barmode: "stack", bargap: 0, showlegend: false, dragmode: false, margin: { l: 40, r: 16, t: 4, b: 36 },
    uniformtext: { minsize: 9, mode: "hide" },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: band, font: { color: fg, size: 12 }, hovermode: "closest",
    xaxis: { range: [-windowS, 0], title: { text: "seconds ago" }, gridcolor: grid, zeroline: false, fixedrange: true,
      tickvals: [-120, -90, -60, -30, 0], ticktext: ["120", "90", "60", "30", "now"], anchor: "y5" },
  };
  const axis = (number, low, high, title) => {
    layout[number === 1 ? "yaxis" : `yaxis${number}`] = {
      domain: [low, high], range: [0, 1], title: { text: title, standoff: 4 }, showgrid: false, zeroline: false,
      showticklabels: false, fixedrange: true, linecolor: line, linewidth: 1, mirror: true, showline: true,
    };
    return number === 1 ? "y" : `y${number}`;
  };
  const add = (name, yaxis, bars, marker, colour) => {
    if (bars.length) traces.push({
      type: "bar", name, yaxis, x: bars.map((b) => b.x), width: bars.map((b) => b.width), y: bars.map((b) => b.y),
      text: bars.map((b) => b.text), hovertext: bars.map((b) => b.hover), hoverinfo: "text", textposition: "inside", constraintext: "none",
      insidetextanchor: "middle", textangle: 0, insidetextfont: { color: bars.map((b) => (colour ? readable(colour, b.opacity, ground) : fg)), size: 10 }, cliponaxis: true,
      marker: { opacity: bars.map((b) => b.opacity), line: { color: fg, width: bars.map((b) => b.edge) }, ...marker },
    });
  };
  const lettersPerS = (div.clientWidth - 56) / windowS / 5.6;
  const fit = (text, place, most, isCut) => wrapped(text, place.width * lettersPerS, most, isCut);
  const span = (item) => {
    const start = Math.max(item.start_s - nowS, -windowS), end = Math.min(item.end_s - nowS, 0);
    return { x: (start + end) / 2, width: Math.max(end - start, 0.3) };
  };
  const speech = axis(1, 0.86, 1, "speech");
  add("speech", speech, utterances.map((item) => ({
    ...span(item), y: 1, text: words ? fit(item.text ?? "", span(item), 4, true) : "", opacity: item.is_final ? 1 : 0.6, edge: 1,
    hover: `${nameOf(item)} speaks${item.text ? `: ${item.text}` : ""}`.replace(/</g, "&lt;"),
  })), { color: "rgba(128,128,128,0.25)" });
  ROWS.forEach(([row, title], index) => {
    const top = 0.84 - index * 0.214;
    const yaxis = axis(index + 2, top - 0.198, top, title);
    const bars = {}, missing = [];
    for (const estimate of estimates) {
      const said = part(estimate, row);
      if (!said) continue;
      const place = span(estimate), edge = estimate.state === "FINAL" ? 1 : 0;
      const counted = row === "fused" ? "" : `, counted ${percent(said.weight)}`;
      if (said.why) {
        missing.push({ ...place, y: 1, text: fit(row === "fused" ? "unknown" : said.why, place, 5) || (row === "fused" ? "?" : "–"), opacity: 1, edge, hover: `${title}: ${row === "fused" ? "unknown, " : ""}${said.why}` });
        continue;
      }
      const [first] = best(said.probabilities);
      for (const [label, share] of Object.entries(said.probabilities)) {
        (bars[label] ??= []).push({
          ...place, y: share, text: label === first ? fit(label, place, 1) || label[0].toUpperCase() : "", edge,
          opacity: (row === "fused" ? 1 : 0.35 + 0.65 * said.weight) * (estimate.state === "PROVISIONAL" ? 0.6 : 1),
          hover: `${title}: ${label} ${percent(share)}${counted}`.replace(/</g, "&lt;"),
        });
      }
    }
    for (const [label, found] of Object.entries(bars)) {
      const colour = colours[label] ?? "#CCCCCC";
      add(label, yaxis, found, { color: colour, pattern: { shape: PATTERNS[label] ?? "+", fgcolor: label === "sad" ? "#fff" : "#000", fgopacity: 0.45, size: 6, solidity: 0.2, fillmode: "overlay" } }, colour);
    }
    add("missing", yaxis, missing, { color: "rgba(128,128,128,0.1)", pattern: { shape: "x", fgcolor: muted, fgopacity: 0.35, size: 8, solidity: 0.1, fillmode: "overlay" } });
  });
  // Each band is there, also while it is empty.
  for (const yaxis of ["y", "y2", "y3", "y4", "y5"]) traces.push({ type: "bar", yaxis, x: [0], y: [0], hoverinfo: "skip" });
  Plotly.react(div, traces, layout, { displayModeBar: false, responsive: true });
}
