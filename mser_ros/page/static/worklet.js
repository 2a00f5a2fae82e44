// Collects the microphone's samples into blocks of 16-bit integers. Runs in the audio thread.
"use strict";

const BLOCK = 2048;

class Blocks extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(BLOCK);
    this.filled = 0;
    this.first = 0;
  }

  process([input]) {
    for (const value of input[0] ?? []) {
      this.samples[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      if (this.filled === BLOCK) {
        this.port.postMessage({ samples: this.samples.slice(), first: this.first });
        this.first += BLOCK;
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("blocks", Blocks);
