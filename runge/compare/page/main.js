// Choices, the first selection, and the new state of a sweep that runs.
function choices(id, names, chosen = 0) {
  if (!$(id)) return;
  $(id).replaceChildren(...names.map((name, i) => new Option(name, name, i === chosen, i === chosen)));
}
const curved = data.functions.filter(target => target.inputs.length === 1), others = data.functions.filter(target => target.inputs.length > 1);
const inputs = distinct(others.flatMap(target => target.inputs)), outputs = distinct(curved.flatMap(target => target.outputs));
choices("output", outputs);
choices("quantity", distinct(others.flatMap(target => quantities(target).map(one => one.name))));
choices("first", inputs);
choices("second", inputs, 1);
const curves = distinct(Object.values(data.curves).flatMap(Object.keys)).filter(key => data.runs.some(run => run.curves[key]));
choices("curve", curves, Math.max(0, curves.indexOf("val/mse_df")));
// The first two settings of the heat map are those with the most values, seeds last.
const spread = data.settings.map((name, i) => [/seed$/.test(name), -ordered(i, data.runs.filter(finished)).length, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(entry => entry[2]);
for (const [id, first] of data.settings.length > 1 ? [["across", spread[0]], ["down", spread[1]]] : [])
  $(id).replaceChildren(...data.settings.map((name, i) => new Option(name, i, i === first, i === first)));
$("of_output").hidden = outputs.length < 2;
$("of_quantity").hidden = !others.length;
for (const [id, ids] of Object.entries({output: ofSelected, quantity: ofSelected, first: ["along", "map"], second: ["map"], mapped: ["map"], surface: ["map"],
  curve: ["bands"], across: ["heat"], down: ["heat"], statistic: ["heat"]})) $(id)?.addEventListener("change", () => refresh(ids));

function everything() {
  legend();
  const rows = matching().length;
  $("matching").textContent = (rows < data.runs.length ? `The ${rows} of ${data.runs.length} runs that match the filters. ` : "")
    + (done().length ? "" : "None of them has finished.");
  refresh();
}
table.on("search", () => { if (window.Plotly) everything(); });

// The best run of each of the two best groups is selected first, or those that were selected before new columns came.
const kept = "live" in document.documentElement.dataset ? JSON.parse(sessionStorage.getItem("selected") ?? "null") : null;
if (kept) sessionStorage.removeItem("selected");
selected.push(...kept ? data.runs.filter(run => kept.includes(run.name))
  : data.groups.slice(0, 2).map(group => data.runs.find(run => finished(run) && run.group === group.name)).filter(Boolean));
mark();
stop();
legend();
// The plots are drawn once the table can be used.
await new Promise(resolve => setTimeout(resolve, 0));
await new Promise((resolve, reject) => {
  const element = document.createElement("script");
  Object.assign(element, {src: script("plotly", "text/javascript"), onload: resolve, onerror: reject});
  document.head.append(element);
});
everything();

// Served by `--watch`, the page takes the new state of the runs; the selection, the filters and the choices stay.
let seen;
async function update() {
  if (document.hidden) return;
  const response = await fetch("now", {cache: "no-cache"}).catch(() => null);
  const next = response && new DOMParser().parseFromString(await response.text(), "text/html");
  $("trouble").textContent = response?.ok ? "" : `This page is not up to date: ${next?.querySelector("p")?.textContent ?? "the command that served it has ended"}.`;
  if (!response?.ok || response.headers.get("ETag") === seen) return;
  seen = response.headers.get("ETag");
  const {importance} = data, now = JSON.parse(next.getElementById("data").textContent);
  if (["settings", "figures", "others"].some(key => String(now[key]) !== String(data[key]))) {
    sessionStorage.setItem("selected", JSON.stringify(selected.map(run => run.name)));
    return location.reload();
  }
  for (const id of ["summary", "groups"]) $(id).replaceWith(next.getElementById(id));
  const names = selected.map(run => run.name);
  Object.assign(data, now, {importance});
  decoded.clear();
  selected.splice(0, selected.length, ...names.map(name => data.runs.find(run => run.name === name)).filter(Boolean));
  table.clear().rows.add(data.runs).draw(false);
  everything();
}
if ("live" in document.documentElement.dataset) setInterval(update, 2000);
