// The records, read from the page's own data. Texts stand once each and are named by number; records.go writes them.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const texts = data.texts;
const IN_T = 1, IN_E = 2, IN_LIVE = 4, LIVE_IS_T = 8, LIVE_IS_E = 16; // which versions there are
const SAME = 0, CONFLICT = 2, MOVED = 3;

// Decisions by letter, as they stand in the file, with the words for people and the key that sets them.
const decisions = new Map([
  ["p", "put back"], ["g", "put back, gap wins"], ["d", "delete again"], ["l", "leave"],
]);
const letters = new Map(Array.from(decisions, ([letter, word]) => [word, letter]));

const records = data.rows.map((row, at) => ({
  at, n: row[0], token: row[1], ns: texts[row[2]], key: texts[row[3]], klass: texts[row[4]], state: texts[row[5]],
  choices: texts[row[6]], suggested: texts[row[7]], reason: texts[row[8]], first: row[9], firstAt: row[10], last: row[11],
  lastAt: row[12], ops: row[13], bursts: row[14], groups: row[15], fields: row[16], more: row[17], same: row[18], there: row[19],
}));
const byToken = new Map(records.map((r) => [r.token, r]));

const isCut = (f) => f.length > 5;
const hasConflict = (r) => r.fields.some((f) => f[1] === CONFLICT);
const hasCut = (r) => r.more > 0 || r.fields.some(isCut);

// element makes an element. Whatever comes from a database goes through textContent, so nothing in it can become markup.
function element(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
}
const count = (n) => n.toLocaleString("en-US");
const recordsText = (n) => count(n) + (n === 1 ? " record" : " records");

// clock writes seconds as a time of day in UTC, with its date where asked for.
function clock(seconds) {
  return seconds ? new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ") : "";
}

// A search asks for each word where it stands: in the texts, each of which is looked at once however many records have it.
// A word behind the name of a field, group: pilot, is looked for in that field alone.
let lowered = null, fieldNames = null;
function search(query) {
  const words = query.toLowerCase().replace(/(\S:)\s+/g, "$1").split(/\s+/).filter(Boolean);
  if (words.length === 0) return () => true;
  lowered ??= texts.map((t) => t.toLowerCase());
  fieldNames ??= new Set(data.rows.flatMap((row) => row[16].map((f) => lowered[f[0]])));
  const wanted = words.map((word) => {
    const colon = word.indexOf(":"), field = colon > 0 && fieldNames.has(word.slice(0, colon)) ? word.slice(0, colon) : "";
    const value = field ? word.slice(colon + 1) : word;
    return { word, field, hit: lowered.map((t) => t.includes(value)) };
  });
  return (r) => {
    const row = data.rows[r.at];
    return wanted.every(({ word, field, hit }) => {
      if (field) return row[16].some((f) => lowered[f[0]] === field && (hit[f[2]] || hit[f[3]] || hit[f[4]]));
      return hit[row[2]] || hit[row[3]] || hit[row[4]] || hit[row[5]] || r.token === word ||
        row[16].some((f) => hit[f[0]] || hit[f[2]] || hit[f[3]] || hit[f[4]]);
    });
  };
}
