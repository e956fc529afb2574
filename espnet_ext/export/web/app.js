import { joined, readFile, record, wav } from "./audio.js";

const at = (id) => document.getElementById(id);
const say = (text) => (at("status").textContent = text);
function make(tag, attributes, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

const students = await (await fetch("students.json")).json();
const rate = students[0].sample_rate; // the same for all
const cards = new Map(); // by name
const worker = new Worker("worker.js", { type: "module" });
worker.postMessage({ kind: "load", students });
let number = 0; // of the recording that is shown
let [blocks, peaks] = [[], []]; // its samples; the largest of each hundredth of a second
let [frame, stop] = [null, null]; // the next drawing; what ends the recording, while there is one

for (const student of students) {
  const box = make("input", { type: "checkbox", checked: true, onchange: () => stop || transcribe(joined(blocks)) });
  const [facts, text] = ["facts", "text"].map((className) => make("p", { className }));
  const article = make("article", { id: `card-${student.name}` }, make("h2", {}, student.name), facts, text);
  at("students").append(make("label", {}, box, student.name));
  at("results").append(article);
  cards.set(student.name, { student, box, article, facts, text });
}

function tell({ student, facts, text }, words = [], rtf = null) {
  const wer = student.wer === null ? "" : ` · WER ${student.wer.toFixed(1)} % on ${student.data}`;
  facts.textContent = `${(student.bytes / 1e6).toFixed(2)} MB${wer}${rtf === null ? "" : ` · RTF ${rtf.toFixed(4)}`}`;
  text.replaceChildren(...words.flatMap((word) => {
    const element = make("span", {}, word.text, make("small", { ariaHidden: "true" }, word.start.toFixed(1)));
    Object.assign(element.dataset, word);
    return [element, " "];
  }));
}

function begin() {
  [number, blocks, peaks] = [number + 1, [], []];
  at("player").hidden = true;
  const chosen = [...cards.values()].filter(({ box }) => box.checked).map(({ student }) => student);
  for (const card of cards.values()) {
    card.article.hidden = !card.box.checked;
    tell(card);
  }
  worker.postMessage({ kind: "begin", number, students: chosen });
}

function add(samples, last = false) {
  blocks.push(samples);
  const step = samples.length / Math.ceil((100 * samples.length) / rate);
  for (let i = 0; i < samples.length; i += step) {
    peaks.push(samples.subarray(i, i + step).reduce((most, value) => Math.max(most, Math.abs(value)), 0));
  }
  worker.postMessage({ kind: "audio", number, samples, last });
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

function end(samples) {
  add(samples, true);
  URL.revokeObjectURL(at("player").src);
  at("player").src = URL.createObjectURL(wav(joined(blocks), rate));
  at("player").hidden = false;
}

const transcribe = (samples) => (begin(), end(samples));

function draw() {
  const canvas = at("wave");
  const [width, height] = [canvas.clientWidth * devicePixelRatio, canvas.clientHeight * devicePixelRatio];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    const [first, last] = [x, x + 1].map((place) => Math.floor((place * peaks.length) / width));
    const peak = peaks.slice(first, Math.max(last, first + 1)).reduce((a, b) => Math.max(a, b), 0);
    const tall = Math.max(devicePixelRatio, Math.min(1, peak) * height);
    context.fillRect(x, (height - tall) / 2, 1, tall);
  }
  canvas.setAttribute("aria-label", `Waveform of ${(peaks.length / 100).toFixed(1)} seconds`);
}

worker.onerror = (event) => say(`The recognisers do not start: ${event.message}`);
worker.onmessage = ({ data }) => {
  if (data.kind === "loaded") {
    at("record").disabled = at("file").disabled = false;
    say("Record something, or choose an audio file.");
  } else if (data.kind === "failed") (cards.get(data.name)?.text ?? at("status")).textContent = `Error: ${data.message}`;
  else if (data.number !== number) return; // of an earlier recording
  else if (data.kind === "finished") say(`Finished: ${(peaks.length / 100).toFixed(1)} s of audio`);
  else {
    tell(cards.get(data.name), data.words, (data.seconds * rate) / (data.done * data.samples) || null);
    if (data.done < 1) say(`${data.name}: ${(100 * data.done).toFixed(0)} %`);
  }
};

at("file").onchange = async ({ target }) => {
  const [file] = target.files;
  say(`Reading ${file.name}`);
  try {
    transcribe(await readFile(file, rate));
  } catch (error) {
    say(`${file.name} cannot be read: ${error.message}`);
  }
  target.value = ""; // so that the same file can be chosen again
};

at("record").onclick = async () => {
  at("record").disabled = at("file").disabled = true;
  try {
    if (stop) {
      await stop();
      stop = null;
      end(new Float32Array(0));
    } else {
      begin();
      stop = await record(rate, (samples) => add(samples));
      say("Listening");
    }
  } catch (error) {
    say(`The microphone cannot be used: ${error.message}`);
  }
  at("file").disabled = Boolean(stop);
  at("record").textContent = stop ? "Stop" : "Record";
  at("record").disabled = false;
};

// Words and sound find each other.
at("results").onclick = ({ target }) => {
  const word = target.closest("[data-start]");
  if (word) at("player").currentTime = word.dataset.start;
};
at("player").ontimeupdate = ({ target }) => {
  for (const word of document.querySelectorAll("[data-start]")) {
    word.classList.toggle("said", word.dataset.start <= target.currentTime && target.currentTime < word.dataset.end);
  }
};
addEventListener("resize", draw);
