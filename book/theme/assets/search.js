// Search as you type. The index and MiniSearch are loaded when a reader first goes to a search field, and from then on
// everything happens in the browser; scripts, not requests, so it works in a page opened as a file as well.
{
  const KINDS = { page: "page", section: "section", claim: "claim", erratum: "erratum", capability: "capability", term: "glossary" };
  const TEXT = {
    loading: "Loading the index …",
    none: (words) => `Nothing found for “${words}”.`,
    found: (count, shown) => (count > shown ? `${count} places, the best ${shown} shown.` : `${count} ${count === 1 ? "place" : "places"}.`),
    failed: "The search index could not be loaded.",
  };
  const MOST = 20;
  const AROUND = 70; // characters of text before and after a word that was found
  const CHINESE = /\p{Script=Han}+/gu;
  const root = document.currentScript.src.replace(/_static\/search\.js.*$/, "");

  const loadScript = (address) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      Object.assign(script, { src: root + address, onload: resolve, onerror: () => reject(new Error(address)) });
      document.head.append(script);
    });

  // Words are letters and digits. Chinese is not written in words: each pair of characters counts as one, and the last
  // character alone, so that one character finds every place by its beginning.
  const pairs = (run) => [...[...run].slice(1).map((c, k) => [...run][k] + c), [...run].at(-1)];
  const words = (text) => text.replace(CHINESE, " ").match(/[\p{L}\p{N}_]+/gu) ?? [];
  const tokens = (text) => [...words(text), ...(text.match(CHINESE) ?? []).flatMap(pairs)];
  const queryTokens = (text) => [
    ...words(text),
    ...(text.match(CHINESE) ?? []).flatMap((run) => (run.length > 1 ? pairs(run).slice(0, -1) : [run])),
  ];

  let ready = null;
  const load = () =>
    (ready ??= (async () => {
      await Promise.all([loadScript("_static/vendor/minisearch/index.js"), loadScript("search_index.js")]);
      const { pages, entries } = window.BOOK_SEARCH;
      const places = entries.map(([page, anchor, kind, title, text, names], id) => ({
        id, anchor, kind, title, text, names, page: pages[page][1], address: pages[page][0] + (anchor && `#${anchor}`),
      })); // prettier-ignore
      const index = new MiniSearch({ fields: ["title", "text", "names", "page"], tokenize: tokens });
      await index.addAllAsync(places, { chunkSize: 100 });
      return { index, places };
    })().catch((error) => {
      ready = null; // another key press tries again
      throw error;
    }));

  const WEIGHT = { page: 2, term: 1.6, section: 1.3, erratum: 1, capability: 1, claim: 0.8 };
  const find = ({ index, places }, query) => {
    const chinese = query.match(CHINESE) ?? [];
    const names = query.toLowerCase().split(/\s+/).filter((word) => /\w\.\w/.test(word)); // ids of claims are whole
    return index
      .search(query, {
        tokenize: queryTokens,
        combineWith: "AND",
        prefix: true,
        fuzzy: (word) => (word.length > 5 ? 0.15 : false),
        boost: { title: 8, names: 0.7, page: 0.5 },
        boostDocument: (id) => WEIGHT[places[id].kind],
      })
      .map(({ id, terms }) => ({ ...places[id], terms }))
      .filter((place) => {
        const all = `${place.title} ${place.text} ${place.names} ${place.page}`;
        return chinese.every((run) => all.includes(run)) && names.every((name) => all.includes(name));
      })
      .sort((a, b) => names.includes(b.names) - names.includes(a.names)); // the claim itself before who cites it
  };

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // Text with the words that were found marked, cut around the first of them.
  const marked = (text, terms, cut) => {
    const parts = terms.map((term) => term.replace(/[^\p{L}\p{N}_]/gu, "\\$&")).sort((a, b) => b.length - a.length);
    const pattern = new RegExp(`(?<![\\p{L}\\p{N}_])(?:${parts.join("|")})|${parts.filter((p) => CHINESE.test(p)).join("|") || "(?!)"}`, "giu");
    CHINESE.lastIndex = 0;
    const first = text.search(pattern);
    const from = cut && first > AROUND ? text.indexOf(" ", first - AROUND) + 1 || first - AROUND : 0;
    const to = cut ? from + 2 * AROUND + 20 : text.length;
    const shown = text.slice(from, to);
    const pieces = [from > 0 ? "… " : ""];
    let last = 0;
    for (const { 0: word, index } of shown.matchAll(pattern)) {
      if (!word) continue;
      pieces.push(shown.slice(last, index), make("mark", {}, word));
      last = index + word.length;
    }
    return [...pieces, shown.slice(last), to < text.length ? " …" : ""];
  };

  const option = (place, id) => {
    const where = place.kind === "page" ? KINDS.page : `${KINDS[place.kind]} · ${place.page}`;
    return make(
      "a",
      { role: "option", id, href: root + place.address, tabindex: "-1", "aria-selected": "false" },
      make("strong", {}, ...marked(place.title, place.terms, false)),
      make("small", {}, where),
      make("span", {}, ...marked(place.text, place.terms, true)),
    );
  };

  const attach = (form, number) => {
    const input = form.querySelector("input[name=q]");
    const list = make("div", { role: "listbox", id: `search-found-${number}`, "aria-label": "Places found" });
    const said = make("p", { role: "status", class: "search-said" });
    const box = make("div", { class: "search-found" }, said, list);
    form.after(box);
    const page = form.closest("dialog") === null;
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false" })) {
      input.setAttribute(name, value);
    }
    list.hidden = true;
    let active = -1;
    let asked = 0;

    const choose = (next) => {
      const options = [...list.children];
      options[active]?.setAttribute("aria-selected", "false");
      active = next === null || !options.length ? -1 : (next + options.length) % options.length;
      options[active]?.setAttribute("aria-selected", "true");
      options[active]?.scrollIntoView({ block: "nearest" });
      if (active < 0) input.removeAttribute("aria-activedescendant");
      else input.setAttribute("aria-activedescendant", options[active].id);
    };

    const show = async () => {
      const query = input.value.trim();
      const mine = ++asked;
      let places = [];
      if (query) {
        if (!box.dataset.ready) said.textContent = TEXT.loading;
        try {
          places = find(await load(), query);
        } catch {
          if (mine === asked) said.textContent = TEXT.failed;
          return;
        }
        if (mine !== asked) return;
        box.dataset.ready = "true";
      }
      list.replaceChildren(...places.slice(0, MOST).map((place, k) => option(place, `search-${number}-${k}`)));
      list.hidden = !places.length;
      input.setAttribute("aria-expanded", String(places.length > 0));
      said.textContent = !query ? "" : places.length ? TEXT.found(places.length, Math.min(MOST, places.length)) : TEXT.none(query);
      choose(null);
    };

    input.addEventListener("focus", () => load().catch(() => {}), { once: true });
    input.addEventListener("input", show);
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        choose(event.key === "ArrowDown" ? active + 1 : Math.max(active, 0) - 1);
      } else if (event.key === "Escape" && page && input.value) {
        event.stopPropagation();
        input.value = "";
        show();
      }
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (list.children.length) list.children[Math.max(active, 0)].click();
    });
    list.addEventListener("click", () => form.closest("dialog")?.close());
    if (page) {
      input.value = new URLSearchParams(location.search).get("q") ?? "";
      input.focus();
      show();
    }
  };

  document.querySelectorAll("form.bd-search").forEach(attach);
}
