// Audio of any length in overlapping windows, joined frame by frame, as espnet_ext/decode/long_audio.py does.
import { groupWords } from "./words.js";

const BLANK = 0;

/** One recogniser on one recording, which may grow. */
export class Transcriber {
  /** Takes `best`, from audio to the best token of each frame and the seconds it took, and what students.json says. */
  constructor(best, student) {
    Object.assign(this, { best, student, start: 0, decided: [], rest: [], seconds: 0 });
    this.half = student.overlap / student.frame_samples / 2;
  }

  /** Yields {words, done, seconds} after each window; `seconds` is what it took to transcribe the audio once. */
  async *update(audio) {
    const { window, overlap } = this.student;
    for (; audio.length - this.start >= window; this.start += window - overlap) {
      const [ids, seconds] = await this.best(audio.subarray(this.start, this.start + window));
      const path = this.join(ids);
      const ended = (this.start + window) / this.student.frame_samples - this.half - this.decided.length;
      this.decided.push(...path.slice(0, Math.max(0, ended)));
      this.rest = path.slice(Math.max(0, ended));
      this.seconds += seconds;
      yield this.result(this.rest, (this.start + window) / audio.length, this.seconds);
    }
    const isNew = audio.length - this.start > (this.start ? overlap : 0); // has been in no window yet
    const [ids, seconds] = isNew ? await this.best(audio.subarray(this.start)) : [[], 0];
    yield this.result(isNew ? this.join(ids) : this.rest, 1, this.seconds + seconds);
  }

  // Returns what follows the decided frames. Of an overlap the first half is the earlier window's.
  join(ids) {
    const first = this.start / this.student.frame_samples;
    const kept = first ? first + this.half : 0;
    const missing = kept - this.decided.length;
    const path = this.rest.slice(0, missing);
    while (path.length < missing) path.push(BLANK); // a convolution without padding gives a few frames less
    return path.concat(ids.slice(kept - first));
  }

  result(rest, done, seconds) {
    const { tokens, frame_samples, sample_rate, token_type } = this.student;
    const ids = this.decided.concat(rest);
    const path = [...ids.entries()].filter(([frame, id]) => id !== BLANK && id !== ids[frame - 1]);
    const said = path.map(([frame, id]) => [tokens[id], frame]);
    return { words: groupWords(said, frame_samples / sample_rate, token_type), done, seconds };
  }
}
