// The script of the report: its table and its plots.
const $ = id => document.getElementById(id);
const script = (id, type) => URL.createObjectURL(new Blob([$(id).textContent], {type}));
const decode = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const short = (text, most) => text.length > most ? text.slice(0, most) + "…" : text;
const titled = run => folded(short(run.name, 30) + (data.groups.length > 1 ? `: ${short(run.group, 60)}` : ""));
const numbers = text => text ? Array.from(new Float32Array(decode(text).buffer)) : [];
const data = JSON.parse($("data").textContent);

// Plotly interprets a few tags in texts; names are shown literally.
const plain = name => String(name).replace(/&/g, "&amp;").replace(/</g, "&lt;");
// Breaks long names into lines.
const folded = name => plain(name).split(", ").reduce((lines, part) => {
  const last = lines[lines.length - 1];
  return last && (last + part).length < 34 ? [...lines.slice(0, -1), `${last}, ${part}`] : [...lines, part];
}, []).join(",<br>");
const shown = value => value === null || value === undefined ? "null" : String(value);
const figure = value => value === null ? "-" : Number(value).toExponential(2);
// Okabe and Ito's, and five of Paul Tol's that differ from them.
const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999", "#882255", "#44AA99", "#7766CC", "#999933", "#AA4499"];
const colourOf = run => colours[selected.indexOf(run) % colours.length];
const finished = data.runs.filter(run => run.status === "finished");
const column = name => data.figures.indexOf(name);
const selected = [];

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme() {
  document.documentElement.classList.toggle("dark", dark.matches);
}
theme();

// The table.
const {default: DataTable} = await import(script("datatables", "text/javascript"));
const text = DataTable.render.text();
const columns = [
  {title: "show", orderable: false, searchable: false, data: null, render: (_, type, run) => type === "display"
    ? `<input type="checkbox" data-run="${data.runs.indexOf(run)}" aria-label="show ${text.display(run.name)}"${selected.includes(run) ? " checked" : ""}>` : ""},
  {title: "run", data: "name", className: "text", render: text},
  ...data.settings.map((name, i) => ({title: plain(name), data: null, className: "text",
    render: (_, type, run) => type === "sort" || type === "type" ? run.settings[i] ?? "" : text.display(shown(run.settings[i]))})),
  ...data.figures.map((name, i) => ({title: plain(name), data: null, type: "num",
    render: (_, type, run) => type === "display" ? figure(run.figures[i]) : run.figures[i] ?? Infinity})),
  {title: "lambda_d on", data: null, type: "num", render: (_, type, run) => type === "display" ? run.switch ?? "-" : run.switch ?? Infinity},
  {title: "seconds", data: null, type: "num", render: (_, type, run) => type === "display" ? run.seconds?.toFixed(1) ?? "-" : run.seconds ?? Infinity},
  {title: "status", data: null, className: data.runs.some(run => run.message) ? "text message" : "text", render: (_, type, run) => text.display(run.message ? `${run.status}: ${run.message}` : run.status)},
];
// Keeps the ranking until a header is clicked.
const table = new DataTable("#runs", {data: data.runs, columns, order: [], pageLength: 15, lengthMenu: [15, 50, 100, -1], deferRender: true});
document.documentElement.dataset.table = "ready";

function toggle(run) {
  const at = selected.indexOf(run);
  if (at >= 0) selected.splice(at, 1); else selected.push(run);
  mark();
  overlay();
}
function mark() {
  for (const box of document.querySelectorAll("#runs input[data-run]")) {
    const run = data.runs[box.dataset.run];
    box.checked = selected.includes(run);
    box.style.accentColor = box.checked ? colourOf(run) : "";
  }
  // The map keeps its run while this is selected.
  const kept = $("mapped").selectedOptions[0]?.text;
  const options = selected.map((run, i) => new Option(run.name, i));
  $("mapped").replaceChildren(...options);
  $("mapped").selectedIndex = Math.max(0, options.findIndex(option => option.text === kept));
  $("selected").textContent = `${selected.length} of ${data.runs.length} runs selected`;
}
table.on("draw", mark);
$("runs").addEventListener("click", event => {
  const row = event.target.closest("tbody tr");
  const run = row && table.row(row).data();
  if (run) toggle(run);
});
// A row under the pointer lights its lines.
function light(run) {
  for (const plot of document.querySelectorAll(".plot:not([hidden])")) {
    const lines = plot.querySelectorAll(".scatterlayer .trace");
    (plot.data ?? []).forEach((trace, i) => {
      if (lines[i] && trace.legendgroup) lines[i].style.opacity = run && trace.legendgroup !== String(selected.indexOf(run)) ? 0.12 : "";
    });
  }
}
$("runs").addEventListener("mouseover", event => {
  const row = event.target.closest("tbody tr"), run = row && table.row(row).data();
  light(run && selected.includes(run) ? run : null);
});
$("runs").addEventListener("mouseleave", () => light(null));
$("clear").addEventListener("click", () => { selected.length = 0; mark(); overlay(); });

// The plots are drawn once the table can be used.
await new Promise(resolve => setTimeout(resolve, 0));
await new Promise((resolve, reject) => {
  const element = document.createElement("script");
  Object.assign(element, {src: script("plotly", "text/javascript"), onload: resolve, onerror: reject});
  document.head.append(element);
});

// Without a mouse the buttons would always be there, and hide the title.
function draw(id, traces, layout) {
  const ink = dark.matches ? "#e8e8ea" : "#1c1c1e", line = dark.matches ? "#3c3c42" : "#d8d8dc";
  const axis = {gridcolor: line, zerolinecolor: line, automargin: true};
  Plotly.react(id, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink, size: 12}, showlegend: false,
    margin: {l: 60, r: 15, t: 40, b: 45}, ...layout, title: {text: layout.title, font: {size: 14}},
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis},
  }, {responsive: true, displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches && "hover"});
}
const logarithmic = title => ({type: "log", title: {text: title, standoff: 8}, exponentformat: "power"});
// A column of a table of numbers by rows.
const column_of = (packed, width, at) => numbers(packed).filter((_, i) => i % width === at);
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
// A line, or points if some of its values are not known.
const pointed = trace => trace.y.some(Number.isNaN) ? {...trace, mode: "markers", marker: {color: trace.line.color, size: 5}} : trace;
const quantities = target => target.outputs.flatMap((y, p) => [{name: y, p, d: null},
  ...target.inputs.map((x, d) => ({name: `∂${y}/∂${x}`, p, d}))]);
const logOf = values => {
  const least = Math.min(...values.map(Math.abs).filter(value => value > 0));
  return values.map(value => Math.log10(Math.max(Math.abs(value), Number.isFinite(least) ? least : 1)));
};
const named = title => ({title: {text: title, standoff: 8}});

function overlayCurves(each, ink) {
  const name = $("output").value;
  const shown = make => each((run, style) => {
    const target = functionOf(run), p = isCurve(run) ? target.outputs.indexOf(name) : -1;
    return p < 0 ? [] : make(run, style, target, p);
  });
  const targets = [...new Set(selected.filter(isCurve).map(functionOf))].filter(target => target.outputs.includes(name));
  const x = named(plain([...new Set(targets.map(target => target.inputs[0]))].join(" or ") || "x"));
  const [y, u] = name === "f" ? ["f", "u"] : [plain(name), `fit of ${plain(name)}`];
  for (const [id, error, d, label, fit] of [["value", "error_f", null, y, u], ["derivative", "error_df", 0, `${y}'`, name === "f" ? "u'" : `fit of ${y}'`]]) {
    draw(id, [
      ...targets.map(target => (pointed({name: label, x: numbers(target.x), y: labels(target, target.outputs.indexOf(name), d), line: {color: ink, width: 3}, opacity: 0.5}))),
      ...shown((run, style, target, p) => [{...style, x: numbers(target.x), y: fits(run, target, p, d), line: {...style.line, dash: "dash"}}]),
    ], {title: `${fit} (dashed) and ${label} (thick)`, xaxis: x});
    draw(error, shown((run, style, target, p) => [pointed({...style, x: numbers(target.x), y: errors(run, target, p, d).map(Math.abs)})]),
      {title: `absolute error of ${name === "f" ? fit : label}`, xaxis: x, yaxis: logarithmic("")});
  }
}

// More than one input: predicted against true, the errors' distribution, the errors along an input and over two.
function overlayErrors(each, ink) {
  const name = $("quantity").value, [first, second] = [$("first").value, $("second").value];
  const found = run => isCurve(run) ? null : functionOf(run) && quantities(functionOf(run)).find(one => one.name === name);
  const shown = make => each((run, style) => {
    const one = found(run), target = functionOf(run);
    return one ? make(style, target, labels(target, one.p, one.d), errors(run, target, one.p, one.d), fits(run, target, one.p, one.d)) : [];
  });
  const dots = (style, x, y) => ({type: "scatter", mode: "markers", name: style.name, legendgroup: style.legendgroup, x, y, marker: {color: style.line.color, size: 5, opacity: 0.6}});
  const input = (target, x) => column_of(target.x, target.inputs.length, target.inputs.indexOf(x));
  const drawn = shown((style, target, y, off, u) => [dots(style, y, u)]);
  const all = drawn.flatMap(trace => trace.x.flatMap((x, i) => [x, trace.y[i]])).filter(value => !Number.isNaN(value));
  const ends = all.length ? [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] : [];
  const what = plain(name);
  draw("parity", [{type: "scatter", mode: "lines", hoverinfo: "skip", x: ends, y: ends, line: {color: ink, width: 1}}, ...drawn],
    {title: `${what}: predicted against true (line: equal)`, xaxis: named(`true ${what}`), yaxis: named(`predicted ${what}`)});
  draw("residual", shown((style, target, y, off) => {
    const sizes = off.map(Math.abs).filter(value => !Number.isNaN(value)).sort((a, b) => a - b);
    return [{...style, x: sizes, y: sizes.map((_, i) => (i + 1) / sizes.length)}];
  }), {title: `${what}: distribution of the absolute error`, xaxis: logarithmic(`absolute error of ${what}`), yaxis: {...named("share of the points with a smaller error"), range: [0, 1.02]}});
  draw("along", shown((style, target, y, off) => target.inputs.includes(first) ? [dots(style, input(target, first), off.map(Math.abs))] : []),
    {title: `${what}: absolute error along ${plain(first)}`, xaxis: named(plain(first)), yaxis: logarithmic("")});
  const run = selected[$("mapped").value], one = run && found(run), target = one && functionOf(run);
  const on = one && target.inputs.includes(first) && target.inputs.includes(second) && first !== second;
  const off = on ? errors(run, target, one.p, one.d).map(Math.abs) : [], at = off.map((_, i) => i).filter(i => !Number.isNaN(off[i]));
  const [across, up] = on ? [first, second].map(x => input(target, x)) : [[], []];
  draw("map", [{type: "scatter", mode: "markers", x: at.map(i => across[i]), y: at.map(i => up[i]), text: at.map(i => figure(off[i])), hoverinfo: "x+y+text",
    marker: {size: 9, color: logOf(at.map(i => off[i])), colorscale: "Cividis", showscale: at.length > 0, colorbar: {title: {text: "log10 of<br>the error"}, thickness: 14}}}],
    {title: on ? `${what}: absolute error, run ${short(plain(run.name), 30)}` : "error map: select a run and two inputs", xaxis: named(plain(first)), yaxis: named(plain(second))});
}

function overlay() {
  const styles = selected.map((run, i) => ({name: titled(run), legendgroup: String(i), line: {color: colourOf(run), width: 1.6}}));
  const each = make => selected.flatMap((run, i) => make(run, styles[i], i));
  const ink = dark.matches ? "#e8e8ea" : "#1c1c1e";
  $("legend").replaceChildren(...selected.map(run => {
    const item = document.createElement("li"), mark = document.createElement("span");
    mark.style.background = colourOf(run);
    item.append(mark, `${run.name}${data.groups.length > 1 ? `: ${run.group}` : ""}`);
    return item;
  }));
  overlayCurves(each, ink);
  overlayErrors(each, ink);
  const curves = plot => Object.entries(data.curves[plot]).flatMap(([key, dash]) => each((run, style) => run.curves[key] ? [{...style, x: numbers(run.curves.step), y: numbers(run.curves[key]),
    name: `${style.name}: ${key}`, line: {...style.line, dash}, connectgaps: true}] : []));
  const switches = each((run, style) => run.switch ? [{type: "line", x0: run.switch, x1: run.switch, yref: "paper", y0: 0, y1: 1,
    line: {color: style.line.color, width: 1, dash: "dot"}}] : []);
  draw("losses", curves("losses"),
    {title: "loss (dotted: train; vertical: lambda_d on)", xaxis: named("optimiser step"), yaxis: logarithmic(""), shapes: switches});
  draw("norms", curves("norms"),
    {title: "gradient norms: MSE_f solid, MSE_df dashed", xaxis: named("optimiser step"), yaxis: logarithmic(""), shapes: switches});
  draw("cosine", curves("cosine"),
    {title: "cosine of the two gradients", xaxis: named("optimiser step"), yaxis: {range: [-1.05, 1.05]}, shapes: switches});
  const moved = make => each((run, style) => run.places ? [{...style, marker: {color: style.line.color, size: 4}, ...make(numbers(run.places.x), numbers(run.places.step))}] : []);
  draw("density", moved((x, step) => {
    const last = Math.max(...step), width = (Math.max(...x) - Math.min(...x)) / 20;
    return {type: "histogram", histnorm: "probability density", x: x.filter((_, i) => step[i] === last), opacity: 0.6,
      xbins: {start: Math.min(...x), end: Math.max(...x) + width / 2, size: width}};
  }), {title: "final density of the training points", xaxis: named("x"), barmode: "overlay"});
  draw("places", moved((x, step) => ({type: "scatter", mode: "markers", x, y: step, opacity: 0.7})),
    {title: "training points over the steps", xaxis: named("x"), yaxis: named("optimiser step")});
  // Points, because a bar on a logarithmic axis would begin at an arbitrary value.
  draw("regions", each((run, style) => [{type: "scatter", mode: "markers", name: style.name, legendgroup: style.legendgroup, x: data.regions.map(plain), y: run.regions,
    marker: {color: style.line.color, size: 8}}]), {title: `${data.part} by ${data.by}`, scattermode: "group", xaxis: {type: "category"}, yaxis: logarithmic("")});
}

function overview() {
  const names = data.groups.map(group => group.name), [across, up] = data.front;
  const best = data.groups.slice(0, 20), height = 200 + 50 * best.length;
  const colour = name => colours[Math.max(0, names.indexOf(name)) % colours.length];
  draw("front", [{type: "scatter", mode: "markers", x: finished.map(run => run.figures[column(across)]),
    y: finished.map(run => run.figures[column(up)]), text: finished.map(run => plain(`${run.name}: ${run.group}`)),
    hoverinfo: "text+x+y", marker: {size: 8, opacity: 0.8, color: finished.map(run => colour(run.group))}}],
    {title: "the two errors of every run", xaxis: logarithmic(across), yaxis: logarithmic(up), height});
  draw("boxes", best.map(group => ({type: "box", name: folded(group.name), x: group.values, boxpoints: "all", jitter: 0.4, pointpos: 0,
    marker: {color: colour(group.name), size: 4}, orientation: "h"})),
    {title: plain(data.metric) + " over seeds" + (best.length < names.length ? ` (best ${best.length} groups)` : ""),
      xaxis: logarithmic(""), yaxis: {autorange: "reversed", automargin: true}, height});
}

const ordered = i => [...new Set(finished.map(run => shown(run.settings[i])))].sort((a, b) => a - b || String(a).localeCompare(b));
// The first two settings of the heat map are those with the most values, seeds last.
const spread = data.settings.map((name, i) => [/seed$/.test(name), -ordered(i).length, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(part => part[2]);
for (const [id, first] of data.settings.length > 1 ? [["across", spread[0]], ["down", spread[1]]] : []) {
  data.settings.forEach((name, i) => $(id).append(new Option(name, i, i === first, i === first)));
  $(id).addEventListener("change", heat);
}
$("statistic")?.addEventListener("change", heat);
function heat() {
  if (data.settings.length < 2) return;
  const [i, j] = [Number($("across").value), Number($("down").value)], across = ordered(i), down = ordered(j);
  const median = values => values.sort((a, b) => a - b)[(values.length - 1) >> 1] / 2 + values[values.length >> 1] / 2;
  const of = run => run.figures[column(data.metric)];
  const statistics = {
    all: runs => median(runs.map(of)),
    run: runs => Math.min(...runs.map(of)),
    group: runs => Math.min(...[...new Set(runs.map(run => run.group))].map(group => median(runs.filter(run => run.group === group).map(of)))),
  };
  const statistic = statistics[$("statistic").value];
  const cells = down.map(y => across.map(x => {
    const runs = finished.filter(run => shown(run.settings[i]) === x && shown(run.settings[j]) === y && of(run) !== null);
    return runs.length ? statistic(runs) : null;
  }));
  draw("heat", [{type: "heatmap", x: across.map(plain), y: down.map(plain), z: cells.map(row => row.map(value => value > 0 ? Math.log10(value) : null)),
    text: cells.map(row => row.map(value => value === null ? "" : figure(value))), texttemplate: "%{text}", hoverinfo: "x+y+text",
    colorscale: "Viridis", reversescale: true, colorbar: {title: {text: "log10"}}}],
    {title: `${plain(data.metric)} of ${$("statistic").selectedOptions[0].text}`, xaxis: {type: "category", ...named(plain(data.settings[i]))}, yaxis: {type: "category", ...named(plain(data.settings[j]))}});
}

// The quantities and inputs of the functions.
const names = lists => [...new Set(lists.flat())];
const curved = data.functions.filter(target => target.inputs.length === 1), others = data.functions.filter(target => target.inputs.length > 1);
const inputs = names(others.map(target => target.inputs));
for (const [id, choices, chosen] of [["output", names(curved.map(target => target.outputs)), 0],
    ["quantity", names(others.map(target => quantities(target).map(one => one.name))), 0], ["first", inputs, 0], ["second", inputs, 1]]) {
  choices.forEach((name, i) => $(id).append(new Option(name, name, i === chosen, i === chosen)));
  $(id).addEventListener("change", overlay);
}
$("mapped").addEventListener("change", overlay);

// Hide what has no data: points that never move, fits of one input or of several.
const hide = (ids, hidden) => ids.forEach(id => { $(id).hidden = hidden; });
hide(["density", "places"], !data.runs.some(run => run.places));
hide(["value", "derivative", "error_f", "error_df"], !curved.length);
hide(["of_output"], $("output").length < 2);
hide(["of_quantity", "parity", "residual", "along", "map"], !others.length);

function everything() { overlay(); overview(); heat(); }
// The best run of each of the two best groups is selected first.
for (const group of data.groups.slice(0, 2)) {
  const run = finished.find(run => run.group === group.name);
  if (run) selected.push(run);
}
mark();
everything();
dark.addEventListener("change", () => { theme(); everything(); });
document.documentElement.dataset.plots = "ready";
