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
  const {traces, layout: {height = 0, ...layout}} = pending.get(id), line = dark.matches ? "#3c3c42" : "#d8d8dc";
  pending.delete(id);
  if (height) $(id).style.height = `${height}px`;
  const title = lines(layout.title, $(id).clientWidth).map(plain);
  const axis = {gridcolor: line, zerolinecolor: line, automargin: true, exponentformat: "none"};
  Plotly.react(id, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: ink(), size: 12}, showlegend: false, hoverlabel: {namelength: -1},
    modebar: {bgcolor: "rgba(0,0,0,0)", color: "#8e8e93", activecolor: ink()}, ...layout,
    margin: {l: 60, r: 15, b: 45, ...layout.margin, t: 22 + 18 * title.length + (layout.margin?.t ?? 0)},
    title: {text: title.join("<br>"), font: {size: 14}, x: 0, xanchor: "left", y: 1, yanchor: "top", pad: {l: 14, t: 3 + 9 * title.length}},
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis},
    ...layout.yaxis2 && {yaxis2: {...axis, ...layout.yaxis2}},
    // All else is done in the plot, by dragging and a double click, and nothing leaves the page. Without a mouse the buttons would always be there, and hide the title.
  }, {responsive: true, displaylogo: false, displayModeBar: matchMedia("(hover: hover)").matches && "hover",
    modeBarButtonsToRemove: ["sendChartToCloud", "zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]});
}

const named = title => ({title: {text: plain(title), standoff: 8}});
// Plotly writes the ticks between powers of ten smaller than these, or without their power: here they are 0.002, 2×10⁻⁴
// and 10⁻⁴, and only 1, 2 and 5 have a label.
const labelalias = Object.fromEntries(Array.from({length: 81}, (_, i) => i - 40).flatMap(power => [1, 2, 3, 4, 5, 6, 7, 8, 9].map(digit => {
  const sign = power < 0 ? "−" : "+", size = Math.abs(power), times = digit > 1 ? `${digit}×` : "";
  return [`${digit}e${sign}${size}`, ![1, 2, 5].includes(digit) ? " " : size > 3 ? `${times}10<sup>${power < 0 ? sign : ""}${size}</sup>` : String(Number(`${digit}e${power}`))];
})));
const logarithmic = (title, nticks = 4) => ({type: "log", ...named(title), nticks, tickformat: ".0e", tickformatstops: [{dtickrange: ["L0", "L1e99"], value: "~g"}], labelalias});
// A title in lines that leave room for the buttons.
const lines = (title, width) => title.split(" ").reduce((done, word) => {
  const last = done.at(-1);
  return last && (last + word).length < (width - 80) / 7 ? [...done.slice(0, -1), `${last} ${word}`] : [...done, word];
}, []);
