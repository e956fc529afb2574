// Audio of one channel at the rate of the recognisers, from a file or the microphone.

/** Returns (samples,) float audio of a file in any format that the browser plays, its channels averaged. */
export async function readFile(file, rate) {
  const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, i) => decoded.getChannelData(i));
  const energy = (samples) => samples.reduce((sum, value) => sum + value * value, 0);
  const energies = channels.map(energy);
  const mean = channels[0].map((_, i) => channels.reduce((sum, one) => sum + one[i], 0) / channels.length);
  const cancelled = energy(mean) * channels.length ** 2 < 0.2 * energies.reduce((sum, one) => sum + one);
  return cancelled ? channels[energies.indexOf(Math.max(...energies))] : mean; // as espnet_ext/audio/downmix.py
}

/** Returns blocks of samples as one. */
export function joined(blocks) {
  const samples = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  blocks.reduce((place, block) => (samples.set(block, place), place + block.length), 0);
  return samples;
}

/** Gives `onSamples` what the microphone hears. Returns a function that ends it and resolves after the last samples. */
export async function record(rate, onSamples) {
  if (!navigator.mediaDevices) throw new Error("browsers give it to pages of https: and localhost only");
  const audio = { echoCancellation: false, noiseSuppression: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext(); // of the device's rate: not every browser connects a microphone to another
  await context.audioWorklet.addModule("recorder.js");
  await context.resume();
  const mono = { channelCount: 1, channelCountMode: "explicit" };
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0, ...mono });
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

/** Changes the rate of blocks of audio, by a sinc filter in a Hann window of 24 zero crossings on each side. */
export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cutoff = 0.94 * Math.min(1, to / from); // the filter needs room to fall off
    this.reach = Math.ceil(24 / this.cutoff);
    this.pending = new Float32Array(this.reach);
    this.made = 0; // samples
    this.dropped = -this.reach; // of the input
    this.filters = new Map();
  }

  /** Returns the samples that are known by now. The last ones of a recording, some milliseconds, never are. */
  push(block) {
    const input = joined([this.pending, block]);
    const output = [];
    let middle;
    for (;; this.made++) {
      middle = Math.floor(this.made * this.step) - this.dropped;
      if (middle + this.reach + 1 > input.length) break;
      const filter = this.filter(this.made * this.step - this.dropped - middle);
      let sum = 0;
      for (let i = 0; i < filter.length; i++) sum += filter[i] * input[middle - this.reach + 1 + i];
      output.push(sum);
    }
    const used = Math.min(middle - this.reach, input.length);
    this.pending = input.slice(used);
    this.dropped += used;
    return Float32Array.from(output);
  }

  filter(fraction) {
    const key = Math.round(1e5 * fraction); // there are few: 160 from 44.1 to 16 kHz
    if (!this.filters.has(key)) {
      this.filters.set(key, Float32Array.from({ length: 2 * this.reach }, (_, i) => {
        const distance = i - this.reach + 1 - fraction;
        const x = Math.PI * this.cutoff * distance;
        return this.cutoff * (x ? Math.sin(x) / x : 1) * Math.cos((Math.PI * distance) / this.reach / 2) ** 2;
      }));
    }
    return this.filters.get(key);
  }
}

/** Returns a WAV file of float samples. */
export function wav(samples, rate) {
  const [size, header] = [4 * samples.length, new DataView(new ArrayBuffer(44))];
  const [RIFF, WAVE, FMT, DATA] = [0x46464952, 0x45564157, 0x20746d66, 0x61746164];
  const words = [RIFF, 36 + size, WAVE, FMT, 16, (1 << 16) + 3, rate, 4 * rate, (32 << 16) + 4, DATA, size];
  words.forEach((word, i) => header.setUint32(4 * i, word, true));
  return new Blob([header, samples], { type: "audio/wav" });
}
