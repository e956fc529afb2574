"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const grey = "#9aa5b1";
Chart.register(ChartDataLabels);
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;

function scatter(chart) {
  return {
    type: "scatterWithErrorBars",
    data: {
      datasets: chart.series.map((one) => ({
        label: one.label,
        data: one.points,
        pointStyle: one.marker,
        radius: 6,
        hoverRadius: 8,
        backgroundColor: one.points.map((point) => point.colour),
        borderColor: one.points.map((point) => point.colour),
        errorBarColor: one.points.map((point) => ({ v: [point.colour] })),
        errorBarWhiskerColor: one.points.map((point) => ({ v: [point.colour] })),
        errorBarLineWidth: { v: [1.5] },
        errorBarWhiskerSize: { v: [8] },
        showLine: chart.lines,
        lineBorderColor: "#c3cad2",
        borderWidth: 1.5,
      })),
    },
    options: {
      scales: {
        x: { type: "logarithmic", title: { display: true, text: chart.x }, grace: "10%", ...logTicks(chart) },
        y: { beginAtZero: true, title: { display: true, text: chart.y } },
      },
      plugins: {
        legend: {
          position: "bottom",
          labels: {
            usePointStyle: true,
            generateLabels: (drawn) =>
              chart.series.map((one, index) => ({
                text: one.label,
                datasetIndex: index,
                hidden: !drawn.isDatasetVisible(index),
                pointStyle: one.marker,
                fillStyle: chart.lines || one.points.length > 1 || one.points[0].tag ? grey : one.points[0].colour,
                strokeStyle: chart.lines || one.points.length > 1 || one.points[0].tag ? grey : one.points[0].colour,
              })),
          },
        },
        tooltip: { callbacks: { title: (items) => items[0].raw.name, label: (item) => item.raw.facts } },
        datalabels: {
          // A label that would cover another one is left out; the hover text has all of it.
          display: (context) => (context.dataset.data[context.dataIndex].tag ? "auto" : false),
          formatter: (point) => point.tag,
          color: (context) => context.dataset.data[context.dataIndex].colour,
          align: (context) => (isRight(context) ? "left" : "right"),
          offset: 6,
          font: { weight: 600, size: 11 },
        },
      },
    },
  };
}

function isRight(context) {
  const point = context.chart.getDatasetMeta(context.datasetIndex).data[context.dataIndex];
  return point !== undefined && point.x > 0.75 * context.chart.width;
}

// Room beside the outermost points, and plain numbers at 1, 2 and 5.
function logTicks(chart) {
  const places = chart.series.flatMap((one) => one.points.map((point) => point.x));
  const [low, high] = [Math.min(...places), Math.max(...places)];
  const room = Math.max(1.25, (high / low) ** 0.15);
  return {
    min: low / room,
    max: high * room,
    afterBuildTicks: (axis) => {
      const ticks = [];
      for (let power = Math.floor(Math.log10(axis.min)); power <= Math.ceil(Math.log10(axis.max)); power++)
        for (const step of [1, 1.5, 2, 3, 5, 7]) ticks.push(step * 10 ** power);
      axis.ticks = ticks.filter((value) => value >= axis.min && value <= axis.max).map((value) => ({ value }));
    },
    ticks: { callback: (value) => Number(value.toPrecision(3)).toString() },
  };
}

function curves(chart) {
  return {
    type: "line",
    data: {
      datasets: chart.series.map((one) => ({
        label: one.label,
        data: one.points,
        borderColor: one.colour,
        backgroundColor: one.colour,
        borderDash: one.dashed ? [5, 4] : [],
        borderWidth: 1.8,
        pointStyle: one.marker,
        pointRadius: 3,
      })),
    },
    options: {
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: { type: "linear", title: { display: true, text: chart.x }, ticks: { precision: 0 } },
        y: { title: { display: true, text: chart.y } },
      },
      plugins: {
        legend: { position: "bottom", labels: { boxWidth: 28, boxHeight: 0, font: { size: 11 } } },
        tooltip: { callbacks: { title: (items) => `epoch ${items[0].parsed.x}` } },
        datalabels: { display: false },
      },
    },
  };
}

function draw(place, charts, kind) {
  for (const chart of charts) {
    const figure = document.createElement("figure");
    const caption = figure.appendChild(document.createElement("figcaption"));
    caption.textContent = chart.title;
    const box = figure.appendChild(document.createElement("div"));
    box.className = "canvas";
    const canvas = box.appendChild(document.createElement("canvas"));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", chart.title);
    place.appendChild(figure);
    new Chart(canvas, kind(chart));
  }
}

draw(document.getElementById("scatter"), data.scatter, scatter);
// A chart has no size while its section is closed, so these are drawn when it is opened.
const training = document.getElementById("training");
training?.addEventListener("toggle", () => draw(document.getElementById("curves"), data.curves, curves), { once: true });
