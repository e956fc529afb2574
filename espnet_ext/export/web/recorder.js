// Hands the page what the microphone hears, a quarter of a second at a time.
registerProcessor("recorder", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = [];
    this.port.onmessage = () => (this.flush(), this.port.postMessage(null)); // the end
  }

  process([[channel]]) {
    this.samples.push(...(channel ?? []));
    if (this.samples.length >= sampleRate / 4) this.flush();
    return true;
  }

  flush() {
    this.port.postMessage(Float32Array.from(this.samples));
    this.samples = [];
  }
});
