// Registers the worker that keeps visited pages for reading without a network. A page opened as a file needs none, and a
// browser that refuses (private windows, plain http from another machine) reads the book all the same.
if (location.protocol.startsWith("http") && "serviceWorker" in navigator && window.isSecureContext) {
  const root = document.currentScript.src.replace(/_static\/offline\.js.*$/, "");
  window.addEventListener("load", () => {
    navigator.serviceWorker
      .register(`${root}service_worker.js`)
      .then(() => navigator.serviceWorker.ready)
      .then(() => caches.keys())
      .then(async (names) => {
        // What this page has loaded before there was a worker.
        const name = names.find((candidate) => candidate.startsWith("book-"));
        if (!name || navigator.serviceWorker.controller) return;
        const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
        const ours = [location.href.split("#")[0], ...loaded].filter((address) => address.startsWith(root));
        const cache = await caches.open(name);
        await Promise.all(ours.map((address) => cache.add(address).catch(() => {})));
        document.documentElement.dataset.offline = "ready";
      })
      .catch(() => {});
  });
}
