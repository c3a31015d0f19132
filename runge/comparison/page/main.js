// Choices, the first selection, and what stays when the page is loaded again.
function choices(id, names, chosen = 0) {
  if (!$(id)) return;
  $(id).replaceChildren(...names.map((name, i) => new Option(name, name, i === chosen, i === chosen)));
}
const curved = data.functions.filter(target => target.inputs.length === 1), others = data.functions.filter(target => target.inputs.length > 1);
const inputs = distinct(others.flatMap(target => target.inputs)), outputs = distinct(curved.flatMap(target => target.outputs));
choices("output", outputs);
choices("profiled", distinct(data.profiles.map(one => one.output)));
choices("quantity", distinct(others.flatMap(target => quantities(target).map(one => one.name))));
choices("first", inputs);
choices("second", inputs, 1);
const curves = distinct(Object.values(data.curves).flatMap(Object.keys)).filter(key => data.runs.some(run => run.curves[key]));
choices("curve", curves, Math.max(0, curves.indexOf(Object.keys(data.curves.errors)[1])));
// The first two settings of the heat map are those with the most values, seeds and folds last.
const spread = data.settings.map((name, i) => [/seed$|fold$/.test(name), -ordered(i, data.runs.filter(finished)).length, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(entry => entry[2]);
for (const [id, first] of data.settings.length > 1 ? [["across", spread[0]], ["down", spread[1]]] : [])
  $(id).replaceChildren(...data.settings.map((name, i) => new Option(name, i, i === first, i === first)));
$("of_output").hidden = outputs.length < 2;
if ($("of_profiles")) $("of_profiles").hidden = $("profiled").length < 2;
$("of_quantity").hidden = !others.length;
for (const [id, ids] of Object.entries({output: ofSelected, quantity: ofSelected, first: ["along", "map"], second: ["map"], mapped: ["map"], surface: ["map"],
  curve: ["bands"], across: ["heat"], down: ["heat"], statistic: ["heat"]})) $(id)?.addEventListener("change", () => refresh(ids));

function everything() {
  paint();
  mark();
  legend();
  const names = coloured.length > 1 ? coloured : [], rest = grouped().length - names.length;
  $("colours").replaceChildren(...[...names.map(name => [colourOfGroup(name), brief(name)]), ...names.length && rest ? [[grey, `${rest} other groups`]] : []].map(([colour, text]) => {
    const item = element("span", swatch(colour));
    item.append(text);
    return item;
  }));
  const rows = matching().length;
  $("matching").textContent = (rows < data.runs.length ? `The ${rows} of ${data.runs.length} runs that match the filters. ` : "")
    + (done().length ? "" : "None of them has finished.");
  refresh();
}
table.on("search", () => { if (window.Plotly) everything(); });

// The best run of each of the two best groups is selected first.
selected.push(...kept ? kept.selected.map(name => data.runs.find(run => run.name === name)).filter(Boolean)
  : data.groups.slice(0, 2).map(group => data.runs.find(run => finished(run) && run.group === group.name)).filter(Boolean));
paint();
mark();
stop();
legend();
for (const [id, text] of Object.entries(kept?.choices ?? {}))
  for (const option of $(id)?.options ?? []) if (option.text === text) option.selected = true;
// The plots are drawn once the table can be used.
await new Promise(resolve => setTimeout(resolve, 0));
await new Promise((resolve, reject) => {
  const element = document.createElement("script");
  Object.assign(element, {src: script("plotly", "text/javascript"), onload: resolve, onerror: reject});
  document.head.append(element);
});
everything();

// The reader's choices stay when the page is loaded again.
addEventListener("pagehide", () => storage?.setItem(place, JSON.stringify({
  selected: selected.map(run => run.name), scroll: scrollY, ranges: Object.fromEntries([...ranges].map(([title, {bounds}]) => [title, bounds.map(String)])),
  choices: Object.fromEntries([...document.querySelectorAll(".controls select")].map(choice => [choice.id, choice.selectedOptions[0]?.text])),
})));
if (kept) scrollTo(0, kept.scroll);
