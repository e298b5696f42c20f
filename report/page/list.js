// The list: one line for each record, opened on demand.
const versionNames = ["Before the damage", "At the end of the gap", "Live now"];

// columns are the versions of a record that there are; where the live one equals another they share a column.
function columns(r) {
  const list = [];
  if (r.there & IN_T) list.push({ at: 0, name: versionNames[0] + (r.there & LIVE_IS_T ? ", and live now" : "") });
  if (r.there & IN_E) list.push({ at: 1, name: versionNames[1] + (r.there & LIVE_IS_E ? ", and live now" : "") });
  if (r.there & IN_LIVE && !(r.there & (LIVE_IS_T | LIVE_IS_E))) list.push({ at: 2, name: versionNames[2] });
  return list;
}

// absent tells which versions there are not.
function absent(r) {
  const places = [];
  if (!(r.there & IN_T)) places.push("before the damage");
  if (!(r.there & IN_E)) places.push("at the end of the gap");
  if (data.looked && !(r.there & IN_LIVE)) places.push("live now");
  return places.length ? "Not there " + places.join(", nor ") + "." : "";
}

let shown = []; // what the list shows, in its order
const opened = new Set();

function textOf(number) { return number < 0 || number === undefined ? null : texts[number]; }

// preview tells in a line what a record is, or what happened to it.
function preview(r) {
  const changes = r.klass === "changed" || r.klass === "unchanged in effect";
  const parts = [];
  const fields = r.fields.filter((f) => texts[f[0]] !== "_id" && !(changes && f[1] === SAME));
  const handy = fields.filter((f) => f.slice(2, 5).every((n) => n < 0 || texts[n].length <= 40));
  for (const f of handy.length ? handy : fields) {
    const before = textOf(f[2]), after = textOf(f[3]);
    if (!changes) parts.push(texts[f[0]] + ": " + short(after ?? before ?? textOf(f[4]) ?? ""));
    else if (f[1] === MOVED) parts.push(texts[f[0]] + " moved");
    else parts.push(texts[f[0]] + ": " + short(before ?? "not there") + " → " + short(after ?? "not there"));
    if (parts.length === 4) break;
  }
  return parts.join(", ");
}
const short = (text) => (text.length > 60 ? text.slice(0, 60) + "…" : text);

function valueCell(number, cut, cls, label) {
  const cell = element("td", "v " + cls);
  cell.setAttribute("role", "cell"); // narrow screens stack the cells, which takes the table's own roles away
  cell.dataset.label = label;
  if (number < 0) cell.append(element("span", "none", "not there"));
  else cell.append(element("span", "", texts[number]));
  if (cut) cell.append(element("span", "cut", " … " + count(cut) + (cut === 1 ? " more character" : " more characters")));
  return cell;
}

// fieldRow shows a field in all versions; values that differ from the first one are marked.
function fieldRow(f, versions) {
  const row = element("tr", f[1] === CONFLICT ? "conflict" : f[1] === SAME ? "same" : "");
  const name = element("th", "k");
  name.scope = "row";
  row.setAttribute("role", "row");
  name.setAttribute("role", "rowheader");
  name.append(element("span", "", texts[f[0]] || "(the whole record)"));
  if (f[1] === CONFLICT) name.append(element("span", "tag warn", "changed on both sides"));
  if (f[1] === MOVED) name.append(element("span", "tag", "has another place"));
  row.append(name);
  if (f[1] === SAME && versions.length > 1) {
    const cell = valueCell(f[2 + versions[0].at], f[5 + versions[0].at], "", "In all versions");
    cell.colSpan = versions.length;
    row.append(cell);
    return row;
  }
  versions.forEach((version, i) => {
    const differs = f[1] !== SAME && i > 0 && f[2 + version.at] !== f[2 + versions[0].at];
    row.append(valueCell(f[2 + version.at], f[5 + version.at], differs ? (version.at === 1 ? "gap" : "live") : "", version.name));
  });
  return row;
}

function factsOf(r) {
  const times = clock(r.first) + (r.last !== r.first ? " to " + clock(r.last).slice(11) : "");
  const facts = [];
  if (r.ops) facts.push("Touched " + (r.ops === 1 ? "once" : count(r.ops) + " times") + (r.first ? ", " + times + " UTC (" + r.first + ":" + r.firstAt + " to " + r.last + ":" + r.lastAt + ")" : ""));
  if (r.bursts.length) facts.push((r.bursts.length === 1 ? "Burst " : "Bursts ") + r.bursts.join(", "));
  facts.push("Record " + r.n);
  facts.push("Token " + r.token);
  return facts.join(" · ");
}

function body(r) {
  const box = element("div", "body");
  if (r.suggested || r.reason) {
    const line = element("p", "suggestion");
    if (r.suggested) line.append("pitr suggests: ", element("strong", "", r.suggested), r.reason ? " \u2013 " : "");
    line.append(r.reason);
    box.append(line);
  }
  for (const group of r.groups) box.append(inGroup(group));
  if (absent(r)) box.append(element("p", "absent", absent(r)));
  if (r.fields.length) box.append(fieldTable(r));
  const left = [];
  if (r.same) left.push(count(r.same) + " fields that are the same in all versions");
  if (r.more) left.push(count(r.more) + " more fields");
  if (hasCut(r) || r.same) {
    const line = element("p", "cutnote", (left.length ? "Not shown: " + left.join(" and ") + ". " : "Some values are cut. ") + "All of it stands in the line with n = " + r.n + " of ");
    line.append(element("code", "command", "pitr report " + data.job + " --json"));
    box.append(line);
  }
  box.append(element("p", "soft facts1", factsOf(r)));
  return box;
}

// inGroup tells with whom a record shares a value: what the table of duplicates says of the group, where it stands there.
function inGroup(group) {
  const line = element("div", "ingroup"), row = document.querySelector('tr[data-group="' + group + '"]');
  const button = element("button", "link", "Show the lost records of group " + group);
  button.type = "button";
  button.addEventListener("click", () => onlyGroup(group));
  if (row) {
    const first = element("p", "", "Only one record may have ");
    const value = row.querySelector("td.v").textContent;
    first.append(element("span", "v", value.length > 160 ? value.slice(0, 160) + "…" : value), ". These have it:");
    line.append(first, row.querySelector(".members").cloneNode(true));
  } else {
    line.append("Shares a value with others that only one record may have. ");
  }
  line.append(button);
  return line;
}

function fieldTable(r) {
  const scroll = element("div", "scroll"), table = element("table", "fields"), head = element("tr");
  const title = element("caption", "hidden", "Fields of " + r.key);
  const versions = columns(r);
  table.classList.add("of" + versions.length);
  for (const name of ["Field", ...versions.map((v) => v.name)]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    head.append(cell);
  }
  const top = element("thead"), rows = element("tbody");
  top.append(head);
  for (const f of r.fields) rows.append(fieldRow(f, versions));
  table.setAttribute("role", "table");
  table.append(title, top, rows);
  scroll.append(table);
  return scroll;
}

// item is a record of the list: a button that opens it, and its decision.
function item(r, open) {
  const li = element("li", "record");
  li.dataset.at = r.at;
  const line = element("div", "line"), button = element("button", "open"), id = "r" + r.at;
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const what = element("span", "what " + (r.state || r.klass).replaceAll(" ", "-"), r.state || r.klass);
  const name = element("span", "name");
  name.append(element("span", "key", r.key), element("span", "ns", r.ns));
  button.append(what, name, element("span", "preview", preview(r)), element("span", "at", r.last ? clock(r.last) : ""));
  line.append(button, picker(r));
  li.append(line);
  button.addEventListener("click", () => toggle(li, r));
  if (open || opened.has(r)) toggle(li, r, true);
  mark(li, r);
  button.id = id;
  return li;
}

function toggle(li, r, always) {
  const button = li.querySelector(".open"), there = li.querySelector(".body");
  if (there && !always) {
    there.remove();
    opened.delete(r);
  } else if (!there) {
    li.append(body(r));
    if (!always) opened.add(r);
  }
  button.setAttribute("aria-expanded", String(Boolean(li.querySelector(".body"))));
}

function picker(r) {
  if (!r.choices) return element("span", "nothing", "nothing to decide");
  const box = element("div", "pick"), select = element("select", "decision");
  select.setAttribute("aria-label", "Decision for " + short(r.key));
  select.append(option("", "no decision"));
  for (const [letter, word] of decisions) if (r.choices.includes(letter)) select.append(option(letter, word));
  select.addEventListener("change", () => decideOne(r, select.value));
  box.append(select);
  if (r.suggested) box.append(element("span", "hint", "suggested: " + r.suggested));
  return box;
}

function option(value, text) {
  const o = element("option", "", text);
  o.value = value;
  return o;
}

// mark shows the decision of a record on its line.
function mark(li, r) {
  const letter = decided.get(r) || "", select = li.querySelector("select");
  if (select) select.value = letter;
  li.classList.toggle("decided", letter !== "");
}

function refreshDecisions() {
  for (const li of $("list").children) mark(li, records[li.dataset.at]);
}
