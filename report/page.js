"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const records = data.records;
  const at = { page: 0 };
  const $ = (id) => document.getElementById(id);
  // Everything from the database goes through textContent, so nothing in it can become markup.
  const el = (tag, cls, text) => { const e = document.createElement(tag); if (cls) e.className = cls; if (text !== undefined) e.textContent = text; return e; };
  const texts = records.map((r) => (r.key + "\n" + r.fields.map((f) => f.slice(0, 4).join("\n")).join("\n")).toLowerCase());
  const fill = (id, values) => { for (const v of Array.from(new Set(values)).sort()) { const o = el("option", "", v); o.value = v; $(id).append(o); } };
  fill("ns", records.map((r) => r.ns));
  fill("class", records.map((r) => r.class));

  function value(text, cls) {
    const cell = el("td", "v " + cls);
    if (text === null) { cell.append(el("span", "cut", "not there")); return cell; }
    cell.textContent = text;
    return cell;
  }
  function cutMark(cell, cut) { if (cut) cell.append(el("span", "cut", " … " + cut + " more characters")); return cell; }
  function body(r) {
    const box = el("div", "body");
    box.append(el("p", "", "Touched " + r.ops + (r.ops === 1 ? " time" : " times") + ", first at " + r.first + ", last at " + r.last + "."));
    const scroll = el("div", "scroll"), table = el("table"), head = el("tr");
    for (const h of ["Field", "Before the damage (restored)", "At the end of the gap"]) head.append(el("th", "", h));
    const thead = el("thead"); thead.append(head);
    const rows = el("tbody");
    for (const f of r.fields) {
      const row = el("tr");
      row.append(el("td", "k", f[0]), cutMark(value(f[2], f[1] === "same" ? "" : "new"), f[4]), cutMark(value(f[3], f[1] === "same" ? "" : "gone"), f[5]));
      rows.append(row);
    }
    table.append(thead, rows); scroll.append(table); box.append(scroll);
    return box;
  }
  function item(r) {
    const d = el("details", "record"), s = el("summary");
    s.append(el("span", "class", r.class), el("code", "", r.ns), el("span", "k", r.key));
    d.append(s);
    d.addEventListener("toggle", () => { if (d.open && d.childElementCount === 1) d.append(body(r)); });
    return d;
  }
  function show() {
    const q = $("q").value.trim().toLowerCase(), ns = $("ns").value, cls = $("class").value, size = Number($("size").value);
    const hits = [];
    for (let i = 0; i < records.length; i++) {
      if ((!ns || records[i].ns === ns) && (!cls || records[i].class === cls) && (!q || texts[i].includes(q))) hits.push(records[i]);
    }
    const pages = Math.max(1, Math.ceil(hits.length / size));
    at.page = Math.min(Math.max(0, at.page), pages - 1);
    $("list").replaceChildren(...hits.slice(at.page * size, (at.page + 1) * size).map(item));
    $("found").textContent = hits.length + (hits.length === 1 ? " record" : " records");
    $("where").textContent = "Page " + (at.page + 1) + " of " + pages;
    $("back").disabled = at.page === 0;
    $("on").disabled = at.page === pages - 1;
  }
  for (const id of ["q", "ns", "class", "size"]) $(id).addEventListener("input", () => { at.page = 0; show(); });
  $("back").addEventListener("click", () => { at.page--; show(); });
  $("on").addEventListener("click", () => { at.page++; show(); });
  show();
  document.documentElement.dataset.ready = "true";
})();
