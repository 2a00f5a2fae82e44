// Takes the news of the robot and shows them. Everything on the page is told by the one WebSocket.
"use strict";

const $ = (id) => document.getElementById(id);
const MODALITIES = { speech: "voice", text: "words", mocap: "body" };
const LEVELS = { 0: "well", 1: "warning", 2: "error", 3: "silent, is it running?" };
const SVG = "http://www.w3.org/2000/svg";
const RETRY_FIRST_MS = 300, RETRY_LAST_MS = 4000, SILENT_MS = 4000, FIRST_MS = 10_000, CHART_PERIOD_MS = 1000;

const kinds = { utterances: new Map(), estimates: new Map(), people: new Map(), nodes: new Map() };
const facts = {};
let socket, silence, retryMs = RETRY_FIRST_MS, drawnMs = 0, isChartDue = false, toldIds, retry;

// -- helpers: text goes in as text, never as HTML

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") Object.assign(made.style, value); else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

const swatch = (label) => element("span", { class: `swatch ${label}`, "aria-hidden": "true", style: { backgroundColor: facts.colours?.[label] ?? "#CCCCCC" } });

function bar(probabilities, opacity = 1) {
  const parts = Object.entries(probabilities).map(([label, share]) => element("span", { class: label, title: `${label} ${percent(share)}`, style: { width: `${100 * share}%`, backgroundColor: facts.colours?.[label] ?? "#CCCCCC", opacity } }));
  return element("span", { class: "bar", role: "img", "aria-label": Object.entries(probabilities).map(([label, share]) => `${label} ${percent(share)}`).join(", ") }, ...parts);
}

// Who that is: an utterance keeps the name that its voice had, a person goes by the newest one.
function nameOf({ who }) {
  if (kinds.people.has(who)) return who || "somebody";
  const renamed = [...kinds.people.values()].find((person) => kinds.estimates.get(person.utterance)?.who === who);
  return renamed?.id || who || "somebody";
}

const felt = (item) => (item.label === "unknown" ? "unknown" : `${item.label} ${percent(item.confidence)}`);
const inOrder = (map) => [...map.values()].sort((a, b) => a.start_s - b.start_s);
const byEnd = (items) => [...items].sort((a, b) => a.end_s - b.end_s);

// What was judged last. While somebody speaks, one of the last seconds alone says less than that of the whole speech, which
// begins before it.
function lastOf(estimates) {
  const sorted = byEnd(estimates);
  const said = sorted.findLast((item) => item.state !== "CONTINUOUS"), alone = sorted.findLast((item) => item.state === "CONTINUOUS");
  const isAfter = said?.state === "FINAL" && alone?.start_s >= said.end_s;
  return said && !isAfter ? said : alone;
}

// -- what the robot tells

function take(told) {
  if ("answer" in told) {
    if (told.input && told.good && !inputs[told.input].stream) return;  // it was turned off again meanwhile
    answer(told.answer, told.good);
    if (told.input && !told.good) {
      inputs[told.input].stop();
      showFacts();
    }
    return;
  }
  if (told.all) {
    Object.values(kinds).forEach((map) => map.clear());
    toldIds = undefined;  // what was told last may hold words that are forgotten now
  }
  for (const [kind, map] of Object.entries(kinds)) {
    for (const item of told[kind] ?? []) map.set(item.id, item);
    delete told[kind];
  }
  Object.assign(facts, told);
  for (const kind of ["utterances", "estimates"]) {
    for (const [id, item] of kinds[kind]) {
      const isOver = item.state === "CANCELLED" || item.state === "RETRACTED" || item.end_s < (facts.now_s ?? 0) - facts.window_s;
      if (isOver) kinds[kind].delete(id);
    }
  }
  isChartDue = true;
  show();
}

function show() {
  showFacts();
  showWords();
  showPeople();
  showWhy();
  tellNews();
  showBodies();
  showNodes();
  showList();
  if (isChartDue && !document.hidden && performance.now() - drawnMs > CHART_PERIOD_MS) showChart();
}

function showChart() {
  drawnMs = performance.now();
  isChartDue = false;
  drawTimeline($("timeline"), {
    estimates: inOrder(kinds.estimates), utterances: inOrder(kinds.utterances), colours: facts.colours ?? {},
    nowS: facts.now_s ?? 0, windowS: facts.window_s ?? 120, words: facts.words, nameOf,
  });
}

function showFacts() {
  const level = facts.level_db ?? -60;
  $("level").value = Math.max(-60, level);
  setText("level-text", level > -60 ? `${Math.round(level)} dB` : "quiet");
  const quiet = facts.quiet_s > 3 ? `nothing came for ${Math.round(facts.quiet_s)} s` : "";
  setText("source", [facts.source, facts.listening === false ? "not listening" : "", quiet].filter(Boolean).join(" · "));
  setText("watchers", `${facts.watchers ?? 0} watching · ${facts.lost ?? 0} updates lost by slow readers`);
  setText("listen", facts.listening === false ? "Listen again" : "Stop listening");
  for (const [id, what] of [["microphone", "microphone"], ["camera", "camera"]]) {
    $(id).hidden = !facts.takes_browser;
    $(id).setAttribute("aria-disabled", String(starting.has(id)));  // `disabled` would take the keyboard away from it
    $(id).setAttribute("aria-pressed", String(Boolean(inputs[id].stream)));
    setText(id, inputs[id].stream ? `Stop this ${what}` : `Use this ${what}`);
  }
  const legend = Object.keys(facts.colours ?? {});
  if ($("legend").children.length !== legend.length) $("legend").replaceChildren(...legend.map((label) => element("li", {}, swatch(label), label)));
}

function showWords() {
  $("said-note").hidden = facts.words !== true || !kinds.utterances.size;
  if (facts.words !== true) {
    setText("before", "");
    $("said").dataset.shown = "";
    setText("said", facts.words === false ? "Words are not shown: transcripts are off." : "Words are shown when the emotion node says that they may be.");
    return;
  }
  const [before, newest] = [undefined, ...inOrder(kinds.utterances)].slice(-2);
  const key = JSON.stringify([before, newest]);
  if ($("said").dataset.shown === key) return;
  $("said").dataset.shown = key;
  setText("before", before?.text ?? "");
  if (!newest) { $("said").replaceChildren("Nothing yet."); return; }
  const words = newest.words?.length ? newest.words : [{ text: newest.text ?? "", sure: newest.sure }];
  const shown = words.filter((word) => word.text).flatMap((word) => {
    const sure = word.sure ?? newest.sure ?? 1;
    return [element("span", { class: sure < 0.5 ? "unsure" : "", title: `${percent(sure)} sure`, style: { backgroundColor: `rgba(var(--unsure), ${(0.5 * (1 - sure)).toFixed(2)})` } }, word.text.trim()), " "];
  });
  if (!newest.is_final) shown.push(element("span", { class: "open" }, shown.length ? "…" : "somebody speaks …"));
  else if (!shown.length) shown.push(element("span", { class: "open" }, "(no words)"));
  if (newest.translation) shown.push(element("span", { class: "open" }, ` (${newest.translation})`));
  $("said").replaceChildren(...shown);
  $("said").lang = newest.language || "en";
}

function showPeople() {
  replace("people", [...kinds.people.values()], (item) => element("li", {},
    element("div", { class: "who" }, item.id || "somebody"),
    element("div", {}, element("span", { class: "big" }, swatch(item.label), felt(item)), ` for ${Math.round(item.for_s)} s`),
    bar(item.probabilities),
    element("div", { class: "muted" }, `last heard or seen ${Math.round(item.evidence_age_s)} s ago · usually ${item.usual}`)),
  "Nobody is known yet.");
}

function showWhy() {
  const newest = lastOf(kinds.estimates.values());
  replaceOne("why", newest && { ...newest, name: nameOf(newest) }, (item) => {
    const rows = item.evidence.map((part) => element("tr", {},
      element("th", { scope: "row" }, MODALITIES[part.modality] ?? part.modality),
      part.available
        ? element("td", {}, bar(part.probabilities, 0.35 + 0.65 * part.weight), `${best(part.probabilities)[0]} ${percent(best(part.probabilities)[1])}`)
        : element("td", {}, `not used: ${reasonOf(part.reason)}`),
      element("td", {}, percent(part.available ? part.weight : 0)),
    ));
    const doubts = [
      item.label === "unknown" ? whyUnknown(item) : "",
      item.label_set.length > 1 ? `one of ${item.label_set.join(", ")} with ${percent(item.coverage)}` : "",
      item.incongruent ? "voice, words and body contradict each other" : "",
    ].filter(Boolean).join(" · ");
    return [
      element("p", {}, element("span", { class: "big" }, swatch(item.label), felt(item)), ` ${item.name}${item.state === "PROVISIONAL" ? ", still speaking" : `, ${item.state.toLowerCase()}`}`),
      element("p", { class: "muted" }, doubts || " "),
      element("table", {}, element("thead", {}, element("tr", {}, ...["sense", "says", "counted"].map((name) => element("th", { scope: "col" }, name)))), element("tbody", {}, ...rows)),
    ];
  }, () => [element("p", {}, "None yet.")]);
}

// To screen readers: each final one once, of those that were there before somebody came only the last.
function tellNews() {
  const finals = byEnd(kinds.estimates.values()).filter((item) => item.state === "FINAL");
  const fresh = toldIds ? finals.filter((item) => !toldIds.has(item.id)) : finals.slice(-1);
  const told = fresh.map((item) => {
    const said = facts.words ? kinds.utterances.get(item.id)?.text : "";
    return `${nameOf(item)}: ${felt(item)}${said ? `, “${said}”` : ""}`;
  });
  if (told.length || !toldIds) setText("news", told.join("; "));
  toldIds = new Set(finals.map((item) => item.id));
}

function showBodies() {
  const shown = (facts.bodies ?? []).map((body) => {
    const newest = lastOf([...kinds.estimates.values()].filter((item) => item.body === body.id));
    const open = newest && kinds.utterances.get(newest.id);
    const speaks = newest?.state === "PROVISIONAL" || (open && !open.is_final);
    return { ...body, name: newest ? nameOf(newest) : "", felt: newest ? felt(newest) : "", label: newest?.label, speaks: Boolean(speaks) };
  });
  replace("bodies", shown, (body) => element("li", { class: body.speaks ? "speaks" : "" },
    element("p", {}, element("span", { class: "who" }, body.name || body.id || "somebody"),
      ...(body.speaks ? [" ", element("strong", { class: "tag" }, "speaks")] : []), ...(body.felt ? [" ", swatch(body.label), body.felt] : [])),
    element("div", { class: "pair" }, ...[["sent", "as it is sent"], ["canonical", "as the model sees it"]].map(([name, caption]) => {
      const svg = document.createElementNS(SVG, "svg");
      draw(svg, body[name]);
      return element("figure", {}, svg, element("figcaption", {}, caption));
    })),
    element("p", { class: "muted" }, body.problem ?? `layout ${body.layout}`)), []);
  setText("body-note", shown.length ? "Seen from the front. The person’s left: red, solid; right: blue, dashed." : "No body is seen.");
}

function draw(svg, figure) {
  const make = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const shapes = [];
  for (const [one, other] of figure?.bones ?? []) {
    const [from, to] = [figure.points[one], figure.points[other]];
    if (from && to) shapes.push(make("line", { x1: from[0], y1: -from[1], x2: to[0], y2: -to[1], class: figure.sides[one] }));
  }
  (figure?.points ?? []).forEach((point, joint) => point && shapes.push(make("circle", { cx: point[0], cy: -point[1], r: 0.035, class: figure.sides[joint] })));
  svg.replaceChildren(...shapes);
  svg.setAttribute("viewBox", "-1.1 -1.1 2.2 2.2");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", figure ? `Stick figure, ${figure.seen} of ${figure.points.length} joints seen` : "It cannot be drawn");
}

function showNodes() {
  const ill = [...kinds.nodes.values()].filter((item) => item.is_stale || item.level).length;
  $("trouble").hidden = !ill;
  setText("trouble", ill === 1 ? "1 node has a problem" : `${ill} nodes have problems`);
  replace("nodes", [...kinds.nodes.values()].sort((a, b) => a.id.localeCompare(b.id)), (item) => {
    const level = item.is_stale ? 3 : item.level;
    const losses = ["dropped", "rejected", "bugs"].filter((key) => Number(item.values[key])).map((key) => `${item.values[key]} ${key}`);
    return element("li", { class: level ? "problem" : "" },
      `${item.id}: ${LEVELS[level] ?? level}${level === 3 ? " It said last: " : ", "}${item.message}${losses.length ? ` (${losses.join(", ")})` : ""}`,
      element("details", { class: "muted", "data-key": item.id }, element("summary", {}, `All of ${item.id}`),
        element("pre", {}, Object.entries(item.values).map(([key, value]) => `${key}: ${value}`).join("\n"))));
  }, "No node has reported yet.");
}

function showList() {
  const finals = byEnd(kinds.estimates.values()).reverse().filter((item) => item.state !== "PROVISIONAL").slice(0, 50);
  const shown = finals.map((item) => ({ ...item, ago: Math.round((facts.now_s + (facts.quiet_s ?? 0) - item.end_s) / 5) * 5, name: nameOf(item), text: kinds.utterances.get(item.id)?.text ?? "" }));
  const cell = (name, ...children) => element("td", { role: "cell", ...(name ? { "data-name": name } : {}) }, ...children);
  replace("list", shown, (item) => element("tr", { role: "row" },
    cell("", `${item.ago} s`), cell("who", element("span", { class: "who" }, item.name)),
    cell("", swatch(item.label), felt(item), item.label === "unknown" ? `: ${whyUnknown(item)}` : ""),
    element("td", { role: "cell", class: "words", dir: "auto" }, facts.words ? item.text : ""),
    ...Object.entries(MODALITIES).map(([modality, name]) => {
      const said = item.evidence.find((part) => part.modality === modality);
      return cell(name, !said ? "–" : said.available ? `${best(said.probabilities)[0]}, counted ${percent(said.weight)}` : reasonOf(said.reason));
    })), element("tr", { role: "row" }, element("td", { role: "cell", colspan: 7 }, "None yet.")));
}

// Put items into a list, if they have changed; what was unfolded stays so.
function replace(id, items, make, nothing) {
  const key = JSON.stringify(items);
  if ($(id).dataset.shown === key) return;
  $(id).dataset.shown = key;
  const open = new Set([...$(id).querySelectorAll("details[open]")].map((item) => item.dataset.key));
  const held = $(id).contains(document.activeElement) ? document.activeElement.closest("details")?.dataset.key : undefined;
  const none = typeof nothing === "string" ? element("li", {}, nothing) : nothing;
  $(id).replaceChildren(...(items.length ? items.map(make) : [none].flat()));
  for (const item of $(id).querySelectorAll("details")) {
    item.open = open.has(item.dataset.key);
    if (held !== undefined && item.dataset.key === held) item.querySelector("summary").focus();
  }
}

function replaceOne(id, item, make, nothing) {
  const key = JSON.stringify(item ?? null);
  if ($(id).dataset.shown === key) return;
  $(id).dataset.shown = key;
  $(id).replaceChildren(...(item ? make(item) : nothing()));
}

// -- the connection

// The link's, which does not stay where others may read it.
function takeToken() {
  if (!location.hash.startsWith("#token=")) return false;
  let token = location.hash.slice(7);
  try {
    token = decodeURIComponent(token.replace(/%(?![0-9a-f]{2})/gi, "%25"));
  } catch {}  // one that was typed by hand may hold any %
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname);
  return true;
}

function connect() {
  const token = sessionStorage.getItem("token") ?? "";
  const place = new URL("live", location.href);
  place.protocol = place.protocol.replace("http", "ws");
  place.hash = "";
  if (token) place.searchParams.set("token", token);
  socket = new WebSocket(place);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => Object.keys(inputs).forEach((id) => inputs[id].stream && ask({ do: id, on: true }));
  socket.onmessage = ({ data }) => {
    waitForNext(SILENT_MS);
    retryMs = RETRY_FIRST_MS;
    $("gate").hidden = true;
    connection("Connected", false);
    take(JSON.parse(data));
  };
  socket.onclose = ({ code }) => {
    clearTimeout(silence);
    turnAllOff();
    if (code === 4401) {
      sessionStorage.removeItem("token");
      $("gate").hidden = false;
      connection(token ? "This token is not the right one" : "A token is needed", true);
    } else if (code === 4403) {
      connection("Refused: open the page under the address that was printed where it was started", true);
    } else {
      reconnect();
    }
  };
  waitForNext(FIRST_MS);
}

// The robot tells something each second, first of all everything, which may take longer. Where the network is gone
// nothing closes the socket.
function waitForNext(patienceMs) {
  clearTimeout(silence);
  silence = setTimeout(() => {
    leave();
    reconnect();
  }, patienceMs);
}

function leave() {
  clearTimeout(silence);
  clearTimeout(retry);
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close();
  turnAllOff();
}

function reconnect() {
  connection("Connection lost, trying again …", true);
  retry = setTimeout(connect, retryMs);
  retryMs = Math.min(2 * retryMs, RETRY_LAST_MS);
}

function connection(text, isLost) {
  setText("connection", text);
  $("connection").classList.toggle("lost", isLost);
}

const ask = (wish) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(wish));

// -- what people ask for

const inputs = { microphone: new Microphone(), camera: new Camera($("preview")) };
const starting = new Set();  // those of which the browser asks somebody whether they may be used

function send(message) {
  if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > MOST_WAITING) return;
  socket.send(message);
}

function answer(text, isGood) {
  setText("answer", text);
  $("answer").classList.toggle("problem", !isGood);
}

async function turnOn(id) {
  if (!navigator.mediaDevices) {
    answer("Browsers lend microphone and camera only to a page of their own machine (http://127.0.0.1) or one that is encrypted: start it with --https", false);
    return;
  }
  starting.add(id);
  showFacts();
  try {
    await inputs[id].start(send);
    if (inputs[id].stream) ask({ do: id, on: true });  // the answer says whether it is used
  } catch (error) {
    turnOff(id, `The ${id} cannot be used: ${error.message}`);
  }
  starting.delete(id);
  showFacts();
}

// `problem`: why, where nobody has asked for it.
function turnOff(id, problem = "") {
  inputs[id].stop();
  ask({ do: id, on: false });
  answer(problem || `This ${id} is off.`, !problem);
  showFacts();
}

function turnAllOff() {
  const on = Object.keys(inputs).filter((id) => inputs[id].stream);
  const names = on.join(" and this "), buttons = on.map((id) => `“Use this ${id}”`).join(" and ");
  on.forEach((id) => turnOff(id, `This ${names} ${on.length > 1 ? "were" : "was"} turned off as the connection was lost: press ${buttons} again once it is back`));
}

$("listen").onclick = () => ask({ do: "listen", on: facts.listening === false });
$("erase").onclick = () => $("sure").showModal();
$("sure").onclose = () => $("sure").returnValue === "yes" && ask({ do: "erase" });
for (const id of Object.keys(inputs)) {
  inputs[id].onEnd = () => turnOff(id, `This ${id} gives nothing any more: press “Use this ${id}” again`);
  $(id).onclick = () => {
    if (!starting.has(id)) (inputs[id].stream ? turnOff : turnOn)(id);
  };
}
$("gate").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  leave();
  connect();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showChart);
document.addEventListener("visibilitychange", () => document.hidden || show());
// A link that is opened in a tab of this page only changes what follows the #.
window.addEventListener("hashchange", () => {
  if (!takeToken()) return;
  leave();
  connect();
});
takeToken();
connect();
