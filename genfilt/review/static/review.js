// The review page: shows one pair at a time, sends each answer at once, undoes and filters.
// Text of the catalogue enters the page through textContent alone.
"use strict";

const embedded = document.getElementById("data");
const byId = (id) => document.getElementById(id);
const key = (item) => JSON.stringify([item.query_id, item.product_id]);
const state = { items: [], shown: [], at: 0, undo: [], progress: null, busy: false, card: null };
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
  const kept = `genfilt-review-${location.pathname}`;
  let answers = {};
  try { answers = JSON.parse(localStorage.getItem(kept) || "{}"); } catch { answers = {}; }
  const keep = () => { try { localStorage.setItem(kept, JSON.stringify(answers)); } catch { /* a private window */ } };
  for (const item of data.items) if (key(item) in answers) item.mine = answers[key(item)];
  const cell = (text) => {
    const value = String(text).replace(/[\r\n]+/g, " ");
    const safe = /^[=+\-@\t']/.test(value) ? `'${value}` : value;
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
  const parts = [["score", card.score], ["query and title", card.q_t], ["query and picture", card.q_i]];
  return element("ul", { class: "chips" }, ...parts.map(([name, value]) => element("li", { text: `${name}: ${number(value)}` })));
}

function knownProducts(card) {
  if (!card.known.length) return element("p", { class: "soft", text: "No train click or label for this query." });
  return element("div", { class: "known" }, ...card.known.map((other) =>
    element("figure", {},
      picture(other.product_id, other.has_picture, other.title),
      element("figcaption", { text: `${other.title} (${other.source === "click" ? `${other.clicks} clicks` : other.source})` }))));
}

function mine(item) {
  if (item.mine === null) return null;
  return element("p", { class: `mine ${item.mine ? "yes" : "no"}`, text: item.mine ? "You said: relevant." : "You said: not relevant." });
}

function draw(item, card) {
  const link = card.link
    ? element("a", { href: card.link, target: "_blank", rel: "noopener noreferrer", text: card.product_id })
    : element("span", { text: card.product_id });
  const facts = element("div", {},
    element("p", { class: "query", text: "Query" }),
    element("h2", { text: card.query, id: "query" }),
    element("p", { class: "query", text: "Product" }),
    element("h2", { text: card.title }),
    element("p", { class: "soft" }, link, card.category ? ` · ${card.category}` : ""),
    mine(item),
    element("h3", { text: "Read from the title" }),
    card.attributes.length
      ? element("ul", { class: "chips" }, ...card.attributes.map(([name, value]) => element("li", { text: `${name}: ${value}` })))
      : element("p", { class: "soft", text: "Nothing." }),
    element("h3", { text: "Read from the picture" }),
    element("p", { text: card.caption || "Nothing." }),
    element("h3", { text: "Why it was found" }),
    scores(card),
    card.reasons.length ? element("ul", { class: "reasons" }, ...card.reasons.map((reason) => element("li", { text: reason }))) : null,
    element("h3", { text: "What shoppers took for this query" }),
    knownProducts(card));
  byId("card").replaceChildren(element("div", { class: "pair" }, picture(card.product_id, card.has_picture, card.title), facts));
}

function say(text, warn = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("warn", warn);
}

function drawProgress() {
  const answered = state.items.filter((item) => item.mine !== null);
  const yes = answered.filter((item) => item.mine === 1).length;
  const bar = byId("bar");
  bar.max = Math.max(1, state.items.length);
  bar.value = answered.length;
  const parts = [`${answered.length} of ${state.items.length} answered`];
  if (answered.length) parts.push(`${yes} relevant (${Math.round((100 * yes) / answered.length)} %)`);
  if (state.progress) {
    const { needed, agreement, waiting } = state.progress;
    parts.push(needed > 0 ? `${needed} more until the share is known to ±5 %` : "the share is known to ±5 %, or as well as this draw allows");
    if (agreement.both) parts.push(`reviewers agree on ${agreement.alike} of ${agreement.both} pairs`);
    if (waiting) parts.push(`${waiting} answers wait in a journal for the database`);
  }
  byId("progress").textContent = parts.join(" · ");
  for (const id of ["yes", "no", "skip", "next", "previous", "withdraw"]) byId(id).disabled = !current();
  byId("undo").disabled = !state.undo.length;
}

const current = () => state.shown[state.at];

async function show() {
  drawProgress();
  const item = current();
  if (!item) {
    state.card = null;
    byId("card").replaceChildren(element("p", { text: state.items.length ? "No pair is left here. Widen the filters above, or close the page." : "There is nothing to review." }));
    return;
  }
  try {
    const card = await source.card(item);
    if (item !== current()) return;
    state.card = card;
    draw(item, card);
    if (!state.busy && byId("status").classList.contains("warn")) say("");
  } catch (error) {
    say(error.message, true);
    if (error.locked) setTimeout(show, 1000);
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
  try {
    const { written } = await source.answer(item, verdict);
    item.mine = verdict;
    if (written) say(verdict === null ? "Answer withdrawn." : "Saved.");
    else say("Another command has the database: the answer is safe in a journal and will be applied.", true);
    return true;
  } catch (error) {
    say(`Not saved: ${error.message || "the server does not answer"}.`, true);
    return false;
  } finally {
    state.busy = false;
  }
}

async function refresh() {
  if (embedded) return drawProgress();
  try {
    const { items, progress } = await source.queue();
    const answers = new Map(items.map((item) => [key(item), item.mine]));
    for (const item of state.items) item.mine = answers.get(key(item)) ?? null;
    state.progress = progress;
  } catch { /* the next answer will refresh */ }
  drawProgress();
}

async function answer(verdict) {
  const item = current();
  if (!item || state.busy) return;
  const before = item.mine;
  if (!(await send(item, verdict))) return;
  state.undo.push({ item, before });
  state.at = firstOpen(state.at);
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
  say("review.csv is saved; run: genfilt ingest --reviews review.csv");
}

function choices() {
  const fill = (id, values) => byId(id).append(...[...values].sort().map((value) => element("option", { value, text: value })));
  const reasons = new Set();
  for (const item of state.items) for (const part of item.reasons.split(";")) if (part.trim()) reasons.add(part.trim());
  fill("reason", [...reasons].slice(0, 200));
  fill("category", new Set(state.items.map((item) => item.category).filter(Boolean)));
}

async function start() {
  let name = document.body.dataset.reviewer;
  try { name = name || localStorage.getItem(NAME) || ""; } catch { /* a private window */ }
  byId("reviewer").value = name;
  try {
    const { items, progress } = await source.queue();
    Object.assign(state, { items, progress, undo: [] });
  } catch (error) {
    say(error.message, true);
    if (error.locked) setTimeout(start, 1000);
    return;
  }
  choices();
  state.shown = filtered();
  state.at = firstOpen(0);
  show();
}

const actions = { yes: () => answer(1), no: () => answer(0), withdraw: () => answer(null), skip, undo, next: () => move(1), previous: () => move(-1), save };
for (const [id, action] of Object.entries(actions)) byId(id)?.addEventListener("click", action);
for (const id of ["words", "reason", "category", "low", "high"]) byId(id).addEventListener("input", refilter);
byId("reviewer").addEventListener("change", async () => {
  try { localStorage.setItem(NAME, reviewer()); } catch { /* a private window */ }
  if (!embedded) { await refresh(); state.at = firstOpen(0); show(); }
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input, select, textarea")) return;
  const keys = { y: "yes", n: "no", s: "skip", u: "undo", w: "withdraw", ArrowRight: "next", ArrowLeft: "previous" };
  if (event.key in keys) { event.preventDefault(); actions[keys[event.key]](); }
});
start();
