// Audio of one channel at the rate of the recognisers, from a file or the microphone.

/** Returns (samples,) float audio of a file in any format that the browser plays. */
export async function readFile(file, rate) {
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  return downmix(Array.from({ length: decoded.numberOfChannels }, (_, i) => decoded.getChannelData(i)));
}

// Averages channels; where they cancel each other, it takes the loudest (espnet_ext/audio/downmix.py).
function downmix(channels) {
  const energy = (samples) => samples.reduce((sum, value) => sum + value * value, 0);
  const mean = channels[0].map((_, i) => channels.reduce((sum, one) => sum + one[i], 0) / channels.length);
  const energies = channels.map(energy);
  const average = energies.reduce((a, b) => a + b) / channels.length;
  if (channels.length === 1 || energy(mean) >= (0.2 / channels.length) * average) return mean;
  return channels[energies.indexOf(Math.max(...energies))];
}

/** Gives `onSamples` what the microphone hears; returns a function that ends it and resolves after the last samples. */
export async function record(rate, onSamples) {
  if (!navigator.mediaDevices) throw new Error("browsers give it to pages of https: and localhost only");
  const context = new AudioContext(); // of the device's rate: not every browser connects a microphone to another
  const audio = { echoCancellation: false, noiseSuppression: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  await context.audioWorklet.addModule("recorder.js");
  await context.resume();
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const resampler = new Resampler(context.sampleRate, rate);
  const ended = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => (data ? onSamples(resampler.push(data)) : resolve());
  });
  context.createMediaStreamSource(stream).connect(node);
  return async () => {
    node.port.postMessage("end");
    await ended;
    stream.getTracks().forEach((track) => track.stop());
    await context.close();
  };
}

/** Changes the rate of audio that comes in blocks, by a sinc filter in a Hann window of 24 zero crossings each side. */
export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cutoff = 0.94 * Math.min(1, to / from); // the filter needs room to fall off
    this.reach = Math.ceil(24 / this.cutoff);
    this.pending = new Float32Array(this.reach);
    this.position = this.reach; // of the next sample in `pending`
  }

  /** Returns the samples that are known by now. The last ones of a recording, some milliseconds, never are. */
  push(block) {
    const input = new Float32Array(this.pending.length + block.length);
    input.set(this.pending);
    input.set(block, this.pending.length);
    const output = [];
    for (; this.position + this.reach < input.length; this.position += this.step) {
      const first = Math.ceil(this.position - this.reach);
      let sum = 0;
      for (let i = first; i <= this.position + this.reach; i++) sum += input[i] * this.weight(i - this.position);
      output.push(sum);
    }
    const used = Math.floor(this.position) - this.reach;
    this.pending = input.slice(used);
    this.position -= used;
    return Float32Array.from(output);
  }

  weight(distance) {
    const x = Math.PI * this.cutoff * distance;
    return this.cutoff * (x ? Math.sin(x) / x : 1) * Math.cos((Math.PI * distance) / this.reach / 2) ** 2;
  }
}

/** Returns a WAV file of float samples. */
export function wav(samples, rate) {
  const [size, header] = [4 * samples.length, new DataView(new ArrayBuffer(44))];
  const words = { 0: "RIFF", 8: "WAVE", 12: "fmt ", 36: "data" };
  const numbers = { 4: 36 + size, 16: 16, 20: (1 << 16) + 3, 24: rate, 28: 4 * rate, 32: (32 << 16) + 4, 40: size };
  for (const [place, word] of Object.entries(words)) {
    [...word].forEach((letter, i) => header.setUint8(Number(place) + i, letter.charCodeAt(0)));
  }
  for (const [place, number] of Object.entries(numbers)) header.setUint32(Number(place), number, true);
  return new Blob([header, samples], { type: "audio/wav" });
}
