// The table of runs: filters, selection, download.
const {default: DataTable} = await import(script("datatables", "text/javascript"));
const selected = [];
const text = DataTable.render.text();

// A filter of numbers: from one to another.
const ranges = new Map();  // by title: the bounds of a column, and the number of a run in it
DataTable.ColumnControl.content.range = {
  defaults: {},
  init({of, title, _parents}) {
    const box = document.createElement("div"), bounds = ranges.get(title)?.bounds ?? [-Infinity, Infinity];
    box.className = "range";
    for (const [i, word] of ["from", "to"].entries()) {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, {type: "text", inputMode: "decimal", ariaLabel: `${title} ${word}`, value: Number.isFinite(bounds[i]) ? bounds[i] : ""});
      input.addEventListener("input", () => {
        bounds[i] = input.value.trim() === "" || Number.isNaN(Number(input.value)) ? [-Infinity, Infinity][i] : Number(input.value);
        const active = bounds.some(Number.isFinite);
        active ? ranges.set(title, {bounds, of}) : ranges.delete(title);
        _parents?.forEach(parent => parent.activeList(`${this.unique()}range`, active));
        this.dt().draw();
      });
      label.append(`${word} `, input);
      box.append(label);
    }
    return box;
  },
};
const sign = content => [{extend: "dropdown", icon: "search", text: "Filter", content: [content]}];
const words = sign({extend: "searchList", orthogonal: "display"});
const range = (title, of) => {
  if (kept?.ranges[title]) ranges.set(title, {bounds: kept.ranges[title].map(Number), of});
  return sign({extend: "range", title, of});
};
const headed = (title, name = title) => ({title: `<span title="${data.meanings[name] ?? ""}">${plain(title).replace(/[./ ]/g, "$&<wbr>")}</span>`, ariaTitle: title});  // may be in lines
// In a CSV file it has the name and the figures of the run's own files.
const number = (title, of, digits = figure, name = title, own = of) => ({...headed(title, name), data: null, type: "num", searchable: false, columnControl: range(title, of),
  render: (_, type, run) => type === "display" ? digits(of(run)) : type === "export" ? own(run) ?? "" : of(run) ?? Infinity});
const some = of => data.runs.some(run => of(run));  // a column without any number, or of zeros, is hidden at first
const setting = (title, i) => {
  const of = run => run.settings[i], values = distinct(data.runs.map(of));
  const many = values.length > 12 && values.every(value => value === null || typeof value === "number");
  return {...headed(title), data: null, className: "text", columnControl: many ? range(title, of) : words,
    render: (_, type, run) => type === "sort" || type === "type" ? of(run) ?? "" : type === "display" ? text.display(shown(of(run))) : shown(of(run))};
};
// A text that a spreadsheet would read as a formula gets an apostrophe.
const literal = x => typeof x === "string" && /^[=+\-@\t\r]/.test(x) ? `'${x}` : x;
const textOf = html => Object.assign(document.createElement("template"), {innerHTML: html}).content.textContent;
const state = run => [run.status, run.message, run.progress].filter(Boolean).join(": ");
const box = run => `<input type="checkbox" tabindex="-1" data-run="${data.runs.indexOf(run)}" aria-label="show ${text.display(run.name)}">`;
// What a phone shows comes first: the errors of the ranking, and the status. Of r2_f it is the difference to 1, because a good fit has 0.999987.
const first = new Set([data.metric, ...data.front]).size;
const error = name => {
  const of = figureOf(name), shown = /r2_f$/.test(name) ? run => of(run) === null ? null : 1 - of(run) : of;
  return {...number(shown === of ? name : `1 - ${name}`, shown, figure, name, of), visible: data.shown.includes(name) && some(of)};
};
const columns = [
  {title: "show", orderable: false, searchable: false, data: null, columnControl: [{extend: "colVisDropdown", text: "Columns", columns: ":gt(0)"}],
    render: (_, type, run) => type === "display" ? box(run) : ""},
  {title: "run", data: "name", className: "text", columnControl: [], render: text},
  ...data.figures.slice(0, first).map(error),
  {title: "status", data: null, className: data.runs.some(run => run.message) ? "text message" : "text", columnControl: words,
    render: (_, type, run) => type === "display" ? text.display(state(run)) : type === "filter" && run.message ? state(run) : run.status},
  ...data.race ? [{...headed("candidate"), data: "group", className: "text message", columnControl: words, render: text}] : [],
  ...data.settings.map((name, i) => ({...setting(name, i), visible: !data.race || /seed$|fold$/.test(name)})),  // of a race they are many
  ...data.figures.slice(first).map(error),
  number("best step", run => run.best, value => value ?? "-"),
  {...number("lambda_d on", run => run.switch, value => value ?? "-"), visible: distinct(data.runs.map(run => run.switch)).length > 1},
  number("seconds", run => run.seconds, value => value?.toFixed(1) ?? "-"),
];
// With a header that is there, ColumnControl makes none of its own, by which nothing could be sorted.
$("runs").innerHTML = `<thead><tr>${columns.map(({title}) => `<th scope="col">${title}</th>`).join("")}</tr></thead>`;
// Keeps the ranking until a header is clicked.
const table = new DataTable("#runs", {data: data.runs, columns, order: [], pageLength: 15, lengthMenu: [15, 50, 100, -1], deferRender: true,
  search: {smart: true}, autoWidth: false, stateSave: true, stateDuration: -1,
  layout: {
    topStart: {buttons: [
      {text: "Select all", action: () => select(matching())},
      {text: "Clear the selection", action: () => select([])},
      {extend: "csv", text: "Download CSV", filename: "comparison",
        exportOptions: {columns: ":gt(0)", orthogonal: "export", stripHtml: false, decodeEntities: false, format: {body: literal, header: title => literal(textOf(title).replace(/^1 - /, ""))}, modifier: {search: "applied", order: "applied"}}},
    ]},
    bottomStart: ["pageLength", "info"],
  }});
table.search.fixed("ranges", (_, run) => [...ranges.values()].every(({bounds: [from, to], of}) => {
  const value = of(run);
  return value !== null && value !== undefined && from <= value && value <= to;
}));
if (ranges.size) table.draw(false);
let rows = null;
const matching = () => rows ??= table.rows({search: "applied", order: "index"}).data().toArray();
table.on("search draw", () => { rows = null; });
document.documentElement.dataset.table = "ready";

function select(runs) {
  selected.splice(0, selected.length, ...runs);
  paint();
  mark();
  legend();
  refresh(ofSelected);
}
function mark() {
  for (const input of document.querySelectorAll("#runs input[data-run]")) {
    input.checked = selected.includes(data.runs[input.dataset.run]);
    input.style.accentColor = input.checked ? colourOf(data.runs[input.dataset.run]) : "";
  }
}
// The checkboxes are one stop of the tab key: the arrows move among them.
function stop(input = document.querySelector("#runs input[data-run]")) {
  for (const other of document.querySelectorAll('#runs input[tabindex="0"]')) other.tabIndex = -1;
  if (input) input.tabIndex = 0;
}
table.on("draw", () => { mark(); stop(); });
$("runs").addEventListener("keydown", event => {
  const step = {ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling"}[event.key];
  const next = event.target.dataset?.run && step && event.target.closest("tr")[step]?.querySelector("input[data-run]");
  if (!next) return;
  event.preventDefault();
  stop(next);
  next.focus();
});
$("runs").addEventListener("click", event => {
  const row = event.target.closest("tbody tr"), run = row && table.row(row).data();
  if (run) select(selected.includes(run) ? selected.filter(one => one !== run) : [...selected, run]);
});
// A row under the pointer lights its lines.
function light(run) {
  const group = series.find(one => one.runs.includes(run))?.key;
  for (const element of document.querySelectorAll(".plot:not([hidden])")) {
    const lines = element.querySelectorAll(".scatterlayer .trace");
    (element.data ?? []).forEach((trace, i) => {
      if (lines[i] && trace.legendgroup) lines[i].style.opacity = run && trace.legendgroup !== group ? 0.12 : "";
    });
  }
}
$("runs").addEventListener("mouseover", event => {
  const row = event.target.closest("tbody tr"), run = row && table.row(row).data();
  light(run && selected.includes(run) ? run : null);
});
$("runs").addEventListener("mouseleave", () => light(null));
