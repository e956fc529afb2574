// Hands the page what the microphone hears, a tenth of a second at a time, channels averaged.
registerProcessor("recorder", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = [];
    this.port.onmessage = () => { // the end
      this.flush();
      this.port.postMessage(null);
    };
  }

  process([channels]) {
    const frames = channels[0] ?? [];
    for (let i = 0; i < frames.length; i++) this.samples.push(channels.reduce((sum, one) => sum + one[i], 0) / channels.length);
    if (this.samples.length >= sampleRate / 10) this.flush();
    return true;
  }

  flush() {
    this.port.postMessage(Float32Array.from(this.samples));
    this.samples = [];
  }
});
