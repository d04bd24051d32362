// The corrections of a draw: what the card of a pair shows, filters, and the look-up of any pair.
"use strict";

const task = {
  storage: "genfilt-reviewer",
  noun: "pair",
  identity: (item) => ({ query_id: item.query_id, product_id: item.product_id }),
  field: "verdict",
  person: "reviewer",
  rereads: true,
  pictureOf: (card) => ({ product_id: card.product_id }),
  columns: ["query_id", "product_id", "verdict", "reviewer"],
  cells: (item) => [item.query_id, item.product_id, item.mine, person()],
  file: () => "review.csv",
  command: () => "genfilt ingest --reviews review.csv",
  filtered, bind, draw, progress,
};
const FILTERS = ["words", "reason", "category", "low", "high"];

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
      picture({ product_id: other.product_id }, other.has_picture, other.title),
      element("figcaption", { text: `${other.title} (${counted(other)})` }))));
}

// Product ids may hold characters that turn the writing direction; the text around stays as it is.
function identifier(card) {
  const text = element("bdi", { text: card.product_id });
  if (!card.link) return text;
  return element("a", { href: card.link, target: "_blank", rel: "noopener noreferrer" }, text);
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
    element("h3", { text: item.correction ? "Why genfilt found it" : "What genfilt makes of it (below its bar)" }),
    scores(card),
    list("reasons", card.reasons),
    element("h3", { text: "Products that shoppers or judges chose for this search" }),
    knownProducts(card));
  return [search, element("div", { class: "pair" }, picture(task.pictureOf(card), card.has_picture, card.title), facts)];
}

// The share is that of the corrections: a draw of genfilt audit holds pairs below sigma too.
function progress(answered, items, { needed, agreement }) {
  const parts = [];
  const judged = answered.filter((item) => item.correction);
  const yes = judged.filter((item) => item.mine === 1).length;
  const mixed = items.some((item) => !item.correction);
  if (judged.length) parts.push(`${yes} ${mixed ? `of ${judged.length} corrections ` : ""}relevant (${Math.round((100 * yes) / judged.length)} %)`);
  if (needed > 0) parts.push(`${needed} more until the share of relevant pairs is known to ±5 %`);
  if (needed === 0) parts.push("the share of relevant pairs is known to ±5 %, or as well as these pairs allow");
  if (agreement && agreement.both) parts.push(`reviewers agree on ${agreement.alike} of ${agreement.both} pairs`);
  byId("biased").hidden = !FILTERS.some((id) => byId(id).value.trim() !== "");
  return parts;
}

function filtered(items) {
  const words = byId("words").value.trim().toLowerCase();
  const low = byId("low").value === "" ? -Infinity : Number(byId("low").value);
  const high = byId("high").value === "" ? Infinity : Number(byId("high").value);
  return items.filter((item) =>
    (!words || `${item.query} ${item.title}`.toLowerCase().includes(words))
    && (!byId("reason").value || item.reasons.includes(byId("reason").value))
    && (!byId("category").value || item.category === byId("category").value)
    && item.score >= low && item.score <= high);
}

function bind(items, refilter) {
  const fill = (id, values) => byId(id).append(...[...values].sort().map((value) => element("option", { value, text: value })));
  fill("reason", new Set(items.flatMap((item) => item.reasons)));
  fill("category", new Set(items.map((item) => item.category).filter(Boolean)));
  for (const id of FILTERS) byId(id).addEventListener("input", refilter);
  byId("why")?.addEventListener("click", lookUp);
  for (const id of ["why-query", "why-product"]) byId(id)?.addEventListener("keydown", (event) => { if (event.key === "Enter") lookUp(); });
}

async function lookUp() {
  const box = byId("why-answer");
  const [query, product] = [byId("why-query").value.trim(), byId("why-product").value.trim()];
  if (!query || !product) return box.replaceChildren("Give a search and a product.");
  box.replaceChildren("Looking it up. The first time may take a while.");
  try {
    const found = await source.fetched(`/api/explain?${new URLSearchParams({ query, product })}`);
    const place = found.rank === null ? null : found.rank <= found.candidates
      ? `place ${found.rank} of ${found.candidates} products stored for this search`
      : `not stored: the ${found.candidates} products stored for this search score higher`;
    return box.replaceChildren(
      element("p", { text: `${found.query} · ${found.title}`, dir: "auto", class: "soft" }),
      element("p", { text: found.why }), scores(found),
      ...[list("reasons", [...found.reasons, ...(place ? [place] : [])])].filter(Boolean));
  } catch (error) {
    return box.replaceChildren(error.message || "The server does not answer.");
  }
}
