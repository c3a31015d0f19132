// The selected runs: what they differ in, their files, and their plots.
const overlaid = () => selected.filter(run => matching().includes(run));
const style = run => ({type: "scatter", mode: "lines", name: titled(run), legendgroup: String(selected.indexOf(run)), line: {color: colourOf(run), width: 1.6}});
const dots = ({name, legendgroup, line}, x, y, size = 5) => ({type: "scatter", mode: "markers", name, legendgroup, x, y, marker: {color: line.color, size, opacity: 0.6}});
const each = make => overlaid().flatMap(run => make(run, style(run)));
const unlessEmpty = (traces, layout) => traces.length ? {traces, layout} : null;

function element(name, content = "", properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(content);
  return made;
}
function legend() {
  const runs = overlaid(), hidden = selected.length - runs.length;
  $("selected").textContent = selected.length ? `${selected.length} of ${data.runs.length} runs selected${hidden ? `, ${hidden} of them hidden by the filters` : ""}`
    : "Select runs in the table to see their curves.";
  const given = (run, i) => i < data.settings.length ? shown(run.settings[i]) : run.others[i - data.settings.length] ?? "";
  const all = [...data.settings, ...data.others];
  const keys = all.map((_, i) => i).filter(i => distinct(runs.map(run => given(run, i))).length > 1);
  const head = ["run", ...keys.map(i => all[i]), data.metric, "files"];
  const titles = element("tr");
  titles.append(...head.map((title, i) => element("th", title, {scope: "col", className: i ? "" : "name"})));
  const rows = runs.map(run => {
    const row = element("tr"), first = element("td", "", {className: "name"}), links = element("td", "", {className: "links"});
    const swatch = element("span", "", {className: "swatch"});
    swatch.style.background = colourOf(run);
    first.append(swatch, run.name);
    links.append(...Object.entries(run.files).map(([title, address]) => element("a", title, {href: address, target: "_blank"})));
    row.append(first, ...keys.map(i => element("td", given(run, i))), element("td", figure(figureOf(data.metric)(run))), links);
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
    const label = (name === "f" ? "f" : plain(name)) + (d === null ? "" : "'"), fit = name === "f" ? (d === null ? "u" : "u'") : `fit of ${label}`;
    const lines = runs.map(run => {
      const target = functionOf(run), x = inputsOf(target);
      return error ? pointed({...style(run), x, y: errors(run, target, at(target), d).map(Math.abs)}, target)
        : {...style(run), x, y: fits(run, target, at(target), d), line: {...style(run).line, dash: "dash"}};
    });
    const truth = error ? [] : targets.map(target => pointed({name: label, x: inputsOf(target), y: labels(target, at(target), d), line: {color: ink(), width: 3}, opacity: 0.5}, target));
    const xaxis = named(plain(distinct(targets.map(target => target.inputs[0])).join(" or ")));
    return unlessEmpty([...truth, ...lines], error ? {title: `absolute error of ${name === "f" ? fit : label}`, xaxis, yaxis: logarithmic("")}
      : {title: `${fit} (dashed) and ${label} (${targets.some(target => target.rows) ? "dots" : "thick"})`, xaxis});
  });
}

// More than one input: predicted against true, the distribution of the errors, the errors along an input and over two.
const quantityOf = run => !isCurve(run) && functionOf(run) ? quantities(functionOf(run)).find(one => one.name === $("quantity").value) : null;
const of = make => each((run, style) => {
  const one = quantityOf(run), target = functionOf(run);
  return one ? make(style, target, one.p, one.d, run) : [];
});
const input = (target, x) => inputsOf(target).filter((_, i) => i % target.inputs.length === target.inputs.indexOf(x));
const absolute = (run, target, p, d) => errors(run, target, p, d).map(Math.abs);
plot("parity", () => {
  const drawn = of((style, target, p, d, run) => [dots(style, labels(target, p, d), fits(run, target, p, d))]), what = plain($("quantity").value);
  const all = drawn.flatMap(trace => trace.x.flatMap((x, i) => [x, trace.y[i]])).filter(value => !Number.isNaN(value));
  const ends = all.length ? [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))] : [];
  return drawn.length ? {traces: [{type: "scatter", mode: "lines", hoverinfo: "skip", x: ends, y: ends, line: {color: ink(), width: 1}}, ...drawn],
    layout: {title: `${what}: predicted against true (line: equal)`, xaxis: named(`true ${what}`), yaxis: named(`predicted ${what}`)}} : null;
});
plot("residual", () => unlessEmpty(of((style, target, p, d, run) => {
  const sizes = absolute(run, target, p, d).filter(value => !Number.isNaN(value)).sort((a, b) => a - b);
  return [{...style, x: sizes, y: sizes.map((_, i) => (i + 1) / sizes.length)}];
}), {title: `${plain($("quantity").value)}: distribution of the absolute error`, xaxis: logarithmic(`absolute error of ${plain($("quantity").value)}`),
  yaxis: {...named("share of the points with a smaller error"), range: [0, 1.02]}}));
plot("along", () => {
  const first = $("first").value;
  return unlessEmpty(of((style, target, p, d, run) => target.inputs.includes(first) ? [dots(style, input(target, first), absolute(run, target, p, d))] : []),
    {title: `${plain($("quantity").value)}: absolute error along ${plain(first)}`, xaxis: named(plain(first)), yaxis: logarithmic("")});
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
  const title = {error: "absolute error", predicted: "prediction", true: "true values"}[what] + (what === "true" ? "" : `, run ${plain(short(run.name, 30))}`);
  return {traces: [{type: "scatter", mode: "markers", x: at.map(i => across[i]), y: at.map(i => up[i]), text: values.map(figure), hoverinfo: "x+y+text",
    marker: {size: 11, symbol: "square", color: what === "error" ? logOf(values) : values, colorscale: what === "error" ? "Cividis" : "Viridis", showscale: true,
      colorbar: {title: {text: what === "error" ? "log10 of<br>the error" : plain(one.name)}, thickness: 14}}}],
  layout: {title: `${plain(one.name)}: ${title}`, xaxis: named(plain(first)), yaxis: named(plain(second))}};
});

const switches = () => each((run, style) => run.switch ? [{type: "line", x0: run.switch, x1: run.switch, yref: "paper", y0: 0, y1: 1, line: {color: style.line.color, width: 1, dash: "dot"}}] : []);
for (const [id, layout] of Object.entries({
  losses: {title: "loss (dotted: train; vertical: lambda_d on)", yaxis: logarithmic("")},
  errors: {title: "validation: MSE_f solid, MSE_df dashed", yaxis: logarithmic("")},
  norms: {title: "gradient norms: MSE_f solid, MSE_df dashed", yaxis: logarithmic("")},
  cosine: {title: "cosine of the two gradients", yaxis: {range: [-1.05, 1.05]}},
})) {
  plot(id, () => unlessEmpty(Object.entries(data.curves[id]).flatMap(([key, dash]) => each((run, style) => run.curves[key] && numbers(run.curves[key]).some(y => !Number.isNaN(y))
    ? [{...style, mode: numbers(run.curves[key]).length > 20 ? "lines" : "lines+markers", marker: {size: 5}, x: numbers(run.curves.step), y: numbers(run.curves[key]), name: `${style.name}: ${key}`, line: {...style.line, dash}, connectgaps: true}] : [])),
  {...layout, xaxis: named("optimiser step"), shapes: switches()}));
}
// Points, because a bar on a logarithmic axis would begin at an arbitrary value.
plot("regions", () => unlessEmpty(each((run, style) => run.regions.some(value => value !== null) ? [{...dots(style, data.regions.map(plain), run.regions, 8)}] : []),
  {title: `${data.part} by ${data.by}`, scattermode: "group", xaxis: {type: "category"}, yaxis: logarithmic("")}));
const moved = make => each((run, style) => run.places ? [{...style, marker: {color: style.line.color, size: 4}, ...make(numbers(run.places.x), numbers(run.places.step))}] : []);
plot("density", () => unlessEmpty(moved((x, step) => {
  const last = Math.max(...step), width = (Math.max(...x) - Math.min(...x)) / 20;
  return {type: "histogram", histnorm: "probability density", x: x.filter((_, i) => step[i] === last), opacity: 0.6,
    xbins: {start: Math.min(...x), end: Math.max(...x) + width / 2, size: width}};
}), {title: "final density of the training points", xaxis: named("x"), barmode: "overlay"}));
plot("places", () => unlessEmpty(moved((x, step) => ({type: "scatter", mode: "markers", x, y: step, opacity: 0.7})),
  {title: "training points over the steps", xaxis: named("x"), yaxis: named("optimiser step")}));

const ofSelected = [...makers.keys()];
