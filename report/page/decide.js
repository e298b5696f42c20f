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

// table takes a saved file apart, into rows of cells. Spreadsheets write semicolons or tabs where their language wants that.
function table(text) {
  const head = text.slice(0, (text + "\n").indexOf("\n"));
  const comma = [",", ";", "\t"].reduce((a, b) => (head.split(b).length > head.split(a).length ? b : a));
  const rows = [[]];
  for (let at = 0; at <= text.length; at++) { // at the beginning of a cell, behind it at what ends it
    const quoted = /"((?:[^"]|"")*)"/y;
    quoted.lastIndex = at;
    const inside = quoted.exec(text);
    let end = inside ? quoted.lastIndex : at;
    while (end < text.length && text[end] !== comma && text[end] !== "\n") end++;
    rows[rows.length - 1].push(inside ? inside[1].replaceAll('""', '"') : text.slice(at, end).replace(/\r$/, ""));
    if (text[end] === "\n") rows.push([]);
    at = end;
  }
  return rows.filter((row) => row.some((cell) => cell !== ""));
}

// said gives the letters of a word, as people write it: case, spaces and signs do not matter.
const said = (word) => word.toLowerCase().replace(/[\s\-_,;.]/g, "");
const spelled = new Map(Array.from(decisions, ([letter, word]) => [said(word), letter]));

// load adds the decisions of a saved file, as a decision for many: it can be taken back.
async function load(file) {
  const text = (await file.text()).replace(/^\ufeff/, "");
  if (text.startsWith("PK")) { say(file.name + " is no CSV file: save it as CSV to load it here, or give it to whoever sent you this page as it is."); return; }
  const lines = table(text), head = (lines.shift() || []).map(said), token = head.indexOf("token"), word = head.indexOf("decision");
  if (token < 0 || word < 0) { say(file.name + " has no columns token and decision; nothing was loaded."); return; }
  const wanted = new Map();
  let strange = 0;
  for (const line of lines) {
    const r = byToken.get(line[token]), letter = spelled.get(said(line[word] || ""));
    if (r && letter && r.choices.includes(letter)) wanted.set(r, letter);
    else if (!r || (line[word] && !(letter === "l" && r.choices === ""))) strange++; // to leave what there is nothing to do about is right
  }
  decideAll(wanted.keys(), (r) => wanted.get(r), "Loaded " + file.name + ", " + recordsText(wanted.size) + " decided");
  if (strange > 0) say($("said").textContent + " " + (strange === 1 ? "1 line names" : count(strange) + " lines name") + " a record that this page does not have, or a decision that it does not know or that does not fit.");
}
