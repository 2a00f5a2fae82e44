// This browser's own microphone and camera, sent to the pipeline as they are.
"use strict";

const SOUND = 1, PICTURE = 2;
const PICTURE_WIDTH = 480, PICTURE_PERIOD_MS = 100, MOST_WAITING = 1 << 20;

// A stream that comes after `stop`, as where somebody answers the browser's question late, is closed at once: nobody else
// would do so.
class Input {
  onEnd() {}  // it gives nothing any more, as where it was unplugged or is not lent any longer

  async open(wanted) {
    this.stop();
    const opening = this.opening = {};
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    if (this.opening !== opening) {
      stream.getTracks().forEach((track) => track.stop());
      return undefined;
    }
    stream.getTracks().forEach((track) => { track.onended = () => this.stream === stream && this.onEnd(); });
    return this.stream = stream;
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.opening = undefined;
  }
}

class Microphone extends Input {
  // `send` takes an ArrayBuffer and tells whether it was taken; what was not is a gap that the samples' count shows.
  async start(send) {
    const stream = await this.open({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    if (!stream) return;
    const context = this.context = new AudioContext();
    await context.audioWorklet.addModule("static/worklet.js");
    if (this.context !== context) return;
    const source = context.createMediaStreamSource(stream);
    const worklet = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    worklet.port.onmessage = ({ data }) => {
      if (this.context !== context) return;  // a block that was on its way when this was stopped
      const message = new ArrayBuffer(16 + data.samples.byteLength), head = new DataView(message);
      head.setUint8(0, SOUND);
      head.setUint32(4, context.sampleRate, true);
      head.setFloat64(8, data.first, true);
      new Int16Array(message, 16).set(data.samples);
      send(message);
    };
    source.connect(worklet);
    await context.resume();
  }

  stop() {
    super.stop();
    this.context?.close();
    this.context = undefined;
  }
}

class Camera extends Input {
  constructor(preview) {
    super();
    this.preview = preview;
  }

  async start(send) {
    const stream = await this.open({ video: { width: { ideal: 640 }, facingMode: "user" } });
    if (!stream) return;
    this.preview.srcObject = stream;
    this.preview.hidden = false;
    await this.preview.play();
    if (this.stream !== stream) return;
    const canvas = document.createElement("canvas");
    this.timer = setInterval(() => {
      const { videoWidth: width, videoHeight: height } = this.preview;
      if (!width || this.isBusy) return;
      this.isBusy = true;
      canvas.width = Math.min(width, PICTURE_WIDTH);
      canvas.height = Math.round(height * canvas.width / width);
      canvas.getContext("2d").drawImage(this.preview, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(async (blob) => {
        this.isBusy = false;
        if (!blob || !this.stream) return;
        const picture = new Uint8Array(await blob.arrayBuffer()), message = new Uint8Array(4 + picture.length);
        message[0] = PICTURE;
        message.set(picture, 4);
        send(message.buffer);
      }, "image/jpeg", 0.8);
    }, PICTURE_PERIOD_MS);
  }

  stop() {
    super.stop();
    clearInterval(this.timer);
    this.preview.srcObject = null;
    this.preview.hidden = true;
  }
}
