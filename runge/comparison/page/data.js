// The data of the page, and helpers for texts and numbers.
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);

// What the reader chose before the page was loaded again; a notebook may allow no storage.
const storage = (() => { try { return sessionStorage; } catch { return null; } })();
const place = `runge ${location.pathname}`, kept = JSON.parse(storage?.getItem(place) ?? "null");

// Plotly interprets a few tags in texts; names are shown literally. `draw` and `named` do this for titles.
const plain = name => String(name).replace(/&/g, "&amp;").replace(/</g, "&lt;");
const short = (text, most) => text.length > most ? text.slice(0, most) + "…" : text;
// Breaks long names into lines.
const folded = name => plain(name).split(", ").reduce((lines, part) => {
  const last = lines[lines.length - 1];
  return last && (last + part).length < 34 ? [...lines.slice(0, -1), `${last}, ${part}`] : [...lines, part];
}, []).join(",<br>");
const shown = value => value === null || value === undefined ? "null" : String(value);
const figure = value => Number.isNaN(value ?? NaN) ? "-" : Number(value).toExponential(2);
// A setting without its section, and the settings of a group likewise.
const tail = name => { const last = name.split(".").pop(); return data.settings.filter(other => other.split(".").pop() === last).length > 1 ? name : last; };
const brief = group => group.replace(/(^|, )([\w.]+)=/g, (_, before, key) => `${before}${tail(key)}=`);
const titled = run => folded(short(run.name, 30) + (data.groups.length > 1 ? `: ${short(brief(run.group), 60)}` : ""));
const distinct = values => [...new Set(values)];
const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b), at = q * (sorted.length - 1), low = Math.floor(at), part = at - low;
  return part ? (1 - part) * sorted[low] + part * sorted[low + 1] : sorted[low];
};
const median = values => quantile(values, 0.5);

// Numbers are base64 of little-endian 32-bit floats; inputs, which may be large and differ little, of 64-bit ones.
const decoded = new Map();
function numbers(text, floats = Float32Array) {
  if (!text) return [];
  if (!decoded.has(text)) decoded.set(text, Array.from(new floats(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer)));
  return decoded.get(text);
}
// A column of a table of numbers by rows.
const column_of = (packed, width, at) => numbers(packed).filter((_, i) => i % width === at);

const inputsOf = target => numbers(target.x, Float64Array);
const figureOf = name => { const i = data.figures.indexOf(name); return run => run.figures[i]; };
const finished = run => run.status === "finished";
const functionOf = run => "function" in run ? data.functions[run.function] : null;
const isCurve = run => functionOf(run)?.inputs.length === 1;
// The values, errors or fits of an output (d is null) or of its partial derivative.
const part = (packed, {inputs: {length: D}, outputs: {length: P}}, p, d) =>
  d === null ? column_of(packed[0], P, p) : column_of(packed[1], P * D, p * D + d);
const labels = (target, p, d) => part([target.f, target.df], target, p, d);
const errors = (run, target, p, d) => part([run.error_f, run.error_df], target, p, d);
const fits = (run, target, p, d) => {
  if (run.u) return part([run.u, run.du], target, p, d);
  const off = errors(run, target, p, d);
  return labels(target, p, d).map((y, i) => y + off[i]);
};
const quantities = target => target.outputs.flatMap((y, p) => [{name: y, p, d: null},
  ...target.inputs.map((x, d) => ({name: `∂${y}/∂${x}`, p, d}))]);

// Okabe and Ito's, and six of Paul Tol's that differ from them. In all plots the best six groups have the first six, and
// the other groups are grey.
const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#44AA99", "#7766CC", "#999933", "#AA4499", "#DDCC77"];
const grey = "#999999", most = 6;
let coloured = [];
const colourOfGroup = name => colours[coloured.indexOf(name)] ?? grey;
function swatch(colour) {
  const made = Object.assign(document.createElement("span"), {className: "swatch"});
  made.style.background = colour;
  return made;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const ink = () => dark.matches ? "#e8e8ea" : "#1c1c1e";
function theme() { document.documentElement.classList.toggle("dark", dark.matches); }
theme();
dark.addEventListener("change", () => { theme(); refresh(); });
