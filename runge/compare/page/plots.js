// The plots: those in view are drawn at once, the others when there is time.
const script = (id, type) => URL.createObjectURL(new Blob([$(id).textContent], {type}));
const makers = new Map();  // of each plot, by the id of its element: returns traces and a layout, or null if it has no data
const pending = new Map();
const inView = new Set();
const observer = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) isIntersecting ? inView.add(target.id) : inView.delete(target.id);
  if (window.Plotly) drawVisible();
});

function plot(id, make) {
  if (!$(id)) return;
  makers.set(id, make);
  observer.observe($(id));
}

function refresh(ids = makers.keys()) {
  for (const id of ids) {
    const made = makers.get(id)?.();
    if (!$(id)) continue;
    ($(id).closest(".card") ?? $(id)).hidden = $(id).hidden = !made;
    made ? pending.set(id, made) : pending.delete(id);
  }
  if (!window.Plotly) return;
  drawVisible();
  document.documentElement.dataset.plots = pending.size ? "drawing" : "ready";
  later();
}
function drawVisible() {
  for (const id of [...pending.keys()]) if (inView.has(id)) draw(id);
}
let waiting = false;
function later() {
  if (waiting || !pending.size) return;
  waiting = true;
  (window.requestIdleCallback ?? setTimeout)(() => {
    waiting = false;
    const [id] = pending.keys();
    if (id) draw(id);
    if (!pending.size) document.documentElement.dataset.plots = "ready";
    later();
  }, {timeout: 100});
}

function draw(id) {
  const {traces, layout} = pending.get(id), line = dark.matches ? "#3c3c42" : "#d8d8dc";
  pending.delete(id);
  const axis = {gridcolor: line, zerolinecolor: line, automargin: true, exponentformat: "none"};
  Plotly.react(id, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink(), size: 12}, showlegend: false,
    margin: {l: 60, r: 15, t: 40, b: 45}, ...layout, title: {text: lines(layout.title), font: {size: 14}},
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis},
    ...layout.yaxis2 && {yaxis2: {...axis, ...layout.yaxis2}},
    // Without a mouse the buttons would always be there, and hide the title.
  }, {responsive: true, displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches && "hover"});
}

const named = title => ({title: {text: title, standoff: 8}});
const logarithmic = title => ({type: "log", ...named(title), nticks: 8, exponentformat: "power", minexponent: 2});
// A title in lines that fit a phone.
const lines = title => innerWidth > 600 ? title : title.split(" ").reduce((done, word) => {
  const last = done.at(-1);
  return last && (last + word).length < 44 ? [...done.slice(0, -1), `${last} ${word}`] : [...done, word];
}, []).join("<br>");
