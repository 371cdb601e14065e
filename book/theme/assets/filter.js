// Filters on the pages of errata, coverage and glossary. The page holds every entry and the controls; this shows the controls
// and hides what does not fit. The choice stands in the address (?verdict=wrong&words=softmax), so that it can be linked.
for (const form of document.querySelectorAll("form.book-filter")) {
  const article = form.closest("article");
  const said = form.querySelector(".filter-count");
  const facets = [...form.querySelectorAll("select")].map((select) => select.name);
  const heads = [...article.querySelectorAll(facets.map((facet) => `[data-${facet}]`).join(","))];
  const entries = heads.map((head) => ({ head, item: head.parentElement, text: head.parentElement.textContent.toLowerCase() }));
  const sections = [...article.querySelectorAll("section section")].filter((part) => entries.some(({ item }) => part.contains(item)));

  const show = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { head, item, text } of entries) {
      const fits =
        facets.every((facet) => ["", head.dataset[facet]].includes(form.elements[facet].value)) &&
        words.every((word) => text.includes(word));
      item.hidden = !fits;
      count += fits;
    }
    for (const part of sections) {
      part.hidden = entries.every(({ item }) => item.hidden || !part.contains(item));
    }
    said.textContent = `${count} of ${entries.length} ${form.dataset.items} shown.`;
  };

  const remember = () => {
    const state = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));
    const query = state.toString() ? `?${state}` : location.pathname.split("/").pop();
    try {
      history.replaceState(null, "", query);
    } catch {
      // A page that was opened as a file may not change its address; the filter works all the same.
    }
  };

  const changed = () => {
    show();
    remember();
  };

  // A link to one entry shows it, whatever is chosen.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest("[hidden]")) {
      form.reset();
      target.scrollIntoView();
    }
  };

  for (const [name, value] of new URLSearchParams(location.search)) {
    const control = form.elements[name];
    if (control instanceof HTMLSelectElement && ![...control.options].some((option) => option.value === value)) continue;
    if (control && "value" in control) control.value = value;
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed));
  window.addEventListener("hashchange", reveal);
  form.hidden = false;
  show();
  reveal();
}
