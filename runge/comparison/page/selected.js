// The selected runs: what they differ in, their files, and their plots.
const overlaid = () => selected.filter(run => matching().includes(run));
// What the plots show: the selected runs, or if they are more than the colours the best of their groups; groups without
// a finished run are the last.
let series = [], summarised = false;
function paint() {
  const groups = grouped().map(({name}) => name), runs = overlaid();
  coloured = groups.slice(0, most);
  const painted = some => {
    const free = colours.slice(coloured.length), taken = new Set([grey]);
    return some.map(one => {
      const own = colourOfGroup(one.runs[0].group), colour = taken.has(own) ? free.shift() : own;
      taken.add(own);
      return {...one, colour};
    });
  };
  series = painted(runs.map(run => ({name: titled(run), key: run.name, runs: [run]})));
  summarised = series.some(({colour}) => !colour);
  if (summarised) series = painted(distinct([...groups, ...runs.map(run => run.group)]).map(name => ({name: brief(name), key: name, runs: runs.filter(run => run.group === name)})).filter(one => one.runs.length).slice(0, most));
}
const colourOf = run => series.find(one => one.runs.includes(run))?.colour ?? grey;
const style = ({name, key, colour}) => ({type: "scatter", mode: "lines", name: summarised ? folded(name) : name, legendgroup: key, line: {color: colour, width: 1.6}});
const dots = ({name, legendgroup, line}, x, y, size = 5) => ({type: "scatter", mode: "markers", name, legendgroup, x, y, marker: {color: line.color, size, opacity: 0.6}});
const each = make => series.flatMap(one => make(one.runs, style(one)));
// The median of rows of numbers at x, and if they are several a band from the lower to the upper quartile.
function lined(style, x, rows, finish = trace => trace) {
  if (rows.length === 1) return [finish({...style, x, y: rows[0]})];
  const [low, middle, high] = [0.25, 0.5, 0.75].map(q => x.map((_, i) => quantile(rows.map(row => row[i]).filter(Number.isFinite), q)));
  const edge = {...style, x, mode: "lines", line: {width: 0}, hoverinfo: "skip"};
  return [{...edge, y: low}, {...edge, y: high, fill: "tonexty", fillcolor: `${style.line.color}33`}, finish({...style, x, y: middle})];
}
// A column of the histories of runs, at the steps that at least half of them have.
function historical(style, key, runs) {
  const curves = runs.filter(run => run.curves[key]).map(run => new Map(numbers(run.curves.step).map((step, i) => [step, numbers(run.curves[key])[i]])));
  const counts = new Map();
  for (const curve of curves) for (const [step, y] of curve) if (Number.isFinite(y)) counts.set(step, (counts.get(step) ?? 0) + 1);
  const steps = [...counts.keys()].filter(step => 2 * counts.get(step) >= curves.length).sort((a, b) => a - b);
  return steps.length ? lined({...style, mode: steps.length > 12 ? "lines" : "lines+markers", marker: {size: 5}}, steps, curves.map(curve => steps.map(step => curve.get(step)))) : [];
}
const thinned = values => values.filter((_, i) => i % Math.ceil(values.length / 4000) === 0);
const unlessEmpty = (traces, layout) => traces.length ? {traces, layout} : null;

function element(name, content = "", properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(content);
  return made;
}
function legend() {
  const runs = overlaid(), hidden = selected.length - runs.length;
  $("selected").textContent = selected.length ? `${selected.length} of ${data.runs.length} runs selected${hidden ? `, ${hidden} of them hidden by the filters` : ""}`
      + (summarised ? `: median and quartiles of ${series.length < distinct(runs.map(run => run.group)).length ? `the best ${series.length} of ` : ""}${distinct(runs.map(run => run.group)).length} groups` : "")
    : "Select runs in the table to see their curves.";
  const given = (run, i) => i < data.settings.length ? shown(run.settings[i]) : run.others[i - data.settings.length] ?? "";
  const all = [...data.settings, ...data.others];
  const keys = all.map((_, i) => i).filter(i => distinct(runs.map(run => given(run, i))).length > 1);
  const head = summarised ? ["group", "runs", `median of ${data.metric}`] : ["run", ...keys.map(i => all[i]), data.metric, "files"];
  const titles = element("tr");
  titles.append(...head.map((title, i) => element("th", title, {scope: "col", className: i ? "" : "name"})));
  const rows = series.map(({key, colour, runs: [run, ...more]}) => {
    const row = element("tr"), first = element("td", swatch(colour), {className: "name"}), links = element("td", "", {className: "links"});
    first.append(key);
    row.append(first);
    if (summarised) {
      row.append(...[1 + more.length, figure(median([run, ...more].filter(has).map(value)))].map(cell => element("td", cell)));
      return row;
    }
    links.append(...Object.entries(run.files).map(([title, address]) => element("a", title, {href: address, target: "_blank"})));
    row.append(...keys.map(i => element("td", given(run, i))), element("td", figure(figureOf(data.metric)(run))), links);
    return row;
  });
  const made = element("table", "", {className: "plain"}), top = element("thead"), body = element("tbody");
  top.append(titles);
  body.append(...rows);
  made.append(top, body);
  $("legend").replaceChildren(...runs.length ? [made] : []);
  // The map keeps its run while this is selected.
  const kept = $("mapped").selectedOptions[0]?.text, options = runs.map((run, i) => new Option(run.name, i));
  $("mapped").replaceChildren(...options);
  $("mapped").selectedIndex = Math.max(0, options.findIndex(option => option.text === kept));
}

// One input: u and u' with f and f', and their errors. A line, or points for rows of a table, or if values are not known.
const pointed = (trace, {rows}) => rows || trace.y.some(Number.isNaN) ? {...trace, mode: "markers", marker: {color: trace.line.color, size: 5}} : trace;
for (const [id, d, error] of [["value", null, false], ["derivative", 0, false], ["error_f", null, true], ["error_df", 0, true]]) {
  plot(id, () => {
    const name = $("output").value, runs = overlaid().filter(run => isCurve(run) && functionOf(run).outputs.includes(name));
    const targets = distinct(runs.map(functionOf)), at = target => target.outputs.indexOf(name);
    const label = name + (d === null ? "" : "'"), fit = name === "f" ? (d === null ? "u" : "u'") : `fit of ${label}`;
    const lines = each((some, style) => targets.flatMap(target => {
      const own = some.filter(run => runs.includes(run) && functionOf(run) === target);
      if (!own.length) return [];
      return error ? lined(style, inputsOf(target), own.map(run => absolute(run, target, at(target), d)), trace => pointed(trace, target))
        : lined({...style, line: {...style.line, dash: "dash"}}, inputsOf(target), own.map(run => fits(run, target, at(target), d)));
    }));
    const truth = error ? [] : targets.map(target => pointed({name: plain(label), x: inputsOf(target), y: labels(target, at(target), d), line: {color: ink(), width: 3}, opacity: 0.5}, target));
    const xaxis = named(distinct(targets.map(target => target.inputs[0])).join(" or "));
    return unlessEmpty([...truth, ...lines], error ? {title: `absolute error of ${name === "f" ? fit : label}`, xaxis, yaxis: logarithmic("")}
      : {title: `${fit} (dashed) and ${label} (${targets.some(target => target.rows) ? "dots" : "thick"})`, xaxis});
  });
}

// More than one input: predicted against true, the distribution of the errors, the errors along an input and over two.
const quantityOf = run => !isCurve(run) && functionOf(run) ? quantities(functionOf(run)).find(one => one.name === $("quantity").value) : null;
const absolute = (run, target, p, d) => errors(run, target, p, d).map(Math.abs);
// A trace of some figures of the runs, joined: each is a function of a run, its function, and the quantity.
const joined = (make, ...figures) => each((runs, style) => {
  const some = runs.filter(quantityOf);
  return some.length ? [make(style, ...figures.map(of => some.flatMap(run => of(run, functionOf(run), quantityOf(run).p, quantityOf(run).d))))] : [];
});
const input = (target, x) => inputsOf(target).filter((_, i) => i % target.inputs.length === target.inputs.indexOf(x));
plot("parity", () => {
  const drawn = joined((style, x, y) => dots(style, thinned(x), thinned(y)), (_, ...where) => labels(...where), fits), what = $("quantity").value;
  const all = drawn.flatMap(trace => trace.x.flatMap((x, i) => [x, trace.y[i]])).filter(value => !Number.isNaN(value));
  const ends = all.length ? [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] : [];
  return drawn.length ? {traces: [{type: "scatter", mode: "lines", hoverinfo: "skip", x: ends, y: ends, line: {color: ink(), width: 1}}, ...drawn],
    layout: {title: `${what}: predicted against true (line: equal)`, xaxis: named(`true ${what}`), yaxis: named(`predicted ${what}`)}} : null;
});
plot("residual", () => unlessEmpty(joined((style, all) => {
  const sizes = all.filter(value => !Number.isNaN(value)).sort((a, b) => a - b);
  return {...style, x: thinned(sizes), y: thinned(sizes.map((_, i) => (i + 1) / sizes.length))};
}, absolute), {title: `${$("quantity").value}: distribution of the absolute error`, xaxis: logarithmic(`absolute error of ${$("quantity").value}`),
  yaxis: {...named("share of the points below"), range: [0, 1.02]}}));
plot("along", () => {
  const first = $("first").value;
  return unlessEmpty(joined((style, x, y) => dots(style, thinned(x), thinned(y)), (_, target) => input(target, first), (run, target, ...where) =>
    target.inputs.includes(first) ? absolute(run, target, ...where) : []),
    {title: `${$("quantity").value}: absolute error along ${first}`, xaxis: named(first), yaxis: logarithmic("")});
});
const logOf = values => {
  const least = Math.min(...values.map(Math.abs).filter(value => value > 0));
  return values.map(value => Math.log10(Math.max(Math.abs(value), Number.isFinite(least) ? least : 1)));
};
plot("map", () => {
  const run = overlaid()[$("mapped").value], one = run && quantityOf(run), target = one && functionOf(run), [first, second] = [$("first").value, $("second").value];
  if (!one || first === second || ![first, second].every(x => target.inputs.includes(x))) return null;
  const what = $("surface").value, z = {error: absolute, predicted: fits, true: (_, ...where) => labels(...where)}[what](run, target, one.p, one.d);
  const at = z.map((_, i) => i).filter(i => !Number.isNaN(z[i])), [across, up] = [first, second].map(x => input(target, x)), values = at.map(i => z[i]);
  const title = {error: "absolute error", predicted: "prediction", true: "true values"}[what] + (what === "true" ? "" : `, run ${short(run.name, 30)}`);
  return {traces: [{type: "scatter", mode: "markers", x: at.map(i => across[i]), y: at.map(i => up[i]), text: values.map(figure), hoverinfo: "x+y+text",
    marker: {size: 11, symbol: "square", color: what === "error" ? logOf(values) : values, colorscale: what === "error" ? "Cividis" : "Viridis", showscale: true,
      colorbar: {title: {text: what === "error" ? "log10 of<br>the error" : plain(one.name)}, thickness: 14}}}],
  layout: {title: `${one.name}: ${title}`, xaxis: named(first), yaxis: named(second)}};
});

const steps = {...named("optimiser step"), rangemode: "tozero"};
// Where lambda_d was switched on: the median of the runs that did.
const switches = () => each((runs, style) => {
  const on = runs.map(run => run.switch).filter(Boolean), x = median(on);
  return on.length ? [{type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: {color: style.line.color, width: 1, dash: "dot"}}] : [];
});
for (const [id, layout] of Object.entries({
  losses: {title: "loss (dotted: train; vertical: lambda_d on)", yaxis: logarithmic("")},
  errors: {title: `${Object.keys(data.curves.errors)[0]} solid, ${Object.keys(data.curves.errors)[1]} dashed`, yaxis: logarithmic("")},
  norms: {title: "gradient norms: MSE_f solid, MSE_df dashed", yaxis: logarithmic("")},
  cosine: {title: "cosine of the two gradients", yaxis: {range: [-1.05, 1.05]}},
})) {
  plot(id, () => unlessEmpty(Object.entries(data.curves[id]).flatMap(([key, dash]) => each((runs, style) => historical({...style, name: `${style.name}: ${plain(key)}`, line: {...style.line, dash}}, key, runs))),
    {...layout, xaxis: steps, shapes: switches()}));
}
// Points, because a bar on a logarithmic axis would begin at an arbitrary value.
plot("regions", () => unlessEmpty(each((runs, style) => {
  const [low, middle, high] = [0.25, 0.5, 0.75].map(q => data.regions.map((_, i) => quantile(runs.map(run => run.regions[i]).filter(Number.isFinite), q)));
  const bars = runs.length > 1 && {error_y: {type: "data", array: high.map((y, i) => y - middle[i]), arrayminus: middle.map((y, i) => y - low[i]), width: 0, thickness: 1.5}};
  return middle.some(Number.isFinite) ? [{...dots(style, data.regions.map(plain), middle, 8), ...bars}] : [];
}),
  {title: `${data.part} by ${data.by}`, scattermode: "group", xaxis: {type: "category"}, yaxis: logarithmic("")}));
const moved = make => each((runs, style) => {
  const some = runs.filter(run => run.places), [x, step] = ["x", "step"].map(name => some.flatMap(run => numbers(run.places[name])));
  return some.length ? [{...style, marker: {color: style.line.color, size: 4}, ...make(x, step)}] : [];
});
plot("density", () => unlessEmpty(moved((x, step) => {
  const last = Math.max(...step), width = (Math.max(...x) - Math.min(...x)) / 20;
  return {type: "histogram", histnorm: "probability density", x: x.filter((_, i) => step[i] === last), opacity: 0.6,
    xbins: {start: Math.min(...x), end: Math.max(...x) + width / 2, size: width}};
}), {title: "final density of the training points", xaxis: named("x"), barmode: "overlay"}));
plot("places", () => unlessEmpty(moved((x, step) => ({type: "scatter", mode: "markers", x, y: step, opacity: 0.7})),
  {title: "training points over the steps", xaxis: named("x"), yaxis: steps}));

const ofSelected = [...makers.keys()];
