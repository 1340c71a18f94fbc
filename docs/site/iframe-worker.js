// Chromium starts no worker from a file. The search of this site then runs in a hidden frame, by the interface of a worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.documentElement.append(frame);
      const inside = frame.contentWindow;
      const message = (data) => new inside.MessageEvent("message", { data: structuredClone(data) });
      inside.postMessage = (data) => this.dispatchEvent(message(data));
      this.started = new Promise((resolve) => {
        const script = frame.contentDocument.createElement("script");
        script.onload = () => resolve((data) => inside.dispatchEvent(message(data)));
        script.src = url;
        frame.contentDocument.head.append(script);
      });
    }

    postMessage(data) {
      this.started.then((deliver) => deliver(data));
    }
  };
}
