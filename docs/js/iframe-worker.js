"use strict";
/* A browser starts no worker for a page that was opened from a folder. There, the worker's script runs in a
   hidden frame, so that the search works without a server. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      const own = new URL(address, location.href);
      const load = (source) => new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        script.src = new URL(source, own);
        script.onload = resolve;
        script.onerror = () => reject(new Error(`cannot load ${source}`));
        this.inside.document.body.append(script);
      });
      // what a worker finds in its scope
      this.inside.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.loaded = load(own);
    }

    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data })));
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}
