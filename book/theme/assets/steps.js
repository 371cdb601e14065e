// A figure with frames (helpers.figures.show_steps): the frames are <details>; this makes a slider of them.
// Everything is in the page already; nothing is computed or fetched here.
for (const figure of document.querySelectorAll("figure.book-steps")) {
  const steps = [...figure.querySelectorAll("details.step")];
  const label = document.createElement("label");
  const slider = document.createElement("input");
  const value = document.createElement("output");
  const said = document.createElement("p");
  const control = document.createElement("div");
  slider.type = "range";
  slider.min = 0;
  slider.max = steps.length - 1;
  slider.step = 1;
  slider.value = steps.findIndex((step) => step.open);
  label.append(figure.dataset.label, slider);
  control.className = "step-control";
  control.append(label, value);
  said.className = "visually-hidden";
  said.setAttribute("aria-live", "polite");

  const show = () => {
    const chosen = steps[slider.value];
    for (const step of steps) {
      step.hidden = step !== chosen;
      step.open = step === chosen;
    }
    value.textContent = chosen.dataset.value;
    slider.setAttribute("aria-valuetext", chosen.dataset.value);
  };
  slider.addEventListener("input", show);
  slider.addEventListener("change", () => {
    said.textContent = steps[slider.value].querySelector("svg").getAttribute("aria-label");
  });
  figure.classList.add("has-slider");
  figure.prepend(control);
  figure.append(said);
  show();
}
