// The rows of a sheet: a search and a product of one of two models, without a word of which.
"use strict";

const task = {
  storage: "genfilt-judge",
  noun: "product",
  whole: true, // an item is its own card
  identity: (item) => ({ row: item.row }),
  field: "verdict",
  person: "judge",
  rereads: false, // a sheet may have twenty thousand rows, and nothing else changes them
  pictureOf: (item) => ({ picture: item.picture }),
  columns: ["row", "query", "title", "verdict", "judge"],
  cells: (item, word) => [item.row, item.query, item.title, word, person()],
  file: () => `judge-${person().replace(/[^\p{L}\p{N}]+/gu, "-") || "answers"}.csv`,
  command: () => `trainer judge import ${task.file()}`,
  filtered: (items) => items,
  bind: () => {},
  draw, progress,
};

function draw(item) {
  const search = element("div", { class: "search" },
    element("p", { class: "eyebrow", text: "Search" }),
    element("h2", { text: item.query, id: "query", dir: "auto" }));
  const facts = element("div", {},
    element("p", { class: "eyebrow", text: "Product" }),
    element("h2", { text: item.title, dir: "auto" }),
    mine(item),
    element("p", { class: "soft", text: `Row ${item.row}` }));
  const shown = picture(task.pictureOf(item), item.picture !== null, item.title);
  return [search, element("div", { class: "pair" }, shown, facts)];
}

function progress(answered, items) {
  const queries = new Map(); // search -> rows left
  for (const item of items) queries.set(item.query, (queries.get(item.query) || 0) + (item.mine === null));
  const done = [...queries.values()].filter((left) => !left).length;
  return [`${done} of ${queries.size} searches done`];
}
