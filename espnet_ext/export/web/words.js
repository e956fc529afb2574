// Joins tokens of a best path to words with times, by the rules of espnet_ext/data/words.py.

// What sentencepiece prints for pieces that are no text.
const SPECIAL = new Map([["<unk>", " ⁇ "], ["<s>", ""], ["</s>", ""]]);

/** Returns words {text, start, end}, in seconds, of tokens [token, frame] without blanks and repetitions. */
export function groupWords(tokens, frameSec, tokenType) {
  const words = [];
  let word = null;
  for (const [text, first, last] of surfaces(tokens, tokenType)) {
    for (const part of text.match(/\s+|\S+/gu) ?? []) {
      if (/^\s/u.test(part)) word = null;
      else {
        if (!word) words.push((word = { text: "", start: first * frameSec, end: 0 }));
        Object.assign(word, { text: word.text + part, end: (last + 1) * frameSec });
      }
    }
  }
  return words;
}

// Yields pieces of the text, each with the frames in which its first and its last token begin.
function* surfaces(tokens, tokenType) {
  if (tokenType === "bpe") return yield* sentencepiece(tokens);
  let before = "";
  for (const [token, frame] of tokens) {
    yield [tokenType === "char" && token === "<space>" ? " " : before + token, frame, frame];
    if (tokenType === "word") before = " ";
  }
}

function* sentencepiece(tokens) {
  let empty = true; // a mark at the very beginning is no blank
  let bytes = [];
  for (const [token, frame] of [...tokens, ["", 0]]) {
    const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
    if (byte) {
      bytes.push([parseInt(byte[1], 16), frame]);
      continue;
    }
    if (bytes.length) {
      yield* characters(bytes);
      bytes = [];
      empty = false;
    }
    const text = SPECIAL.get(token) ?? (empty ? token.replace(/^▁/u, "") : token).replaceAll("▁", " ");
    if (text) {
      yield [text, frame, frame];
      empty = false;
    }
  }
}

// Decodes UTF-8. Each byte that is part of no character is shown as sentencepiece does.
function* characters(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  for (let i = 0, size; i < bytes.length; i += size) {
    let text = null;
    for (size = 1; size <= 4 && text === null; size++) {
      try {
        text = decoder.decode(Uint8Array.from(bytes.slice(i, i + size), ([byte]) => byte));
      } catch {} // one byte more may complete it
    }
    size = text === null ? 1 : size - 1;
    yield [text ?? "\ufffd", bytes[i][1], bytes[i + size - 1][1]];
  }
}
