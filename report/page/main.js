// The page: filters, pages, keys, print.
const view = { page: 0, group: 0, printing: false };

function fill(id, values, wordOf) {
  for (const value of values) $(id).append(option(String(value), wordOf ? wordOf(value) : value));
}
const distinct = (of) => Array.from(new Set(records.map(of))).filter(Boolean).sort();

function fillFilters() {
  fill("ns", distinct((r) => r.ns));
  fill("class", distinct((r) => r.klass));
  fill("state", distinct((r) => r.state));
  $("statebox").hidden = !data.looked;
  fill("decided", ["none", ...decisions.keys()], (letter) => decisions.get(letter) || "no decision yet");
  const bursts = new Map();
  for (const r of records) for (const n of r.bursts) bursts.set(n, (bursts.get(n) || 0) + 1);
  fill("burst", Array.from(bursts.keys()).sort((a, b) => a - b), (n) => n + " (" + recordsText(bursts.get(n)) + ")");
  $("burstbox").hidden = bursts.size === 0;
  const timed = records.some((r) => r.first); // two states that were compared have no history
  for (const id of ["from", "until", "order"]) $(id).parentElement.hidden = !timed;
  const only = [];
  if (records.some((r) => r.groups.length)) only.push("duplicates");
  if (records.some(hasConflict)) only.push("conflicts");
  if (records.some(hasCut)) only.push("cut");
  const words = { duplicates: "duplicates", conflicts: "changed on both sides", cut: "records with cut values" };
  fill("only", only, (value) => words[value]);
  fill("bulk", ["suggested", ...decisions.keys(), "none"].filter((v) => v !== "suggested" || records.some((r) => r.suggested)),
    (v) => (v === "none" ? "no decision" : decisions.get(v) || "what pitr suggests"));
}

// seconds reads a time field, which people fill in UTC.
function seconds(id, otherwise) {
  const text = $(id).value;
  return text ? Date.parse(text + "Z") / 1000 : otherwise;
}

function found() {
  const hit = search($("q").value), ns = $("ns").value, klass = $("class").value, state = $("state").value;
  const letter = $("decided").value, burst = Number($("burst").value), only = $("only").value;
  const from = seconds("from", -Infinity), until = seconds("until", Infinity);
  const tests = { duplicates: (r) => r.groups.length > 0, conflicts: hasConflict, cut: hasCut };
  const list = records.filter((r) => (!ns || r.ns === ns) && (!klass || r.klass === klass) && (!state || r.state === state) &&
    (!letter || (decided.get(r) || "none") === letter) && (!burst || r.bursts.includes(burst)) && (!only || tests[only](r)) &&
    r.last >= from && r.first <= until && (!view.group || r.groups.includes(view.group)) && hit(r));
  const order = $("order").value;
  if (order === "oldest") list.sort((a, b) => a.first - b.first || a.firstAt - b.firstAt);
  if (order === "newest") list.sort((a, b) => b.last - a.last || b.lastAt - a.lastAt);
  return list;
}

// show looks for records anew and shows a page of them.
function show() {
  shown = found();
  turn(0);
  const all = shown.length === records.length;
  $("found").textContent = all ? recordsText(shown.length) : recordsText(shown.length) + " of " + count(records.length) + " found" + (view.group ? ", group " + view.group + " only" : "");
  $("bulkcount").textContent = count(shown.length);
  $("apply").disabled = shown.length === 0 || $("bulk").value === "";
}

// turn shows a page of what was found.
function turn(page) {
  const size = Number($("size").value), pages = Math.max(1, Math.ceil(shown.length / size));
  view.page = Math.min(Math.max(0, page), pages - 1);
  const from = view.page * size, part = view.printing ? shown : shown.slice(from, from + size);
  const list = part.map((r) => item(r, view.printing));
  if (part.length === 0) list.push(element("li", "empty", records.length === 0 ? "No record was touched in the gap." : "No record matches. Clear the filters to see all of them."));
  $("list").replaceChildren(...list);
  $("where").textContent = part.length === 0 ? "Page 1 of 1" : count(from + 1) + "–" + count(from + part.length) + " of " + count(shown.length) + ", page " + count(view.page + 1) + " of " + count(pages);
  $("first").disabled = $("back").disabled = view.page === 0;
  $("on").disabled = $("last").disabled = view.page === pages - 1;
}

// leaf turns pages for a button, which keeps the focus unless it can no longer be pressed.
function leaf(button, page) {
  turn(page);
  $("records").scrollIntoView();
  if (button.disabled) (button.id === "on" || button.id === "last" ? $("back") : $("on")).focus({ preventScroll: true });
}

function onlyGroup(number) {
  $("filters").reset();
  view.group = number;
  show();
  $("records").scrollIntoView();
  $("records").focus({ preventScroll: true });
}

// keys: from line to line, and decisions. They work only while the focus is on a record, so they cannot get in the way of
// typing or of a screen reader.
function keys(event) {
  const li = event.target.closest("li.record");
  if (!li || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const lines = Array.from($("list").children), at = lines.indexOf(li);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lines.length - 1 }[event.key];
  if (to !== undefined && event.target.classList.contains("open")) {
    event.preventDefault();
    const next = lines[Math.min(Math.max(0, to), lines.length - 1)].querySelector(".open");
    next.focus();
    return;
  }
  const letter = event.key.toLowerCase();
  if (letter !== "x" && !decisions.has(letter)) return;
  const r = records[li.dataset.at];
  event.preventDefault();
  if (decideOne(r, letter === "x" ? "" : letter)) say(short(r.key) + ": " + (decisions.get(letter) || "no decision") + ".");
  else say(short(r.key) + ": " + (decisions.get(letter) || "") + " does not fit this record.");
}

function applyBulk() {
  const choice = $("bulk").value;
  const letterOf = { none: () => "", suggested: (r) => letters.get(r.suggested) || null }[choice] || (() => choice);
  decideAll(shown.filter((r) => r.choices), letterOf, $("bulk").selectedOptions[0].textContent);
  $("bulk").value = "";
  $("apply").disabled = true;
}

// print shows every record that was found, opened; afterwards the page is as it was.
function print(on) {
  if (view.printing === on) return;
  view.printing = on;
  const closed = on ? document.querySelectorAll("details:not([open])") : document.querySelectorAll("details[data-shut]");
  for (const d of closed) { d.open = on; if (on) d.dataset.shut = ""; else delete d.dataset.shut; }
  turn(view.page);
}

function listen() {
  for (const id of ["ns", "class", "state", "decided", "burst", "only", "from", "until", "order"]) $(id).addEventListener("input", () => show());
  let wait = 0;
  $("q").addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(show, records.length > 2000 ? 120 : 0); });
  $("q").addEventListener("keydown", (event) => { if (event.key === "Escape" || event.key === "Enter") { event.preventDefault(); if (event.key === "Escape") $("q").value = ""; show(); } });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => { view.group = 0; setTimeout(show); });
  $("size").addEventListener("input", () => turn(0));
  $("first").addEventListener("click", (event) => leaf(event.currentTarget, 0));
  $("back").addEventListener("click", (event) => leaf(event.currentTarget, view.page - 1));
  $("on").addEventListener("click", (event) => leaf(event.currentTarget, view.page + 1));
  $("last").addEventListener("click", (event) => leaf(event.currentTarget, Infinity));
  $("bulk").addEventListener("input", () => { $("apply").disabled = shown.length === 0 || $("bulk").value === ""; });
  $("apply").addEventListener("click", applyBulk);
  $("undo").addEventListener("click", undo);
  $("save").addEventListener("click", save);
  $("load").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => { if ($("file").files[0]) await load($("file").files[0]); $("file").value = ""; });
  $("list").addEventListener("keydown", keys);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (event) => print(event.matches));
  addEventListener("beforeunload", (event) => { if (unsaved && !remembered && decided.size > 0) event.preventDefault(); });
}

// Groups of the duplicates table lead to their records.
function linkGroups() {
  for (const row of document.querySelectorAll("tr[data-group]")) {
    const number = Number(row.dataset.group);
    if (!records.some((r) => r.groups.includes(number))) continue;
    const button = element("button", "link", "show");
    button.type = "button";
    button.setAttribute("aria-label", "Show the records of group " + number);
    button.addEventListener("click", () => onlyGroup(number));
    row.firstElementChild.append(element("br"), button);
  }
}

fillFilters();
linkGroups();
listen();
recall();
show();
showTally();
$("bar").hidden = false;
document.documentElement.dataset.ready = "true";
