// Shows one item at a time, sends each answer at once, and undoes. What an item is and how it is
// drawn is defined by `task`, in the script that is loaded before this one:
//   storage     name under which the browser keeps the person's name
//   noun        what one item is called
//   identity    item -> the fields that name it, in requests and answers
//   field, person   names of the answer and of the person in what is sent
//   columns     of the file that the offline page saves; `cells` has an item's, `file` is its name
//   filtered    items -> those that are shown; `bind` is called with a function that shows them anew
//   draw        (item, card) -> the elements of its card
//   progress    (answered items, all items, progress of the server) -> sentences
//   rereads     whether the server's progress is read again after each answer
// Text of the catalogue enters the page through textContent alone.
"use strict";

const embedded = document.getElementById("data");
const byId = (id) => document.getElementById(id);
const key = (item) => JSON.stringify(Object.values(task.identity(item)));
const state = {
  items: [], shown: [], at: 0, undo: [], progress: null, busy: false,
  writes: 0, // answers sent so far: what was read before the last of them is out of date
  drawn: null, // the item on the page; only what was seen can be answered
  retry: null, // timer of the next attempt while another command has the database
  poll: null, // timer of the next look at the journal
};
// The buttons that answer, by the value that they send.
const answers = new Map([...document.querySelectorAll("button[data-answer]")].map((button) =>
  [Number(button.dataset.answer), { button, id: button.id, word: button.dataset.word, looks: button.className }]));

// ---------------------------------------------------------------- where items and answers come from

function served() {
  const fetched = async (path, options) => {
    const response = await fetch(path, { credentials: "same-origin", ...options });
    const body = await response.json().catch(() => ({ error: "The server sent no answer." }));
    if (!response.ok) throw Object.assign(new Error(body.error), { locked: Boolean(body.locked) });
    return body;
  };
  return {
    fetched,
    queue: () => fetched(`/api/queue?${new URLSearchParams({ person: person() })}`),
    card: (item) => fetched(`/api/card?${new URLSearchParams(task.identity(item))}`),
    picture: (fields) => `/picture?${new URLSearchParams(fields)}`,
    answer: (item, value) =>
      fetched("/api/answer", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...task.identity(item), [task.field]: value, [task.person]: person() }),
      }),
  };
}

function offline() {
  const data = JSON.parse(embedded.textContent);
  const kept = `genfilt-${data.page}`;
  const cards = new Map((data.cards || []).map((card) => [key(card), card]));
  let given = {};
  try { given = JSON.parse(localStorage.getItem(kept) || "{}"); } catch { given = {}; }
  const keep = () => { try { localStorage.setItem(kept, JSON.stringify(given)); } catch { /* a private window */ } };
  for (const item of data.items) if (key(item) in given) item.mine = given[key(item)];
  const cell = (text) => {
    // As genfilt/common/sheets.py shields cells: no formula, and no line break that ends a row.
    const line = String(text).replace(/[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]/g, " ");
    const safe = /^[=+\-@\t\r\n']/.test(String(text)) ? `'${line}` : line;
    return `"${safe.replace(/"/g, '""')}"`;
  };
  return {
    queue: async () => ({ items: data.items, progress: null }),
    card: async (item) => cards.get(key(item)),
    picture: (fields) => data.pictures[Object.values(fields)[0]],
    answer: async (item, value) => {
      if (value === null) delete given[key(item)]; else given[key(item)] = value;
      keep();
      return { written: true };
    },
    csv: () => {
      const lines = data.items.filter((item) => item.mine !== null)
        .map((item) => task.cells(item, answers.get(item.mine).word).map(cell).join(","));
      return `\ufeff${[task.columns.join(","), ...lines].join("\n")}\n`;
    },
  };
}

const source = embedded ? offline() : served();

function person() { return byId("person").value.trim(); }

// ---------------------------------------------------------------- the page

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  const { text, ...attributes } = options;
  if (text !== undefined) made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter(Boolean));
  return made;
}

function picture(fields, hasPicture, words) {
  const box = element("div", { class: "picture" });
  const address = hasPicture ? source.picture(fields) : null;
  if (!address) return box.append("no picture"), box;
  const image = element("img", { src: address, alt: words });
  image.addEventListener("error", () => image.replaceWith("no picture"));
  box.append(image);
  return box;
}

function list(name, values, empty) {
  if (!values.length) return empty ? element("p", { class: "soft", text: empty }) : null;
  return element("ul", { class: name }, ...values.map((value) => element("li", { text: value, dir: "auto" })));
}

function mine(item) {
  if (item.mine === null) return null;
  const { word, looks } = answers.get(item.mine);
  return element("p", { class: `mine ${looks}`, text: `Your answer: ${word}.` });
}

function say(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = `status ${kind}`;
}

function drawProgress() {
  const answered = state.items.filter((item) => item.mine !== null);
  const bar = byId("bar");
  bar.max = Math.max(1, state.items.length);
  bar.value = answered.length;
  const parts = [`${answered.length} of ${state.items.length} answered`];
  byId("progress").textContent = [...parts, ...task.progress(answered, state.items, state.progress || {})].join(" · ");
  const waiting = (state.progress || {}).waiting;
  byId("waiting").textContent = waiting
    ? `Another command has the database: ${waiting} ${waiting === 1 ? "answer is" : "answers are"} safe in a journal and will be written when it ends.`
    : "";
  const item = current();
  for (const { button } of answers.values()) button.disabled = !item;
  byId("skip").disabled = !item;
  byId("withdraw").disabled = !item || item.mine === null;
  byId("next").disabled = state.at >= state.shown.length - 1;
  byId("previous").disabled = state.at <= 0;
  byId("undo").disabled = !state.undo.length;
}

const current = () => state.shown[state.at];

const cards = new Map(); // the last ones, so that the next item is there when it is its turn
const MAX_CARDS = 16;

function cardOf(item) {
  const name = key(item);
  if (!cards.has(name)) {
    const coming = task.whole ? Promise.resolve(item) : source.card(item);
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
    if (card.has_picture) new Image().src = source.picture(task.pictureOf(card));
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
      ? `Every ${task.noun} here has an answer or was skipped. Go back with the previous key, change what is shown above, or close the page: all answers are kept.`
      : "There is nothing to answer.";
    byId("card").replaceChildren(element("p", { text }));
    byId("card").focus();
    return;
  }
  try {
    const card = await cardOf(item);
    if (item !== current()) return;
    byId("card").replaceChildren(...task.draw(item, card));
    state.drawn = item;
    prepareNext();
    if (byId("status").classList.contains("reading")) say("");
  } catch (error) {
    if (item !== current()) return;
    byId("card").replaceChildren(element("p", { class: "soft", text: `This ${task.noun} cannot be shown yet.` }));
    say(error.message || "The server does not answer.", "warn reading");
    if (error.locked) again(show);
  }
}

function refilter() {
  const item = current();
  state.shown = task.filtered(state.items);
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

async function send(item, value) {
  state.busy = true;
  state.writes += 1;
  try {
    const { written } = await source.answer(item, value);
    item.mine = value;
    if (!written && state.progress) state.progress.waiting += 1;
    say(value === null ? "Answer withdrawn." : `Saved: ${answers.get(value).word}.`);
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
    const found = new Map(items.map((item) => [key(item), item.mine]));
    for (const item of state.items) item.mine = found.get(key(item)) ?? null;
    state.progress = progress;
    drawProgress();
  } catch { /* the next answer reads them again */ }
  if (state.progress && state.progress.waiting) state.poll = setTimeout(refresh, 2000);
}

async function answer(value) {
  const item = current();
  if (!item || item !== state.drawn || state.busy || (value === null && item.mine === null)) return;
  const before = item.mine;
  if (!(await send(item, value))) return;
  state.undo.push({ item, before });
  if (value !== null) state.at = firstOpen(state.at);
  show();
  if (task.rereads) refresh();
}

async function undo() {
  const last = state.undo[state.undo.length - 1];
  if (!last || state.busy) return;
  if (!(await send(last.item, last.before))) return;
  state.undo.pop();
  const place = state.shown.indexOf(last.item);
  if (place >= 0) state.at = place;
  show();
  if (task.rereads) refresh();
}

function move(step) {
  const place = state.at + step;
  if (place < 0 || place >= state.shown.length || state.busy) return;
  state.at = place;
  show();
}

function skip() {
  if (state.busy || !current()) return;
  state.at = firstOpen(state.at + 1);
  show();
}

function save() {
  const file = new Blob([source.csv()], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(file), download: task.file() });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(`${task.file()} is saved. Give it to whoever runs: ${task.command()}`);
}

async function read() {
  const { items, progress } = await source.queue();
  Object.assign(state, { items, progress, undo: [] });
  state.shown = task.filtered(state.items);
  state.at = firstOpen(0);
}

async function start() {
  try {
    await read();
  } catch (error) {
    say(error.message || "The server does not answer.", "warn reading");
    if (error.locked) again(start);
    return;
  }
  task.bind(state.items, refilter);
  if (byId("status").classList.contains("reading")) say("");
  show();
}

function takeName() {
  let name = document.body.dataset.person;
  try { name = name || localStorage.getItem(task.storage) || ""; } catch { /* a private window */ }
  byId("person").value = name;
}

// Another person may see the items in another order, and undoes no one else's answer.
async function changePerson() {
  try { localStorage.setItem(task.storage, person()); } catch { /* a private window */ }
  if (embedded) return;
  state.busy = true;
  state.writes += 1;
  try {
    await read();
    show();
  } catch (error) {
    say(error.message || "The server does not answer.", "warn");
  } finally {
    state.busy = false;
  }
}

const actions = {
  withdraw: () => answer(null), skip, undo, next: () => move(1), previous: () => move(-1), save,
  help: () => { byId("help").open = !byId("help").open; if (byId("help").open) byId("help").scrollIntoView(); },
};
const KEYS = { s: "skip", u: "undo", w: "withdraw", arrowright: "next", arrowleft: "previous", "?": "help" };
for (const [value, { button, id }] of answers) {
  actions[id] = () => answer(value);
  for (const name of button.dataset.keys.split(" ")) KEYS[name] = id;
}
for (const id of Object.keys(actions)) if (id !== "help") byId(id)?.addEventListener("click", actions[id]);
byId("person").addEventListener("change", changePerson);
window.addEventListener("focus", refresh); // another tab may have answered meanwhile
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.("input, select, textarea")) return;
  const action = KEYS[event.key.toLowerCase()];
  if (action) { event.preventDefault(); actions[action](); }
});
takeName();
start();
