// All runs that match the filters.
const done = () => matching().filter(finished);
const value = figureOf(data.metric);
const has = run => value(run) !== null && value(run) !== undefined;
// Those that say something about their settings: a run that diverged or failed is worse than all others.
const lost = run => ["diverged", "failed"].includes(run.status) && (!data.settings.length || run.settings.some(x => x !== null));
const rated = () => matching().filter(run => lost(run) || (finished(run) && has(run)));
const rank = run => lost(run) ? Infinity : value(run);
// The mean over folds, or the median over seeds.
const middle = data.over === "folds" ? values => values.reduce((sum, value) => sum + value, 0) / values.length : median;
// Their groups with finished runs, the best first, as in the table above.
function grouped() {
  const groups = new Map(data.groups.map(({name}) => [name, []]));
  for (const run of rated()) groups.get(run.group)?.push(run);
  return [...groups].map(([name, all]) => ({name, runs: all.filter(finished), lost: all.filter(lost).length, middle: middle(all.map(rank))}))
    .filter(({runs}) => runs.length).sort((a, b) => a.middle - b.middle || a.lost - b.lost);
}
const called = ({name, runs, lost}) => short(brief(name), 66) + (lost ? `, ${lost} of ${runs.length + lost} diverged or failed` : "");
const best = (count = 10) => { const groups = grouped(); return {groups: groups.slice(0, count), cut: groups.length > count ? ` (best ${count} of ${groups.length} groups)` : ""}; };
const single = () => grouped().every(({runs}) => runs.length === 1);
const height = () => single() ? 400 : 170 + 44 * Math.max(4, best().groups.length);

plot("front", () => {
  // The coloured groups are above the others.
  const [across, up] = data.front, runs = done().sort((a, b) => coloured.includes(a.group) - coloured.includes(b.group));
  return unlessEmpty(runs.length ? [{type: "scatter", mode: "markers", x: runs.map(figureOf(across)), y: runs.map(figureOf(up)),
    text: runs.map(run => plain(`${run.name}: ${run.group}`)), hoverinfo: "text+x+y", marker: {size: 8, opacity: 0.8, color: runs.map(run => colourOfGroup(run.group))}}] : [],
  {title: "the two errors of every run", xaxis: logarithmic(across, 3), yaxis: logarithmic(up), height: height()});
});
// As in the table of groups; Plotly has other quartiles.
const quartiles = values => Object.fromEntries(Object.entries({lowerfence: 0, q1: 0.25, median: 0.5, q3: 0.75, upperfence: 1}).map(([name, q]) => [name, [quantile(values, q)]]));
plot("boxes", () => {
  const {groups, cut} = best();
  if (single()) return null;
  return unlessEmpty(groups.map(({name, runs}, i) => ({type: "box", name: folded(name), x: [runs.map(value)], y: [i], boxpoints: "all", ...quartiles(runs.map(value)), jitter: 0.4, pointpos: 0,
    marker: {color: colourOfGroup(name), size: 4}, orientation: "h"})),
  {title: `${data.metric} over ${data.over}${cut}`, xaxis: logarithmic("", 3), height: height(),
    yaxis: {autorange: "reversed", tickvals: groups.map((_, i) => i), ticktext: groups.map(group => folded(called(group)))}});
});

plot("bands", () => {
  const key = $("curve").value, {groups, cut} = best(most);
  return unlessEmpty(groups.flatMap(({name, runs}) => historical({type: "scatter", mode: "lines", name: folded(brief(name)), line: {color: colourOfGroup(name), width: 2}}, key, runs)),
    {title: key + (single() ? "" : `: median and quartiles over ${data.over}`) + cut, xaxis: steps, yaxis: key === data.cosine ? named("") : logarithmic("")});
});

// The numbers of a setting, and whether their axis is logarithmic; null: it has words.
function scale(i, runs) {
  const values = runs.map(run => run.settings[i]);
  if (!values.every(value => typeof value === "number")) return null;
  const log = values.every(value => value > 0) && Math.max(...values) > 20 * Math.min(...values);
  return {values, log, many: distinct(values).length > 12};
}
// A line per run through its settings and its error; the values of a word are on the axis in their order.
const coloursOf = logs => ({color: logs, colorscale: "Viridis", reversescale: dark.matches, cmin: Math.min(...logs), cmax: Math.max(...logs)});
function dimension(label, values, log, few) {
  if (!log) return {label, values, ...few && {tickvals: few, ticktext: few.map(String)}};
  const logs = values.map(Math.log10), [low, high] = [Math.min(...logs), Math.max(...logs)], every = high - low > 6 ? 2 : 1;
  const round = Array.from({length: 40}, (_, i) => Math.floor(low) + every * i).flatMap(power => (high - low > 2 ? [1] : [1, 2, 5]).map(digit => Number(`${digit}e${power}`)));
  const within = few || round.filter(tick => Math.log10(tick) >= low - 1e-9 && Math.log10(tick) <= high + 1e-9);
  const ticks = few || within.length > 1 ? within.map(tick => [Math.log10(tick), tick]) : [low, high].map(end => [end, Number((10 ** end).toPrecision(2))]);
  return {label, values: logs, tickvals: ticks.map(([at]) => at), ticktext: ticks.map(([, tick]) => tick >= 1e-3 && tick < 1e4 ? String(tick) : tick.toExponential())};
}
plot("parallel", () => {
  const runs = done().filter(run => value(run) > 0).sort((a, b) => value(a) - value(b));
  const axes = data.settings.map((name, i) => ({name, i, values: ordered(i, runs)})).filter(({name, values}) => values.length > 1 && !/seed$|fold$/.test(name));
  if (axes.length < 2) return null;
  const dimensions = axes.map(({name, i, values}) => {
    const label = plain(tail(name)), numeric = scale(i, runs);
    if (numeric) return dimension(label, numeric.values, numeric.log, values.length <= 8 && values.map(Number));
    return {label, values: runs.map((run, at) => beside(values.indexOf(shown(run.settings[i])), at, runs.length)), tickvals: values.map((_, at) => at), ticktext: values.map(x => short(x, 14)), range: [-0.3, values.length - 0.7]};
  });
  return {traces: [{type: "parcoords", dimensions: [...dimensions, dimension(plain(data.metric), runs.map(value), true)], line: coloursOf(runs.map(run => Math.log10(value(run)))),
    labelfont: {color: ink()}, tickfont: {color: ink()}, rangefont: {color: "rgba(0,0,0,0)"}}],
  layout: {title: "every run through its settings (drag along an axis to choose)", margin: {l: 70, r: 70, t: 35, b: 25}}};
});

// Runs with the same word are drawn beside each other.
const beside = (at, i, most) => at + 0.3 * (most > 1 ? i / (most - 1) - 0.5 : 0);
const ordered = (i, runs) => distinct(runs.map(run => shown(run.settings[i]))).sort((a, b) => a - b || String(a).localeCompare(b));
plot("heat", () => {
  const [i, j] = [Number($("across").value), Number($("down").value)], runs = rated();
  const across = ordered(i, runs), down = ordered(j, runs), scales = [scale(i, runs), scale(j, runs)];
  // If hardly two runs have the same of many values, as in a search, each run is a dot.
  const pairs = distinct(runs.map(run => JSON.stringify([run.settings[i], run.settings[j]])));
  const scattered = scales.some(one => one?.many) && pairs.length < 0.5 * across.length * down.length;
  $("statistic").parentElement.hidden = scattered;
  if (scattered) {
    const some = runs.filter(run => rank(run) > 0 && rank(run) < Infinity), logs = some.map(run => Math.log10(rank(run)));
    const [xaxis, yaxis] = [i, j].map((k, at) => scales[at] ? scales[at].log ? logarithmic(data.settings[k]) : named(data.settings[k]) : {type: "category", ...named(data.settings[k])});
    const placed = (some, of, marker) => some.length ? [{type: "scatter", mode: "markers", x: some.map(run => scales[0] ? run.settings[i] : plain(shown(run.settings[i]))), y: some.map(run => scales[1] ? run.settings[j] : plain(shown(run.settings[j]))),
      text: some.map(run => plain(`${run.name}: ${of(run)}`)), hoverinfo: "x+y+text", marker: {size: 11, ...marker}}] : [];
    const crosses = placed(runs.filter(run => rank(run) === Infinity), run => run.status, {symbol: "x-thin", line: {color: ink(), width: 2}});
    return unlessEmpty([...placed(some, run => figure(rank(run)), {...coloursOf(logs), showscale: true, colorbar: {title: {text: "log10"}}}), ...crosses],
    {title: `${data.metric} of every run${crosses.length ? " (crosses: diverged or failed)" : ""}`, xaxis, yaxis});
  }
  const statistics = {
    all: some => median(some.map(rank)),
    run: some => Math.min(...some.map(rank)),
    group: some => Math.min(...distinct(some.map(run => run.group)).map(group => median(some.filter(run => run.group === group).map(rank)))),
  };
  const statistic = statistics[$("statistic").value];
  const cells = down.map(y => across.map(x => {
    const some = runs.filter(run => shown(run.settings[i]) === x && shown(run.settings[j]) === y);
    return some.length ? statistic(some) : null;
  }));
  return unlessEmpty(runs.length ? [{type: "heatmap", x: across.map(plain), y: down.map(plain), z: cells.map(row => row.map(value => value > 0 && value < Infinity ? Math.log10(value) : null)),
    text: cells.map(row => row.map(value => value === null ? "" : value === Infinity ? "failed" : figure(value))), texttemplate: "%{text}", hoverinfo: "x+y+text",
    colorscale: "Viridis", reversescale: dark.matches, colorbar: {title: {text: "log10"}}}] : [],
  {title: `${data.metric} of ${$("statistic").selectedOptions[0].text}`, xaxis: {type: "category", ...named(data.settings[i])}, yaxis: {type: "category", ...named(data.settings[j])}});
});
