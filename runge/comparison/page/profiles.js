// The answer along each input: the value and, below it, the partial derivative, with their intervals.
const ofProfiles = data.profiles.filter(one => one.output === data.profiles[0].output).map((_, i) => `profile${i}`);
const inRows = (text, count) => {
  const all = numbers(text, Float64Array), k = all.length / count;
  return Array.from({length: count}, (_, i) => all.slice(i * k, (i + 1) * k));
};
const profiled = () => data.profiles.filter(one => one.output === $("profiled").value)
  .map(one => ({...one, curve: inRows(one.curve, 6), rows: inRows(one.rows, 3)}));
const known = values => values.filter(Number.isFinite);
const rounded = value => String(Number(value.toPrecision(2)));
function within(half) {
  const sizes = known(half).sort((a, b) => a - b).map(rounded), [low, high] = [sizes[0], sizes.at(-1)];
  return sizes.length ? `${Math.round(100 * data.level)} % interval: ± ${low}${high === low ? "" : ` to ${high}`}` : "";
}
// The line, the rows and the interval of a value or a derivative.
function banded(x, y, half, rows, yaxis, colour, fill) {
  const band = known(half).length ? [{type: "scatter", mode: "lines", x: [...x, ...x.toReversed()], line: {width: 0, simplify: false}, fill: "toself", fillcolor: fill,
    y: [...y.map((value, i) => value + half[i]), ...y.map((value, i) => value - half[i]).reverse()], hoverinfo: "skip", yaxis}] : [];
  return [...band, {type: "scatter", mode: "lines", x, y, yaxis, line: {color: colour, width: 1.8, simplify: false}, customdata: half,
    hovertemplate: `%{x:.4~g}: %{y:.6~g}${band.length ? " ± %{customdata:.2~g}" : ""}<extra></extra>`},
  {type: "scatter", mode: "markers", ...rows, yaxis, marker: {color: ink(), size: 5}, hoverinfo: "x+y"}];
}
// The spans in which the points are outside the data.
const outsideOf = ([x, , , , , outside]) => x.flatMap((_, i) => outside[i] && !outside[i - 1]
  ? [{type: "rect", yref: "paper", x0: x[i], x1: x[x.findIndex((_, j) => j >= i && !outside[j + 1])], y0: 0, y1: 1, layer: "below", line: {width: 0},
    fillcolor: dark.matches ? "#3a3a3e" : "#dededf"}] : []);

ofProfiles.forEach((id, i) => plot(id, () => {
  const all = profiled(), {curve, rows, input, output} = all[i], [x, u, around, du, around_du] = curve;
  const ends = known(all.flatMap(({curve: [, u, half], rows}) => [...u, ...u.flatMap((y, i) => [y - half[i], y + half[i]]), ...rows[1]]));
  const [low, high] = [ends.reduce((a, b) => Math.min(a, b)), ends.reduce((a, b) => Math.max(a, b))], pad = 0.05 * (high - low || 1);
  const note = (text, y) => ({text, x: 0, y, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: {size: 11}});
  const shapes = outsideOf(curve), grey = shapes.length ? "grey: outside the data" : "";
  const sign = all.length > 1 ? "∂" : "d", name = short(output, 18);
  return {traces: [...banded(x, u, around, {x: rows[0], y: rows[1]}, "y", ink(), "rgba(0,114,178,0.3)"),
    ...banded(x, du, around_du, {x: rows[0], y: rows[2]}, "y2", "#D55E00", "rgba(213,94,0,0.3)")],
  layout: {margin: {t: 14}, title: `${short(output, 40)} along ${short(input, 40)}`, xaxis: {...named(input), anchor: "y2"}, shapes, hovermode: "closest",
    yaxis: {...named(name), domain: [0.56, 1], range: [low - pad, high + pad]}, yaxis2: {...named(`${sign}${name}/${sign}${short(input, 18)}`), domain: [0, 0.44]},
    annotations: [note([within(around), grey].filter(Boolean).join("; "), 1), note(within(around_du), 0.44)]}};
}));
$("profiled")?.addEventListener("change", () => refresh(ofProfiles));
