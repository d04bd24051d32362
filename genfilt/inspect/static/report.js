"use strict";
// Pages, filters and searches the cards of a report; without it the first page is shown.
(() => {
  const PAGE = 24;
  const at = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll("#found > article")];
  if (!cards.length) return;
  const texts = cards.map((card) => card.textContent.toLowerCase());
  const kinds = cards.map((card) => card.dataset.kinds.split("|"));
  const order = { sure: cards, unsure: [...cards].reverse() };
  const place = new Map(cards.map((card, n) => [card, n]));
  let page = 0;

  function chosen() {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = at("kind").value;
    const category = at("category").value;
    const lowest = parseFloat(at("lowest").value);
    return order[at("order").value].filter((card) => {
      const n = place.get(card);
      return words.every((word) => texts[n].includes(word))
        && (!kind || kinds[n].includes(kind))
        && (!category || card.dataset.category === category)
        && !(parseFloat(card.dataset.score) < lowest);
    });
  }

  function show() {
    const found = chosen();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const shown = new Set(found.slice(page * PAGE, (page + 1) * PAGE));
    for (const card of cards) card.hidden = !shown.has(card);
    const gallery = at("found");
    for (const card of shown) gallery.append(card);
    at("where").textContent = found.length
      ? `${page * PAGE + 1} to ${page * PAGE + shown.size} of ${found.length}`
      : "nothing matches";
    at("before").disabled = page === 0;
    at("after").disabled = page === pages - 1;
  }

  for (const control of document.querySelectorAll("#controls input, #controls select")) {
    const event = control.tagName === "SELECT" ? "change" : "input";
    control.addEventListener(event, () => { page = 0; show(); });
  }
  at("before").addEventListener("click", () => { page -= 1; show(); });
  at("after").addEventListener("click", () => { page += 1; show(); });
  at("controls").hidden = false;
  at("pager").hidden = false;
  show();
})();
