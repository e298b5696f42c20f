// What people have decided, by record: kept in memory, remembered by the browser where it allows that, and saved to a file.
const decided = new Map();
const steps = []; // of decisions for many at once: each can be taken back
const memory = "pitr decisions " + data.set;
let remembered = true, unsaved = false;

function decide(r, letter) {
  if (letter && !(r.choices.includes(letter))) return false;
  if (letter) decided.set(r, letter); else decided.delete(r);
  return true;
}

// decideOne is a person's decision about one record.
function decideOne(r, letter) {
  if (!decide(r, letter)) return false;
  changed();
  return true;
}

// decideAll sets a decision for many records; those for which it makes no sense stay as they are and are counted.
function decideAll(list, letterOf, word) {
  const step = [];
  let passed = 0;
  for (const r of list) {
    const letter = letterOf(r), before = decided.get(r) || "";
    if (letter === null || !decide(r, letter)) { passed++; continue; }
    if (before !== letter) step.push({ r, before, letter });
  }
  if (step.length > 0) { steps.push(step); changed(); }
  say(word + ": " + recordsText(step.length) + " changed" +
    (passed ? ", " + count(passed) + " left as they were, because this decision does not fit them" : "") + ".");
}

// undo takes back the last decision for many, but for records that were decided about one by one since.
function undo() {
  const step = steps.pop();
  if (!step) return;
  let back = 0;
  for (const { r, before, letter } of step) {
    if ((decided.get(r) || "") !== letter) continue;
    decide(r, before);
    back++;
  }
  changed();
  say("Taken back for " + recordsText(back) + ".");
}

function changed() {
  unsaved = true;
  remember();
  showTally();
  refreshDecisions();
}

function remember() {
  try {
    const all = {};
    for (const [r, letter] of decided) all[r.token] = letter;
    localStorage.setItem(memory, JSON.stringify(all));
    remembered = true;
  } catch {
    remembered = false; // private windows, closed storage, no space: the file is what counts
  }
}

// recall brings back what was decided in this browser before.
function recall() {
  let back = 0;
  try {
    const all = JSON.parse(localStorage.getItem(memory) || "{}");
    for (const [token, letter] of Object.entries(all)) {
      const r = byToken.get(token);
      if (r && decisions.has(letter) && decide(r, letter)) back++;
    }
  } catch {
    remembered = false;
  }
  if (back > 0) say(recordsText(back) + " decided about in this browser before.");
}

function showTally() {
  const tally = new Map();
  for (const letter of decided.values()) tally.set(letter, (tally.get(letter) || 0) + 1);
  const items = [];
  for (const [letter, word] of decisions) {
    const item = element("li", tally.get(letter) ? "" : "zero");
    item.append(element("b", "", count(tally.get(letter) || 0)), " " + word);
    items.push(item);
  }
  const item = element("li", "zero");
  item.append(element("b", "", count(records.length - decided.size)), " without a decision, left as they are");
  $("tally").replaceChildren(...items, item);
  $("save").disabled = decided.size === 0;
  $("undo").disabled = steps.length === 0;
  $("undo").textContent = steps.length === 0 ? "Undo" : "Undo for " + recordsText(steps[steps.length - 1].length);
}

const say = (text) => { $("said").textContent = text; };

// quote writes a cell of a CSV file.
const quote = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);

function save() {
  const lines = ["token,decision"];
  for (const r of records) if (decided.has(r)) lines.push(r.token + "," + quote(decisions.get(decided.get(r))));
  const link = element("a");
  const address = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.href = address;
  link.download = "decisions-" + data.job + ".csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  unsaved = false;
  const said = $("said");
  said.replaceChildren("Saved " + recordsText(decided.size) + " as " + link.download + ". Next, for whoever runs pitr: ",
    element("code", "command", "pitr reconcile import " + data.job + " " + link.download), " then ",
    element("code", "command", "pitr reconcile apply " + data.job + " --dry-run"));
}

// cells takes a line of a saved file apart.
function cells(line) {
  const list = [];
  for (let at = 0; at <= line.length; at++) { // at the beginning of a cell, behind it at a comma
    const quoted = /^"((?:[^"]|"")*)"/.exec(line.slice(at));
    const end = quoted ? at + quoted[0].length : (line + ",").indexOf(",", at);
    list.push(quoted ? quoted[1].replaceAll('""', '"') : line.slice(at, end));
    at = end;
  }
  return list;
}

// load adds the decisions of a saved file, as a decision for many: it can be taken back.
async function load(file) {
  const lines = (await file.text()).replace(/^\ufeff/, "").split(/\r?\n/).filter(Boolean).map(cells);
  const head = lines.shift() || [], token = head.indexOf("token"), word = head.indexOf("decision");
  if (token < 0 || word < 0) { say(file.name + " has no columns token and decision; nothing was loaded."); return; }
  const wanted = new Map();
  let strange = 0;
  for (const line of lines) {
    const r = byToken.get(line[token]), letter = letters.get((line[word] || "").trim());
    if (r && letter && r.choices.includes(letter)) wanted.set(r, letter);
    else if (!r || line[word]) strange++;
  }
  decideAll(wanted.keys(), (r) => wanted.get(r), "Loaded " + file.name);
  if (strange > 0) say($("said").textContent + " " + count(strange) + " lines name a record or a decision that this page does not know.");
}
