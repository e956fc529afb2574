// Runs the recognisers beside the page, one after another.
import * as ort from "./ort/ort.wasm.min.mjs";
import { joined } from "./audio.js";
import { Transcriber } from "./windows.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain web server does not send
ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;

const sessions = new Map(); // by name of the student
let [job, busy] = [null, false]; // the recording that is shown; whether it is worked on

// Returns the best token of each frame of (samples,) audio, and the seconds it took.
async function bestIds(name, speech) {
  if (!speech.length) return [[], 0];
  const before = performance.now();
  const { log_probs, log_probs_lengths } = await sessions.get(name).run({
    x: new ort.Tensor("float32", speech, [1, speech.length]),
    x_lengths: new ort.Tensor("int64", BigInt64Array.of(BigInt(speech.length)), [1]),
  });
  const size = log_probs.dims[2];
  const ids = Array.from({ length: Number(log_probs_lengths.data[0]) }, (_, frame) => {
    const row = log_probs.data.subarray(frame * size, (frame + 1) * size);
    if (row.some(Number.isNaN)) throw new Error("the output is not a number; train the model again");
    return row.indexOf(Math.max(...row));
  });
  return [ids, (performance.now() - before) / 1000];
}

async function load(students) {
  for (const { name, file } of students) sessions.set(name, await ort.InferenceSession.create(file));
}

async function work() {
  if (busy) return;
  busy = true;
  while (job?.fresh) {
    const current = job;
    const { number, last } = current;
    const audio = joined(current.blocks);
    Object.assign(current, { blocks: [audio], fresh: false });
    for (const [name, transcriber] of current.transcribers) {
      try {
        for await (const result of transcriber.update(audio)) {
          if (job === current) postMessage({ kind: "result", number, name, samples: audio.length, ...result });
          else break; // another recording is shown
        }
      } catch (error) {
        postMessage({ kind: "failed", name, message: error.message });
        current.transcribers.delete(name);
      }
    }
    if (last) postMessage({ kind: "finished", number });
  }
  busy = false;
}

onmessage = ({ data }) => {
  if (data.kind === "load") {
    const failed = (error) => postMessage({ kind: "failed", name: "Loading", message: error.message });
    load(data.students).then(() => postMessage({ kind: "loaded" }), failed);
  } else if (data.kind === "begin") {
    const made = data.students.map((one) => [one.name, new Transcriber((speech) => bestIds(one.name, speech), one)]);
    job = { number: data.number, transcribers: new Map(made), blocks: [], fresh: false };
  } else {
    job.blocks.push(data.samples);
    Object.assign(job, { last: data.last, fresh: true });
    work();
  }
};
