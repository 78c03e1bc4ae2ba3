/**
 * What one reviewer says about one take of a picture, and how the votes of several people and files come together: the
 * same as `pipeline/votes.py`, and a test holds the two against each other. Nothing here knows the page.
 */

/**
 * @typedef {"decision" | "stars" | "note"} Field
 * @typedef {{picture: string, file: string, label: string, take: number, decision: string, stars: number, note: string,
 *   who: string, when: string, times?: Partial<Record<Field, string>>}} Decision as schemas/decisions.schema.json has it
 * @typedef {{value: string | number, when: string}} Vote
 * @typedef {Partial<Record<Field, Vote>>} Votes without the fields on which a reviewer never said anything
 */

export const MOST_NOTE = 4000;
/** @type {Field[]} */
export const FIELDS = ["decision", "stars", "note"];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
const SPACES = /[\s\x1c-\x1f\x85]+/g; // what Python calls space as well
const EDGES = /^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g;

/** @param {any} each @param {string} [reviewer] whose it is without a name of its own @returns {Decision | null} an entry of a file, and nothing else; null for what is none */
export function whole(each, reviewer = "") {
  if (typeof each !== "object" || each === null) return null;
  const { picture, file, label, take = 0, decision, stars = 0, note = "", who, when, times } = each;
  const right = isText(picture, 64) && /^([0-9a-f]{32}){1,2}$/.test(picture) && isText(file, 64) && /^[0-9a-f]{64}$/.test(file) &&
    isText(label, 4000) && isText(note, MOST_NOTE) && isText(who, 200) && ["approved", "rejected", ""].includes(decision) &&
    Number.isInteger(take) && take >= 0 && Number.isInteger(stars) && stars >= 0 && stars <= 5 &&
    isTime(when) && (times === undefined || areTimes(times));
  if (!right) return null;
  const name = plainName(who) || plainName(reviewer);
  const found = { picture, file, label, take, decision, stars, note: note.replace(EDGES, ""), who: name, when, ...(times && { times }) };
  return times ? entryOf(found, votesOf(found)) : found;
}

/** @param {any} value @param {number} most characters */
function isText(value, most) {
  return typeof value === "string" && (value.length <= most || [...value].length <= most);
}

/** @param {any} value @returns {value is string} whether it is a time that there is, in UTC */
export function isTime(value) {
  if (!isText(value, 40) || !TIME.test(value) || value < "0001") return false;
  const date = new Date(value.slice(0, 19) + "Z"); // the 30th of February becomes a day in March
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 19) === value.slice(0, 19);
}

/** @param {any} value */
function areTimes(value) {
  const entries = typeof value === "object" && value ? Object.entries(value) : [];
  return entries.length > 0 && entries.every(([field, time]) => FIELDS.includes(/** @type {Field} */ (field)) && isTime(time));
}

/** @param {string} who @returns {string} with single spaces, and none around it */
export function plainName(who) {
  return who.replace(SPACES, " ").replace(/^ | $/g, "");
}

/** @param {string} name @returns {string} the same in any case, spacing and Unicode composition; empty without a name */
export function personOf(name) {
  return plainName(name).normalize("NFC").toLowerCase().normalize("NFC");
}

/** @param {Decision} each @returns {string} who said it; nobody knows whether two without a name are one person, so none of them is lost */
export function idOf(each) {
  const { when, decision, stars, note, times = {} } = each;
  return personOf(each.who) || "\n" + JSON.stringify([when, decision, stars, note, ...FIELDS.map((field) => times[field] ?? "")]);
}

/** @param {Decision} each @returns {Votes} */
export function votesOf(each) {
  const times = each.times ?? {};
  const allBack = !each.times && !each.decision && !each.stars && !each.note;
  /** @type {Votes} */
  const found = {};
  for (const field of FIELDS) {
    if (each[field] || allBack || times[field]) found[field] = { value: each[field], when: times[field] ?? each.when };
  }
  return found;
}

/** @template {Decision} T @param {T} base @param {Votes} votes @returns {T} these votes as `base`'s reviewer's entry; the same votes are always the same entry */
export function entryOf(base, votes) {
  const said = FIELDS.filter((field) => votes[field]);
  const when = said.map((field) => /** @type {Vote} */ (votes[field]).when).reduce((one, other) => inTime(one, other) < 0 ? other : one);
  const allBack = said.length === FIELDS.length && said.every((field) => !votes[field]?.value && votes[field]?.when === when);
  const timed = allBack ? [] : said.filter((field) => votes[field]?.when !== when || !votes[field]?.value);
  const { times, ...rest } = base;
  return /** @type {T} */ (/** @type {unknown} */ ({
    ...rest, decision: votes.decision?.value ?? "", stars: votes.stars?.value ?? 0, note: votes.note?.value ?? "", when,
    ...(timed.length && { times: Object.fromEntries(timed.map((field) => [field, votes[field]?.when])) }),
  }));
}

/** @template {Decision} T @param {T} one @param {T} other of the same reviewer and take @returns {T} both as one: of each field the newest vote */
export function joined(one, other) {
  const votes = votesOf(one);
  for (const [name, vote] of Object.entries(votesOf(other))) {
    const field = /** @type {Field} */ (name);
    const before = votes[field];
    if (!before || byVote(before, vote) < 0) votes[field] = vote;
  }
  const newer = inTime(one.when, other.when) || byText(one.who, other.who) || byText(one.label, other.label) || one.take - other.take;
  return entryOf(newer < 0 ? other : one, votes);
}

/** @param {Decision} one @param {Decision} other @returns {boolean} whether both say the same, at the same times */
export function sameVotes(one, other) {
  const [votes, others] = [votesOf(one), votesOf(other)];
  return FIELDS.every((field) => votes[field]?.value === others[field]?.value && votes[field]?.when === others[field]?.when);
}

/** @param {Field} field @returns {(one: Decision, other: Decision) => number} for sorting: the newest vote on it first, then who said nothing on it */
export function newestFirst(field) {
  return (one, other) => {
    const [mine, others] = [votesOf(one)[field], votesOf(other)[field]];
    if (!one[field] || !other[field] || !mine || !others) return (other[field] ? 1 : 0) - (one[field] ? 1 : 0);
    return -(byVote(mine, others) || byText(one.who, other.who) || byText(one.note, other.note));
  };
}

/** @param {Vote} one @param {Vote} other @returns {number} below zero where the other counts; where two are of one moment, the same for everybody */
function byVote(one, other) {
  return byMoment(one.when, other.when) || byText(one.value, other.value) || byText(one.when, other.when);
}

/** @param {string} one @param {string} other @returns {number} */
function inTime(one, other) {
  return byMoment(one, other) || byText(one, other);
}

/** @param {string} one @param {string} other @returns {number} a fraction of a second is later than none */
export function byMoment(one, other) {
  const [mine, others] = [one, other].map((when) => when.slice(0, 19) + when.slice(20, -1).padEnd(9, "0"));
  return mine < others ? -1 : mine > others ? 1 : 0;
}

/** @param {string | number} one @param {string | number} other @returns {number} texts by their characters, as Python has it, and not by halves of them */
function byText(one, other) {
  if (typeof one === "number" || typeof other === "number") return Number(one) - Number(other);
  const [mine, others] = [[...one], [...other]];
  const at = mine.findIndex((each, place) => each !== others[place]);
  if (at < 0) return mine.length - others.length;
  return at < others.length ? /** @type {number} */ (mine[at].codePointAt(0)) - /** @type {number} */ (others[at].codePointAt(0)) : 1;
}
