// The slides of a chapter. Printable: open with ?view=print and print from the browser.
Reveal.initialize({
  plugins: [RevealNotes],
  hash: true,
  controls: true,
  progress: true,
  slideNumber: "c/t",
  center: false,
  transition: matchMedia("(prefers-reduced-motion: reduce)").matches ? "none" : "slide",
  width: 1120,
  height: 700,
  margin: 0.05,
  pdfSeparateFragments: false,
  pdfMaxPagesPerSlide: 1,
});
