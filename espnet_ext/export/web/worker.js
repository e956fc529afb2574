// Runs the recognisers beside the page, one after another.
import * as ort from "./ort/ort.wasm.min.mjs";
import { Transcriber } from "./windows.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain web server does not send
ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;

const sessions = new Map(); // by name of the student
let job = null; // the recording that is shown
let busy = false;

// Returns the best token of each frame of (samples,) audio.
async function bestIds(name, speech) {
  if (!speech.length) return [];
  const { log_probs, log_probs_lengths } = await sessions.get(name).run({
    x: new ort.Tensor("float32", speech, [1, speech.length]),
    x_lengths: new ort.Tensor("int64", BigInt64Array.of(BigInt(speech.length)), [1]),
  });
  const size = log_probs.dims[2];
  return Array.from({ length: Number(log_probs_lengths.data[0]) }, (_, frame) => {
    const row = log_probs.data.subarray(frame * size, (frame + 1) * size);
    if (row.some(Number.isNaN)) throw new Error("the output is not a number; train the model again");
    return row.indexOf(Math.max(...row));
  });
}

async function work() {
  if (busy) return;
  busy = true;
  while (job?.fresh) {
    const current = job;
    const { number, last, samples } = current;
    current.fresh = false;
    for (const [name, transcriber] of current.transcribers) {
      try {
        for await (const result of transcriber.update(current.audio.subarray(0, samples))) {
          postMessage({ kind: "result", number, name, samples, ...result });
          if (job !== current) break;
        }
      } catch (error) {
        postMessage({ kind: "failed", name, message: error.message });
        current.transcribers.delete(name);
      }
      if (job !== current) break;
    }
    if (last) postMessage({ kind: "finished", number });
  }
  busy = false;
}

function hear(samples) {
  const end = job.samples + samples.length;
  if (end > job.audio.length) {
    const larger = new Float32Array(Math.max(end, 2 * job.audio.length));
    larger.set(job.audio.subarray(0, job.samples));
    job.audio = larger;
  }
  job.audio.set(samples, job.samples);
  job.samples = end;
}

onmessage = async ({ data }) => {
  if (data.kind === "load") {
    for (const { name, file } of data.students) {
      try {
        sessions.set(name, await ort.InferenceSession.create(file, { executionProviders: ["wasm"] }));
      } catch (error) {
        return postMessage({ kind: "failed", name, message: error.message });
      }
    }
    postMessage({ kind: "loaded" });
  } else if (data.kind === "begin") {
    const made = data.students.map((one) => [one.name, new Transcriber((speech) => bestIds(one.name, speech), one)]);
    job = { number: data.number, transcribers: new Map(made), audio: new Float32Array(0), samples: 0 };
  } else if (data.number === job.number) {
    hear(data.samples);
    Object.assign(job, { last: data.last, fresh: true });
    work();
  }
};
