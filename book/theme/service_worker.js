// Keeps the pages that were visited, so that they open without a network. The network always comes first: what is kept is only
// shown when the server does not answer, so no page is ever older than the server's. A new version of the site starts afresh.
const KEPT = "book-VERSION";
const SHELL = ["SHELL"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(SHELL)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("book-") && name !== KEPT;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});

const keep = async (request, answer) => {
  const cache = await caches.open(KEPT);
  await cache.put(request, answer);
};

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin || request.headers.has("range")) return;
  event.respondWith(
    fetch(request).then(
      (answer) => {
        if (answer.ok && answer.type === "basic") event.waitUntil(keep(request, answer.clone()).catch(() => {}));
        return answer;
      },
      async (error) => {
        const kept = await caches.match(request, { ignoreSearch: true, cacheName: KEPT });
        if (kept) return kept;
        throw error;
      },
    ),
  );
});
