// The review page: shows one pair at a time, sends each answer at once, undoes and filters.
// Text of the catalogue enters the page through textContent alone.
"use strict";

const embedded = document.getElementById("data");
const byId = (id) => document.getElementById(id);
const key = (item) => JSON.stringify([item.query_id, item.product_id]);
const state = {
  items: [], shown: [], at: 0, undo: [], progress: null, busy: false,
  writes: 0, // answers sent so far: what was read before the last of them is out of date
  drawn: null, // the pair on the page; only what was seen can be answered
  retry: null, // timer of the next attempt while another command has the database
  poll: null, // timer of the next look at the journal
};
const NAME = "genfilt-reviewer";

// ---------------------------------------------------------------- where pairs and answers come from

function served() {
  const fetched = async (path, options) => {
    const response = await fetch(path, { credentials: "same-origin", ...options });
    const body = await response.json().catch(() => ({ error: "The server sent no answer." }));
    if (!response.ok) throw Object.assign(new Error(body.error), { locked: Boolean(body.locked) });
    return body;
  };
  const pair = (item) => new URLSearchParams({ query_id: item.query_id, product_id: item.product_id });
  return {
    queue: () => fetched(`/api/queue?${new URLSearchParams({ reviewer: reviewer() })}`),
    card: (item) => fetched(`/api/card?${pair(item)}`),
    picture: (id) => `/picture?${new URLSearchParams({ product_id: id })}`,
    explain: (query, product) => fetched(`/api/explain?${new URLSearchParams({ query, product })}`),
    answer: (item, verdict) =>
      fetched("/api/answer", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          query_id: item.query_id, product_id: item.product_id, verdict, reviewer: reviewer(),
        }),
      }),
  };
}

function offline() {
  const data = JSON.parse(embedded.textContent);
  const cards = new Map(data.cards.map((card) => [key(card), card]));
  const kept = `genfilt-review-${data.page}`;
  let answers = {};
  try { answers = JSON.parse(localStorage.getItem(kept) || "{}"); } catch { answers = {}; }
  const keep = () => { try { localStorage.setItem(kept, JSON.stringify(answers)); } catch { /* a private window */ } };
  for (const item of data.items) if (key(item) in answers) item.mine = answers[key(item)];
  const cell = (text) => {
    // As genfilt/common/sheets.py shields cells: no formula, and no line break that ends a row.
    const line = String(text).replace(/[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]/g, " ");
    const safe = /^[=+\-@\t\r\n']/.test(String(text)) ? `'${line}` : line;
    return `"${safe.replace(/"/g, '""')}"`;
  };
  return {
    queue: async () => ({ items: data.items, progress: null }),
    card: async (item) => cards.get(key(item)),
    picture: (id) => data.pictures[id],
    answer: async (item, verdict) => {
      if (verdict === null) delete answers[key(item)]; else answers[key(item)] = verdict;
      keep();
      return { written: true };
    },
    csv: () => {
      const lines = data.items.filter((item) => item.mine !== null).map((item) =>
        [item.query_id, item.product_id, item.mine, reviewer()].map(cell).join(","));
      return `\ufeff${["query_id,product_id,verdict,reviewer", ...lines].join("\n")}\n`;
    },
  };
}

const source = embedded ? offline() : served();

function reviewer() { return byId("reviewer").value.trim(); }

// ---------------------------------------------------------------- the page

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  const { text, ...attributes } = options;
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter(Boolean));
  return made;
}

function picture(id, hasPicture, words) {
  const box = element("div", { class: "picture" });
  const address = hasPicture ? source.picture(id) : null;
  if (!address) return box.append("no picture"), box;
  const image = element("img", { src: address, alt: words });
  image.addEventListener("error", () => image.replaceWith("no picture"));
  box.append(image);
  return box;
}

function number(value) { return value === null || value === undefined ? "none" : value.toFixed(2); }

function scores(card) {
  const parts = [["score", card.score], ["likeness to the title", card.q_t], ["likeness to the picture", card.q_i]];
  return element("ul", { class: "chips" }, ...parts.map(([name, value]) => element("li", { text: `${name}: ${number(value)}` })));
}

function counted(other) {
  if (other.source !== "click") return "judged relevant";
  return other.clicks === 1 ? "1 click" : `${other.clicks} clicks`;
}

function knownProducts(card) {
  if (!card.known.length) return element("p", { class: "soft", text: "Nothing is known of this search." });
  return element("div", { class: "known" }, ...card.known.map((other) =>
    element("figure", {},
      picture(other.product_id, other.has_picture, other.title),
      element("figcaption", { text: `${other.title} (${counted(other)})` }))));
}

function mine(item) {
  if (item.mine === null) return null;
  return element("p", { class: `mine ${item.mine ? "yes" : "no"}`, text: item.mine ? "Your answer: relevant." : "Your answer: not relevant." });
}

// Product ids may hold characters that turn the writing direction; the text around stays as it is.
function identifier(card) {
  const text = element("bdi", { text: card.product_id });
  if (!card.link) return text;
  return element("a", { href: card.link, target: "_blank", rel: "noopener noreferrer" }, text);
}

function list(name, values, empty) {
  if (!values.length) return empty ? element("p", { class: "soft", text: empty }) : null;
  return element("ul", { class: name }, ...values.map((value) => element("li", { text: value, dir: "auto" })));
}

function draw(item, card) {
  const search = element("div", { class: "search" },
    element("p", { class: "eyebrow", text: "Search" }),
    element("h2", { text: card.query, id: "query", dir: "auto" }));
  const facts = element("div", {},
    element("p", { class: "eyebrow", text: "Product" }),
    element("h2", { text: card.title, dir: "auto" }),
    element("p", { class: "soft" }, identifier(card), card.category ? ` · ${card.category}` : ""),
    mine(item),
    element("h3", { text: "Read from the title" }),
    list("chips", card.attributes.map(([name, value]) => `${name}: ${value}`), "Nothing."),
    element("h3", { text: "Read from the picture" }),
    element("p", { text: card.caption || "Nothing.", dir: "auto" }),
    element("h3", { text: "Why genfilt found it" }),
    scores(card),
    list("reasons", card.reasons),
    element("h3", { text: "Products that shoppers or judges chose for this search" }),
    knownProducts(card));
  byId("card").replaceChildren(search, element("div", { class: "pair" }, picture(card.product_id, card.has_picture, card.title), facts));
}

function say(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = `status ${kind}`;
}

function drawProgress() {
  const answered = state.items.filter((item) => item.mine !== null);
  const yes = answered.filter((item) => item.mine === 1).length;
  const bar = byId("bar");
  bar.max = Math.max(1, state.items.length);
  bar.value = answered.length;
  const parts = [`${answered.length} of ${state.items.length} answered`];
  if (answered.length) parts.push(`${yes} relevant (${Math.round((100 * yes) / answered.length)} %)`);
  const { needed, agreement, waiting } = state.progress || {};
  if (needed > 0) parts.push(`${needed} more until the share of relevant pairs is known to ±5 %`);
  if (needed === 0) parts.push("the share of relevant pairs is known to ±5 %, or as well as these pairs allow");
  if (agreement && agreement.both) parts.push(`reviewers agree on ${agreement.alike} of ${agreement.both} pairs`);
  byId("progress").textContent = parts.join(" · ");
  byId("waiting").textContent = waiting
    ? `Another command has the database: ${waiting} ${waiting === 1 ? "answer is" : "answers are"} safe in a journal and will be written when it ends.`
    : "";
  const item = current();
  for (const id of ["yes", "no", "skip"]) byId(id).disabled = !item;
  byId("withdraw").disabled = !item || item.mine === null;
  byId("next").disabled = state.at >= state.shown.length - 1;
  byId("previous").disabled = state.at <= 0;
  byId("undo").disabled = !state.undo.length;
}

const current = () => state.shown[state.at];

const cards = new Map(); // the last ones, so that the next pair is there when it is its turn
const MAX_CARDS = 16;

function cardOf(item) {
  const name = key(item);
  if (!cards.has(name)) {
    const coming = source.card(item);
    coming.catch(() => cards.delete(name));
    cards.set(name, coming);
    if (cards.size > MAX_CARDS) cards.delete(cards.keys().next().value);
  }
  return cards.get(name);
}

async function prepareNext() {
  const item = state.shown[firstOpen(state.at + 1)];
  if (!item || embedded) return;
  try {
    const card = await cardOf(item);
    if (card.has_picture) new Image().src = source.picture(card.product_id);
  } catch { /* it is read again at its turn */ }
}

function again(action) {
  clearTimeout(state.retry);
  state.retry = setTimeout(action, 1000);
}

async function show() {
  clearTimeout(state.retry);
  state.drawn = null;
  drawProgress();
  const item = current();
  if (!item) {
    const text = state.items.length
      ? "Every pair here has an answer or was skipped. Go back with the previous key, change the filters above, or close the page: all answers are kept."
      : "There is nothing to review.";
    byId("card").replaceChildren(element("p", { text }));
    byId("card").focus();
    return;
  }
  try {
    const card = await cardOf(item);
    if (item !== current()) return;
    draw(item, card);
    state.drawn = item;
    prepareNext();
    if (byId("status").classList.contains("reading")) say("");
  } catch (error) {
    if (item !== current()) return;
    byId("card").replaceChildren(element("p", { class: "soft", text: "This pair cannot be shown yet." }));
    say(error.message || "The server does not answer.", "warn reading");
    if (error.locked) again(show);
  }
}

function filtered() {
  const words = byId("words").value.trim().toLowerCase();
  const low = byId("low").value === "" ? -Infinity : Number(byId("low").value);
  const high = byId("high").value === "" ? Infinity : Number(byId("high").value);
  return state.items.filter((item) =>
    (!words || `${item.query} ${item.title}`.toLowerCase().includes(words))
    && (!byId("reason").value || item.reasons.includes(byId("reason").value))
    && (!byId("category").value || item.category === byId("category").value)
    && item.score >= low && item.score <= high);
}

function refilter() {
  const item = current();
  state.shown = filtered();
  const place = state.shown.indexOf(item);
  state.at = place >= 0 ? place : firstOpen(0);
  show();
}

function firstOpen(from) {
  for (let step = 0; step < state.shown.length; step += 1) {
    const place = (from + step) % state.shown.length;
    if (state.shown[place].mine === null) return place;
  }
  return state.shown.length;
}

async function send(item, verdict) {
  state.busy = true;
  state.writes += 1;
  try {
    const { written } = await source.answer(item, verdict);
    item.mine = verdict;
    if (!written && state.progress) state.progress.waiting += 1;
    say(verdict === null ? "Answer withdrawn." : `Saved: ${verdict ? "relevant" : "not relevant"}.`);
    return true;
  } catch (error) {
    say(`Not saved: ${error.message || "the server does not answer"}`, "warn");
    return false;
  } finally {
    state.busy = false;
  }
}

async function refresh() {
  if (embedded) return;
  clearTimeout(state.poll);
  const { writes } = state;
  try {
    const { items, progress } = await source.queue();
    if (writes !== state.writes) return; // an answer was sent meanwhile
    const answers = new Map(items.map((item) => [key(item), item.mine]));
    for (const item of state.items) item.mine = answers.get(key(item)) ?? null;
    state.progress = progress;
    drawProgress();
  } catch { /* the next answer reads them again */ }
  if (state.progress && state.progress.waiting) state.poll = setTimeout(refresh, 2000);
}

async function answer(verdict) {
  const item = current();
  if (!item || item !== state.drawn || state.busy || (verdict === null && item.mine === null)) return;
  const before = item.mine;
  if (!(await send(item, verdict))) return;
  state.undo.push({ item, before });
  if (verdict !== null) state.at = firstOpen(state.at);
  show();
  refresh();
}

async function undo() {
  const last = state.undo[state.undo.length - 1];
  if (!last || state.busy) return;
  if (!(await send(last.item, last.before))) return;
  state.undo.pop();
  const place = state.shown.indexOf(last.item);
  if (place >= 0) state.at = place;
  show();
  refresh();
}

function move(step) {
  const place = state.at + step;
  if (place < 0 || place >= state.shown.length || state.busy) return;
  state.at = place;
  show();
}

function skip() {
  if (state.busy || !current()) return;
  const rest = firstOpen(state.at + 1);
  state.at = rest;
  show();
}

function save() {
  const file = new Blob([source.csv()], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(file), download: "review.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say("review.csv is saved. Give it to whoever runs: genfilt ingest --reviews review.csv");
}

function choices() {
  const fill = (id, values) => byId(id).append(...[...values].sort().map((value) => element("option", { value, text: value })));
  const reasons = new Set();
  for (const item of state.items) for (const reason of item.reasons) reasons.add(reason);
  fill("reason", reasons);
  fill("category", new Set(state.items.map((item) => item.category).filter(Boolean)));
}

async function start() {
  try {
    const { items, progress } = await source.queue();
    Object.assign(state, { items, progress, undo: [] });
  } catch (error) {
    say(error.message || "The server does not answer.", "warn reading");
    if (error.locked) again(start);
    return;
  }
  choices();
  state.shown = filtered();
  state.at = firstOpen(0);
  if (byId("status").classList.contains("reading")) say("");
  show();
}

function takeName() {
  let name = document.body.dataset.reviewer;
  try { name = name || localStorage.getItem(NAME) || ""; } catch { /* a private window */ }
  byId("reviewer").value = name;
}

// Another person reads the pairs in another order, and undoes no one else's answer.
async function changeReviewer() {
  try { localStorage.setItem(NAME, reviewer()); } catch { /* a private window */ }
  if (embedded) return;
  state.busy = true;
  state.writes += 1;
  try {
    const { items, progress } = await source.queue();
    Object.assign(state, { items, progress, undo: [], shown: [], at: 0 });
    state.shown = filtered();
    state.at = firstOpen(0);
    show();
  } catch (error) {
    say(error.message || "The server does not answer.", "warn");
  } finally {
    state.busy = false;
  }
}

async function lookUp() {
  const box = byId("why-answer");
  const given = [byId("why-query").value.trim(), byId("why-product").value.trim()];
  if (!given[0] || !given[1]) return box.replaceChildren("Give a search and a product.");
  box.replaceChildren("Looking it up. The first time may take a while.");
  try {
    const found = await source.explain(...given);
    const place = found.rank === null ? null : `place ${found.rank} of ${found.candidates} stored for this search`;
    return box.replaceChildren(
      element("p", { text: `${found.query} · ${found.title}`, dir: "auto", class: "soft" }),
      element("p", { text: found.why }), scores(found),
      ...[list("reasons", [...found.reasons, ...(place ? [place] : [])])].filter(Boolean));
  } catch (error) {
    return box.replaceChildren(error.message || "The server does not answer.");
  }
}

const actions = {
  yes: () => answer(1), no: () => answer(0), withdraw: () => answer(null), skip, undo,
  next: () => move(1), previous: () => move(-1), save,
  help: () => { byId("help").open = !byId("help").open; if (byId("help").open) byId("help").scrollIntoView(); },
};
const KEYS = { y: "yes", n: "no", s: "skip", u: "undo", w: "withdraw", arrowright: "next", arrowleft: "previous", "?": "help" };
for (const id of ["yes", "no", "withdraw", "skip", "undo", "next", "previous", "save"]) byId(id)?.addEventListener("click", actions[id]);
for (const id of ["words", "reason", "category", "low", "high"]) byId(id).addEventListener("input", refilter);
byId("why")?.addEventListener("click", lookUp);
for (const id of ["why-query", "why-product"]) byId(id)?.addEventListener("keydown", (event) => { if (event.key === "Enter") lookUp(); });
byId("reviewer").addEventListener("change", changeReviewer);
window.addEventListener("focus", refresh); // another tab may have answered meanwhile
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.("input, select, textarea")) return;
  const action = KEYS[event.key.toLowerCase()];
  if (action) { event.preventDefault(); actions[action](); }
});
takeName();
start();
